"""Dtype policies: of the whole program, of a layer and of its parts."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from by_hand import agree, call
from settings import floatx, global_policy

from conformance.subject.build import flat
from reference_impl import LSTM, RNN, Bidirectional, LSTMCell, StackedRNNCells, TimeDistributed

BATCH, STEPS, FEATURES, UNITS = 2, 3, 4, 3
SHAPE = (BATCH, STEPS, FEATURES)

LAYERS = {
    "LSTM": LSTM(UNITS, return_sequences=True),
    "RNN": RNN(LSTMCell(UNITS)),
    "StackedRNNCells": RNN(StackedRNNCells((LSTMCell(4), LSTMCell(UNITS)))),
    "Bidirectional": Bidirectional(LSTM(UNITS)),
    "TimeDistributed": TimeDistributed(LSTM(UNITS)),
}

mixed = pytest.mark.usefixtures("mixed")


@mixed
@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_global_policy_is_that_of_a_layer(subject, by_hand, uniform, name, policy):
    """A layer made under it computes, bit by bit, what one does that is given the policy."""
    shape = (BATCH, 2, STEPS, FEATURES) if name == "TimeDistributed" else SHAPE
    x = uniform(*shape).astype("float64" if policy == "float64" else "float32")
    told = by_hand(LAYERS[name], shape, policy)
    with global_policy(subject, policy):
        layer = subject.layer(LAYERS[name], "float32")
        layer.build(shape)
        layer.set_weights(told.weights)
        outputs = call(subject, layer, x)
    for one, other in zip(outputs, told(x)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@mixed
@pytest.mark.parametrize("stacked", [False, True], ids=["cell", "stack"])
def test_initial_state_of_a_cell_is_of_its_compute_dtype(subject, stacked):
    cell = subject.keras.layers.LSTMCell(UNITS, dtype=subject.policy("mixed_float16"))
    if not hasattr(cell, "get_initial_state") or subject.generation < 3:
        pytest.skip("cells of this Keras are told the dtype of their initial states")
    cell = subject.keras.layers.StackedRNNCells([cell, cell]) if stacked else cell
    assert {subject.to_numpy(state).dtype.name for state in flat(cell.get_initial_state(batch_size=2))} == {"float16"}


@mixed
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
def test_rnn_returns_its_own_dtype(subject, uniform, sequences):
    """Whatever its cell computes in; its states too."""
    if subject.generation < 3:
        pytest.skip("the dtype of an RNN is that of its cell in this Keras")
    layers = subject.keras.layers
    cell = layers.LSTMCell(UNITS, dtype="float32")
    layer = layers.RNN(cell, dtype="float16", return_sequences=sequences, return_state=True)
    assert [output.dtype.name for output in call(subject, layer, uniform(*SHAPE))] == ["float16"] * 3


@mixed
def test_head_of_float32_in_a_model_of_half_precision(subject, uniform):
    """It reads what half precision makes, and computes in float32, from weights that half precision does not hold."""
    keras = subject.keras
    weights = [array / np.float32(3.0) for array in (uniform(UNITS, 2), uniform(2))]
    with global_policy(subject, "mixed_float16"):
        x, lstm, head = keras.Input(SHAPE[1:]), subject.lstm(UNITS), keras.layers.Dense(2, dtype="float32")
        read = lstm(x)
        model = keras.Model(x, [read, head(read)])
        head.set_weights(weights)
        read, found = call(subject, model, uniform(*SHAPE))
    assert [read.dtype.name, found.dtype.name] == ["float16", "float32"]
    kernel, bias = weights
    expected = read.astype("float32") @ kernel + bias
    rounded = read.astype("float32") @ kernel.astype("float16") + bias.astype("float16")
    assert not np.allclose(rounded, expected), "the weights tell nothing"
    assert np.allclose(found, expected), "it computes with weights that are rounded to half precision"


@mixed
def test_tokens_are_not_rounded(subject):
    """Float16 does not hold 2049: tokens given as numbers of float32 are looked up as they are."""
    embedding = subject.keras.layers.Embedding(3000, 2, dtype=subject.policy("mixed_float16"))
    embedding.build((None, 1))
    embedding.set_weights([np.arange(6000.0).reshape(3000, 2) / 8192])
    (output,) = call(subject, embedding, np.array([[2049.0]], "float32"))
    assert np.array_equal(output[0, 0], np.float16(np.array([4098, 4099]) / 8192)), "another token was looked up"


def test_tokens_of_many_words_are_not_cut(subject):
    """Given as numbers of float32, as by a model that was told no dtype."""
    embedding = subject.keras.layers.Embedding(70001, 1)
    embedding.build((None, 1))
    embedding.set_weights([np.arange(70001.0).reshape(70001, 1)])
    tokens = np.array([[70000.0, 32768.0, 4464.0]], "float32")
    (output,) = call(subject, embedding, tokens)
    assert np.array_equal(output[..., 0], tokens)


def test_floatx_is_the_dtype_of_a_layer(subject, by_hand, uniform):
    """Of its weights, of its output and states, and what they are computed in."""
    description = LSTM(UNITS, return_state=True)
    told, x = by_hand(description, SHAPE, "float64"), uniform(*SHAPE).astype("float64")
    with floatx(subject, "float64"):
        # Of its other arguments, the LSTM of TensorFlow 1 has another default for this one.
        layer = subject.lstm(UNITS, return_state=True, recurrent_activation=description.recurrent_activation)
        layer.build(SHAPE)
        layer.set_weights(told.weights)
        outputs, weights = call(subject, layer, x), layer.get_weights()
    assert {array.dtype.name for array in (*weights, *outputs)} == {"float64"}
    agree(outputs, told.expected(x))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
def test_attention_of_half_precision_leaves_padding_out(subject, uniform, name):
    """And returns half precision, as any layer of it does. As many steps ask as there are rows."""
    layers, x, counts = subject.keras.layers, uniform(*SHAPE).astype("float16"), np.arange(STEPS) < 2
    if not hasattr(layers, name):
        pytest.skip(f"this Keras has no {name}")
    heads = name == "MultiHeadAttention"
    layer = layers.MultiHeadAttention(1, UNITS, dtype="float16") if heads else getattr(layers, name)(dtype="float16")

    def attention(values):
        given = subject.tensors(x[:, :BATCH]), subject.tensors(values)
        mask = subject.tensors(np.broadcast_to(counts, (BATCH, STEPS)))
        if heads:
            return layer(*given, attention_mask=mask)
        return layer(list(given), mask=[subject.tensors(np.ones((BATCH, BATCH), bool)), mask])

    found, expected = (subject.to_numpy(attention(np.where(counts[:, None], x, value))) for value in (x, 8 * x))
    assert found.dtype == "float16", f"it returns {found.dtype}"
    assert np.array_equal(found, expected)


@mixed
def test_global_policy_is_that_of_every_thread(subject):
    """It is set globally, as its documentation says."""
    with global_policy(subject, "mixed_float16"), ThreadPoolExecutor(1) as threads:
        found = threads.submit(lambda: subject.lstm(UNITS).compute_dtype).result()
    assert found == "float16", f"a layer made in another thread computes in {found}"
