"""Masks on their way: from where they are given to the layers that are to heed them, and to no others."""

import inspect

import numpy as np
import pytest
from by_hand import agree, call, matches, near

from reference_impl import LSTM, Given, TimeDistributed, estimate

BATCH, STEPS, FEATURES, UNITS = 2, 3, 4, 5
SHAPE = (BATCH, STEPS, FEATURES)
MASK = np.array([[True, True, False], [True, False, False]])


def padded(uniform):
    """Drawn inputs that ``Masking(0.5)`` masks so."""
    return np.where(MASK[..., np.newaxis], uniform(*SHAPE), np.float32(0.5))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("api", ["functional", "sequential"])
def test_mask_given_to_a_call_is_of_that_call(subject, by_hand, uniform, api):
    """``model(x, mask=...)`` does not make x a masked tensor: the next ``model(x)`` reads all of it."""
    layer = by_hand(LSTM(UNITS), SHAPE)
    x = subject.keras.Input(SHAPE[1:])
    model = subject.keras.Model(x, layer.layer(x)) if api == "functional" else subject.keras.Sequential([layer.layer])
    value = uniform(*SHAPE)
    tensor = subject.tensors(value)
    agree([subject.to_numpy(model(tensor, mask=subject.tensors(MASK)))], layer.expected(value, masks=[MASK]))
    again = [subject.to_numpy(model(tensor))]
    assert not matches(again, layer.expected(value, masks=[MASK])), "the mask of the call before is still heeded"
    agree(again, layer.expected(value))


@pytest.mark.usefixtures("eager")
def test_masks_of_inputs_by_name(subject, by_hand, uniform):
    """The masks of inputs that are given by name go to the inputs of these names."""
    first, second = by_hand(LSTM(UNITS), SHAPE), by_hand(LSTM(UNITS), SHAPE)
    a, b = (subject.keras.Input(SHAPE[1:], name=name) for name in "ab")
    model = subject.keras.Model([b, a], [first.layer(b), second.layer(a)])
    values, masks = {"a": uniform(*SHAPE), "b": uniform(*SHAPE)}, {"a": MASK, "b": np.ones_like(MASK)}
    given = [{name: subject.tensors(array) for name, array in arrays.items()} for arrays in (values, masks)]
    of_b, of_a = (subject.to_numpy(output) for output in model(given[0], mask=given[1]))
    assert not matches([of_b], first.expected(values["b"], masks=[MASK])), "b has the mask of a"
    agree([of_b], first.expected(values["b"]))
    agree([of_a], second.expected(values["a"], masks=[MASK]))


@pytest.mark.usefixtures("eager")
def test_masks_of_inputs_in_a_list(subject, by_hand, uniform):
    """Of several inputs in a list the masks are given in a list as well, each to the input at its place."""
    first, second = by_hand(LSTM(UNITS), SHAPE), by_hand(LSTM(UNITS), SHAPE)
    a, b = (subject.keras.Input(SHAPE[1:]) for _ in range(2))
    model = subject.keras.Model([a, b], [first.layer(a), second.layer(b)])
    values, masks = [uniform(*SHAPE), uniform(*SHAPE)], [MASK, MASK[::-1, ::-1]]
    outputs = model(subject.tensors(values), mask=subject.tensors(masks))
    for layer, value, mask, output in zip((first, second), values, masks, outputs):
        agree([subject.to_numpy(output)], layer.expected(value, masks=[mask]))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("api", ["call", "functional"])
def test_given_mask_replaces_that_of_the_tensor(subject, by_hand, uniform, api):
    """``mask=`` is heeded, and the mask that the tensor brings from a Masking is not."""
    layer, value, other = by_hand(LSTM(UNITS), SHAPE), padded(uniform), MASK[::-1, ::-1]
    masking = subject.keras.layers.Masking(0.5)
    if api == "functional":
        x, mask = subject.keras.Input(SHAPE[1:]), subject.keras.Input(MASK.shape[1:], dtype="bool")
        model = subject.keras.Model([x, mask], layer.layer(masking(x), mask=mask))
        output = model(subject.tensors([value, other]))
    else:
        output = layer.layer(masking(subject.tensors(value)), mask=subject.tensors(other))
    read, outputs = value * MASK[..., np.newaxis], [subject.to_numpy(output)]
    assert not matches(outputs, layer.expected(read, masks=[MASK])), "the mask of the tensor is heeded"
    agree(outputs, layer.expected(read, masks=[other]))


@pytest.mark.parametrize("by_name", [False, True], ids=["by_position", "by_name"])
def test_mask_of_a_call_is_handed_on(subject, by_hand, uniform, by_name):
    """A mask given to a layer's call, under its name or as the third argument, reaches the next layer too."""
    parameters = list(inspect.signature(subject.keras.layers.LSTM.call).parameters)
    if not by_name and parameters[2:4] != ["initial_state", "mask"]:
        pytest.skip("the mask is not the third argument of the call in this Keras")
    lower, upper = by_hand(LSTM(UNITS, return_sequences=True), SHAPE), by_hand(LSTM(2), (BATCH, STEPS, UNITS))
    x, mask = subject.keras.Input(SHAPE[1:]), subject.keras.Input(MASK.shape[1:], dtype="bool")
    read = lower.layer(x, mask=mask) if by_name else lower.layer(x, None, mask)
    model = subject.keras.Model([x, mask], upper.layer(read))
    value = uniform(*SHAPE)
    outputs = [model.predict_on_batch([value, MASK])]
    assert not matches(outputs, expected_of(lower, upper, value, MASK, upper_mask=None)), "the upper layer has no mask"
    agree(outputs, expected_of(lower, upper, value, MASK, upper_mask=MASK))


def test_mask_of_a_layer_that_reads_backwards(subject, by_hand, uniform):
    """Reading backwards, a layer returns its outputs in the order of reading, and its mask with them."""
    lower = by_hand(LSTM(UNITS, return_sequences=True, go_backwards=True), SHAPE)
    upper = by_hand(LSTM(2), (BATCH, STEPS, UNITS))
    x = subject.keras.Input(SHAPE[1:])
    model = subject.keras.Model(x, upper.layer(lower.layer(subject.keras.layers.Masking(0.5)(x))))
    value = padded(uniform)
    outputs = [model.predict_on_batch(value)]
    as_it_came = expected_of(lower, upper, value, MASK, upper_mask=MASK)
    assert not matches(outputs, as_it_came), "the mask is that of the inputs"
    agree(outputs, expected_of(lower, upper, value, MASK, upper_mask=MASK[:, ::-1]))


def test_masking_returns_zeros_where_it_masks(subject, uniform):
    """And what it was given elsewhere."""
    value = padded(uniform)
    (outputs,) = call(subject, subject.keras.layers.Masking(0.5), value)
    assert np.array_equal(outputs, value * MASK[..., np.newaxis])


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_masking_rounds_its_mask_value_with_the_inputs(subject, uniform, policy):
    """Inputs of 0.1 equal ``mask_value=0.1``, of which half precision makes another number of both."""
    value = np.where(MASK[..., np.newaxis], uniform(*SHAPE), np.float32(0.1))
    masking = subject.keras.layers.Masking(0.1, dtype=subject.policy(policy))
    (outputs,) = call(subject, masking, value)
    assert np.array_equal(outputs, (value * MASK[..., np.newaxis]).astype(outputs.dtype)), "no step is masked"
    (mask,) = call(subject, masking.compute_mask, value.astype(outputs.dtype))
    assert np.array_equal(mask, MASK)


#: Layers that do the same with every time step, which is nothing to the mask.
OF_EACH_STEP = {
    "Dense": lambda layers: layers.Dense(FEATURES),
    "Activation": lambda layers: layers.Activation("tanh"),
    "Dropout": lambda layers: layers.Dropout(0.5),
    "SpatialDropout1D": lambda layers: layers.SpatialDropout1D(0.5),
    "GaussianNoise": lambda layers: layers.GaussianNoise(0.5),
    "GaussianDropout": lambda layers: layers.GaussianDropout(0.5),
    "ActivityRegularization": lambda layers: layers.ActivityRegularization(l2=0.5),
    "LayerNormalization": lambda layers: layers.LayerNormalization(),
    "BatchNormalization": lambda layers: layers.BatchNormalization(),
    "TimeDistributed": lambda layers: layers.TimeDistributed(layers.Dense(FEATURES)),
    "ReLU": lambda layers: layers.ReLU(),
    "LeakyReLU": lambda layers: layers.LeakyReLU(),
    "PReLU": lambda layers: layers.PReLU(),
    "ELU": lambda layers: layers.ELU(),
    "Lambda": lambda layers: layers.Lambda(lambda x: 2.0 * x, mask=lambda x, mask: mask),
    "Activation-float64": lambda layers: layers.Activation("linear", dtype="float64"),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", OF_EACH_STEP)
def test_mask_goes_through_a_layer_of_each_step(subject, by_hand, uniform, name, training):
    """To the LSTM above it, in training as at inference."""
    upper, x = by_hand(LSTM(UNITS), SHAPE), subject.keras.Input(SHAPE[1:])
    between = OF_EACH_STEP[name](subject.keras.layers)(subject.keras.layers.Masking(0.5)(x))
    model = subject.keras.Model(x, [between, upper.layer(between)])
    value = padded(uniform)
    read, outputs = (subject.to_numpy(array) for array in model(subject.tensors(value), training=training))
    assert not matches([outputs], upper.expected(read)), "the LSTM above has no mask"
    agree([outputs], upper.expected(read, masks=[MASK]))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", OF_EACH_STEP)
def test_mask_goes_with_what_a_call_returns(subject, by_hand, uniform, name):
    """From call to call without a model around them, as in the ``call`` of a layer or a model of one's own."""
    upper, layers = by_hand(LSTM(UNITS), SHAPE), subject.keras.layers
    value = padded(uniform)
    between = OF_EACH_STEP[name](layers)(layers.Masking(0.5)(subject.tensors(value)))
    read, outputs = (subject.to_numpy(array) for array in (between, upper.layer(between)))
    assert not matches([outputs], upper.expected(read)), "the LSTM above has no mask"
    agree([outputs], upper.expected(read, masks=[MASK]))


#: Layers that put two sequences together, step by step.
OF_TWO = {
    "Add": lambda layers: layers.Add(),
    "Multiply": lambda layers: layers.Multiply(),
    "Concatenate": lambda layers: layers.Concatenate(),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", OF_TWO)
def test_mask_of_two_branches_is_handed_on(subject, by_hand, uniform, name):
    """Around an LSTM too: what is put together of its output and its input, of the same mask, has that mask."""
    lower = by_hand(LSTM(FEATURES, return_sequences=True), SHAPE)
    upper = by_hand(LSTM(UNITS), (BATCH, STEPS, 2 * FEATURES if name == "Concatenate" else FEATURES))
    x = subject.keras.Input(SHAPE[1:])
    masked = subject.keras.layers.Masking(0.5)(x)
    together = OF_TWO[name](subject.keras.layers)([masked, lower.layer(masked)])
    model = subject.keras.Model(x, [together, upper.layer(together)])
    value = padded(uniform)
    read, outputs = (subject.to_numpy(array) for array in model(subject.tensors(value)))
    assert not matches([outputs], upper.expected(read)), "the LSTM above has no mask"
    agree([outputs], upper.expected(read, masks=[MASK]))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("both", [False, True], ids=["one_masked", "both_masked"])
@pytest.mark.parametrize("name", OF_TWO)
def test_step_counts_that_counts_in_one_of_two_branches(subject, by_hand, uniform, name, both):
    """Where masks differ; beside a branch without a mask all steps count. Keras's pull request 19685 has it so."""
    layers, branches = subject.keras.layers, [subject.keras.Input(SHAPE[1:]) for _ in range(2)]
    upper = by_hand(LSTM(UNITS), (BATCH, STEPS, 2 * FEATURES if name == "Concatenate" else FEATURES))
    second = layers.Masking(0.5)(branches[1]) if both else branches[1]
    together = OF_TWO[name](layers)([layers.Masking(0.5)(branches[0]), second])
    model = subject.keras.Model(branches, [together, upper.layer(together)])
    values = subject.tensors([padded(uniform), padded(uniform)[::-1]])
    read, outputs = (subject.to_numpy(array) for array in model(values))
    of_second = MASK[::-1] if both else np.ones_like(MASK)
    assert not matches([outputs], upper.expected(read, masks=[MASK & of_second])), "a step counts only if all count it"
    assert not both or not matches([outputs], upper.expected(read)), "the LSTM above has no mask"
    agree([outputs], upper.expected(read, masks=[MASK | of_second]))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("masked", [(True, False), (False, True), (True, True)], ids=["first", "second", "both"])
def test_masks_of_sequences_one_after_the_other(subject, by_hand, uniform, masked):
    """``Concatenate(axis=1)`` masks of each sequence the steps that it masks, and of one without a mask none."""
    layers, upper = subject.keras.layers, by_hand(LSTM(UNITS), (BATCH, 2 * STEPS, FEATURES))
    both = [subject.keras.Input(SHAPE[1:]) for _ in masked]
    together = layers.Concatenate(axis=1)([layers.Masking(0.5)(x) if one else x for x, one in zip(both, masked)])
    model = subject.keras.Model(both, [together, upper.layer(together)])
    read, outputs = (subject.to_numpy(array) for array in model(subject.tensors([padded(uniform) for _ in masked])))
    mask = np.concatenate([MASK | (not one) for one in masked], axis=1)
    assert not matches([outputs], upper.expected(read)), "the LSTM above has no mask"
    agree([outputs], upper.expected(read, masks=[mask]))


@pytest.mark.usefixtures("eager")
def test_mask_leaves_a_model_that_is_used_as_a_layer(subject, by_hand, uniform):
    """What a model hands out of a masked sequence is masked for the LSTM above it."""
    lower, upper = by_hand(LSTM(FEATURES, return_sequences=True), SHAPE), by_hand(LSTM(UNITS), SHAPE)
    x = subject.keras.Input(SHAPE[1:])
    inner = subject.keras.Model(x, lower.layer(subject.keras.layers.Masking(0.5)(x)))
    x = subject.keras.Input(SHAPE[1:])
    model = subject.keras.Model(x, upper.layer(inner(x)))
    value = padded(uniform)
    agree([subject.to_numpy(model(subject.tensors(value)))], expected_of(lower, upper, value, MASK, upper_mask=MASK))


@pytest.mark.usefixtures("eager")
def test_average_over_time_is_of_the_steps_that_count(subject, uniform):
    """GlobalAveragePooling1D above a masked sequence leaves masked steps out."""
    layers, x = subject.keras.layers, subject.keras.Input(SHAPE[1:])
    sequence = subject.lstm(UNITS, return_sequences=True)(layers.Masking(0.5)(x))
    model = subject.keras.Model(x, [sequence, layers.GlobalAveragePooling1D()(sequence)])
    value = padded(uniform)
    outputs, average = (subject.to_numpy(array) for array in model(subject.tensors(value)))
    expected = (outputs * MASK[..., np.newaxis]).sum(axis=1) / MASK.sum(axis=1, keepdims=True)
    assert near(average, expected), "masked steps count"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("axis", [1, 2], ids=["of_steps", "of_units"])
def test_shares_are_those_of_steps_that_count(subject, uniform, axis, batch):
    """Softmax above a masked sequence: over time masked steps have no share; over units each step has its own.

    There are as many units as time steps, so that a mask that is laid on units has the shape for it.
    """
    layers, mask = subject.keras.layers, MASK[:batch]
    softmax = layers.Softmax(axis)
    if "mask" not in inspect.signature(softmax.call).parameters:
        pytest.skip("the Softmax of this Keras takes no mask")
    masked = layers.Masking(0.5)(subject.tensors(padded(uniform)[:batch]))
    sequence = subject.lstm(STEPS, return_sequences=True)(masked)
    found, exponentials = subject.to_numpy(softmax(sequence)), np.exp(subject.to_numpy(sequence))
    counted = exponentials * mask[..., np.newaxis]
    expected = counted / (counted if axis == 1 else exponentials).sum(axis=axis, keepdims=True)
    assert near(found[mask], expected[mask]), "the mask is not that of time steps"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_no_attention_is_paid_to_padding(subject, by_hand, uniform, name):
    """A decoder's outputs look up those of an encoder: scores of masked steps are 0, all others have a sum of 1."""
    layers = subject.keras.layers
    encoder, decoder = (by_hand(LSTM(UNITS, return_sequences=True), SHAPE) for _ in range(2))
    attention = getattr(layers, name)()
    x, words = subject.keras.Input(SHAPE[1:]), subject.keras.Input((2, FEATURES))
    read, asked = encoder.layer(layers.Masking(0.5)(x)), decoder.layer(words)
    model = subject.keras.Model([x, words], [asked, read, attention([asked, read])])
    given = [subject.tensors(array) for array in (padded(uniform), uniform(BATCH, 2, FEATURES))]
    asked, read, found = (subject.to_numpy(array) for array in model(given))
    scores = scores_of(attention, asked, read)
    shares = np.where(MASK[:, np.newaxis], np.exp(scores), 0.0)
    expected = shares / shares.sum(axis=-1, keepdims=True) @ read
    unmasked = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True) @ read
    assert not np.allclose(found, unmasked), "masked steps are looked up too"
    assert near(found, expected), "other steps are looked up than those that count"


def scores_of(attention, asked, keys):
    """What asks has with each key the score q·k, or Σ scale·tanh(q + k) where an attention is additive."""
    if type(attention).__name__ == "Attention":
        return asked @ keys.swapaxes(1, 2)
    both = np.tanh(asked[:, :, np.newaxis] + keys[:, np.newaxis])
    return (both * np.asarray(attention.get_weights()[0])).sum(axis=-1)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_attention_is_paid_by_keys(subject, uniform, name):
    """Of ``[query, value, key]`` the scores are those of the keys: softmax(q·kᵀ)·v."""
    attention, x = getattr(subject.keras.layers, name)(), subject.keras.Input(SHAPE[1:])
    three = [subject.lstm(UNITS, return_sequences=True)(x) for _ in range(3)]
    model = subject.keras.Model(x, [*three, attention(three)])
    asked, read, keys, found = (subject.to_numpy(array) for array in model(subject.tensors(4.0 * uniform(*SHAPE))))
    shares = np.exp(scores_of(attention, asked, keys))
    assert near(found, shares / shares.sum(axis=-1, keepdims=True) @ read), "other keys are heeded"


@pytest.fixture
def heads(subject):
    """A MultiHeadAttention that heeds the masks of what it is given."""
    kind = getattr(subject.keras.layers, "MultiHeadAttention", None)
    if not kind or "use_causal_mask" not in inspect.signature(kind.call).parameters:
        pytest.skip("this Keras has no MultiHeadAttention, or one that heeds only an attention_mask")
    return kind(2, 3)


@pytest.mark.usefixtures("eager")
def test_no_head_pays_attention_to_padding(subject, uniform, heads):
    """What is looked up in a masked sequence is what is looked up in the steps that count."""
    layers = subject.keras.layers
    x, words = subject.keras.Input(SHAPE[1:]), subject.keras.Input((2, FEATURES))
    read = subject.lstm(FEATURES, return_sequences=True)(layers.Masking(0.5)(x))
    model = subject.keras.Model([x, words], [read, heads(words, read)])
    asked = uniform(BATCH, 2, FEATURES)
    read, found = (subject.to_numpy(array) for array in model(subject.tensors([padded(uniform), asked])))
    of_all = call(subject, heads, asked, value=read)
    of_those = [
        call(subject, heads, asked[row : row + 1], value=read[row : row + 1, mask]) for row, mask in enumerate(MASK)
    ]
    assert not np.allclose(found, of_all), "masked steps are looked up too"
    assert near(found, np.concatenate(of_those, axis=1)[0])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("masked", [False, True], ids=["all_count", "masked"])
@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
def test_no_attention_is_paid_to_later_steps(subject, uniform, request, name, masked):
    """With ``use_causal_mask``, which was ``causal`` once: the second step of a sequence is nothing to its first."""
    layers, x = subject.keras.layers, subject.keras.Input(SHAPE[1:])
    read = subject.lstm(FEATURES, return_sequences=True)(layers.Masking(0.5)(x) if masked else x)
    if name == "MultiHeadAttention":
        found = request.getfixturevalue("heads")(read, read, use_causal_mask=True)
    elif "use_causal_mask" in inspect.signature(getattr(layers, name).call).parameters:
        found = getattr(layers, name)()([read, read], use_causal_mask=True)
    else:
        found = getattr(layers, name)(causal=True)([read, read])
    model, value = subject.keras.Model(x, found), padded(uniform)
    other = np.where(np.arange(STEPS)[:, np.newaxis] == 1, -value, value)[:1]
    before, after = (subject.to_numpy(model(subject.tensors(array)))[0] for array in (value[:1], other))
    assert not np.allclose(before[1], after[1]), "no attention is paid to a step by itself"
    assert near(before[0], after[0]), "a step pays attention to a later one"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
def test_mask_above_attention_is_that_of_what_asks(subject, by_hand, uniform, request, name):
    """What is looked up for a masked step is masked; the mask of the steps that are looked up ends there."""
    # One row: whose steps are looked up in a batch of several is asked above.
    layers, upper = subject.keras.layers, by_hand(LSTM(UNITS), (1, STEPS, FEATURES))
    attention = request.getfixturevalue("heads") if name == "MultiHeadAttention" else getattr(layers, name)()
    both = [subject.keras.Input(SHAPE[1:]) for _ in range(2)]
    masked = [layers.Masking(0.5)(one) for one in both]
    found = attention(*masked) if name == "MultiHeadAttention" else attention(masked)
    model = subject.keras.Model(both, [found, upper.layer(found)])
    given = [padded(uniform)[:1], padded(uniform)[1:]]
    read, outputs = (subject.to_numpy(array) for array in model(subject.tensors(given)))
    assert not matches([outputs], upper.expected(read)), "the LSTM above has no mask"
    assert not matches([outputs], upper.expected(read, masks=[MASK[1:]])), "it has the mask of what is looked up"
    agree([outputs], upper.expected(read, masks=[MASK[:1]]))


@pytest.mark.parametrize("words", [3, UNITS], ids=["3_words", "as_many_words_as_units"])
def test_mask_of_words_is_not_one_of_sentences(subject, by_hand, uniform, words):
    """TimeDistributed over sentences hands no mask of their words to the layer that reads the sentences."""
    shape = (BATCH, STEPS, words, FEATURES)
    lower = by_hand(TimeDistributed(LSTM(UNITS)), shape)
    upper = by_hand(LSTM(UNITS), (BATCH, STEPS, UNITS))
    x, mask = subject.keras.Input(shape[1:]), subject.keras.Input(shape[1:-1], dtype="bool")
    model = subject.keras.Model([x, mask], upper.layer(lower.layer(x, mask=mask)))
    value = uniform(*shape)
    counts = np.arange(words) < 1 + np.arange(BATCH * STEPS).reshape(BATCH, STEPS, 1) % words
    agree([model.predict_on_batch([value, counts])], expected_of(lower, upper, value, counts, upper_mask=None))


def test_embedding_in_a_time_distributed_makes_a_mask(subject, by_hand, uniform):
    """Of sentences of tokens, ``TimeDistributed(Embedding(mask_zero=True))`` masks token 0 as Embedding does."""
    layers = subject.keras.layers
    tokens = np.array([[[1, 2, 0], [3, 0, 0]], [[4, 4, 4], [2, 1, 0]]])
    words = by_hand(TimeDistributed(LSTM(UNITS)), (*tokens.shape, FEATURES))
    table = uniform(5, FEATURES)
    embedding = layers.Embedding(5, FEATURES, mask_zero=True)
    x = subject.keras.Input(tokens.shape[1:], dtype="int32")
    model = subject.keras.Model(x, words.layer(layers.TimeDistributed(embedding)(x)))
    embedding.set_weights([table])
    outputs = [model.predict_on_batch(tokens)]
    assert not matches(outputs, words.expected(table[tokens])), "no token is masked"
    agree(outputs, words.expected(table[tokens], masks=[tokens != 0]))


def test_sentence_without_words_is_masked(subject, by_hand, uniform):
    """Documents are padded with sentences of nothing but padding; the layer that reads sentences skips them."""
    layers = subject.keras.layers
    tokens = np.array([[[1, 2, 0], [3, 0, 0], [0, 0, 0]], [[4, 4, 4], [0, 0, 0], [0, 0, 0]]])
    lower = by_hand(TimeDistributed(LSTM(UNITS)), (*tokens.shape, FEATURES))
    upper = by_hand(LSTM(UNITS), (BATCH, STEPS, UNITS))
    embedding, table = layers.Embedding(5, FEATURES, mask_zero=True), uniform(5, FEATURES)
    x = subject.keras.Input(tokens.shape[1:], dtype="int32")
    model = subject.keras.Model(x, upper.layer(lower.layer(layers.TimeDistributed(embedding)(x))))
    embedding.set_weights([table])
    outputs, words = [model.predict_on_batch(tokens)], tokens != 0
    assert not matches(outputs, expected_of(lower, upper, table[tokens], None, None)), "no token is masked"
    assert not matches(outputs, expected_of(lower, upper, table[tokens], words, None)), "no sentence is masked"
    agree(outputs, expected_of(lower, upper, table[tokens], words, words.any(axis=-1)))


def test_embedding_masks_nothing_unless_asked(subject, by_hand, uniform):
    """Token 0 is a token like any other without ``mask_zero=True``."""
    layers, tokens = subject.keras.layers, np.array([[0, 1, 0], [2, 0, 4]])
    lstm, embedding, table = by_hand(LSTM(UNITS), SHAPE), layers.Embedding(5, FEATURES), uniform(5, FEATURES)
    x = subject.keras.Input(tokens.shape[1:], dtype="int32")
    model = subject.keras.Model(x, lstm.layer(embedding(x)))
    embedding.set_weights([table])
    agree([model.predict_on_batch(tokens)], lstm.expected(table[tokens]))


def expected_of(lower, upper, x, lower_mask, upper_mask):
    """What two layers return, one reading the other, each with a mask of its own."""

    def compute(tile, fl):
        masks = [None if mask is None else tile(mask) for mask in (lower_mask, upper_mask)]
        below = lower.description.run(tile(x.astype(np.float64)), lower.weights, Given((), masks[0], fl))
        return upper.description.run(below.outputs[0], upper.weights, Given((), masks[1], fl)).outputs

    return estimate(compute, "float32", seed=0)


@pytest.mark.parametrize("name", ["Conv1D", "Flatten", "GlobalMaxPooling1D"])
def test_layer_that_takes_no_mask_refuses_one(subject, name):
    """As the documentation of Masking and of Embedding promises; it would take padding for data."""
    layers = subject.keras.layers
    x = layers.Masking(0.5)(layers.Input(SHAPE[1:]))
    layer = getattr(layers, name)(*([1, 1] if name == "Conv1D" else []))
    try:
        layer(subject.lstm(UNITS, return_sequences=True)(x))
    except Exception:
        return
    pytest.fail("the mask is dropped")
