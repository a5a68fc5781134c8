"""TimeDistributed over an axis of open length: one model, any number of slices."""

from functools import reduce

import numpy as np
import pytest
from by_hand import agree, call, matches, near

from conformance.dropout import candidate_weights, wrong_entries
from conformance.subject.build import flat
from reference_impl import LSTM, Bidirectional, Dense, TimeDistributed

BATCH, STEPS, FEATURES, UNITS = 2, 4, 5, 3
LINEAR = {"activation": None, "recurrent_activation": None}

LAYERS = {
    "LSTM": LSTM(UNITS),
    "LSTM-sequences": LSTM(UNITS, return_sequences=True, go_backwards=True),
    "Bidirectional": Bidirectional(LSTM(UNITS), merge_mode="sum"),
    "Dense": Dense(UNITS, activation="tanh"),
}


#: Of the second length TensorFlow makes a graph in which it is open.
SLICES = (1, 3, 2)


@pytest.mark.parametrize("name", LAYERS)
def test_number_of_slices_is_open(subject, by_hand, uniform, name):
    shape = (None, None, FEATURES) if name == "Dense" else (None, None, STEPS, FEATURES)
    layer = by_hand(TimeDistributed(LAYERS[name]), shape)
    model = of(subject, layer.layer, shape)
    for slices in SLICES:
        x = uniform(BATCH, slices, *shape[2:])
        agree([model.predict_on_batch(x)], layer.expected(x))


@pytest.mark.parametrize("name", LAYERS)
def test_each_sample_has_slices_of_its_own_number(subject, by_hand, uniform, name):
    """Ragged in the axis of slices, input makes output that is ragged alike."""
    if subject.tensorflow is None or subject.generation >= 3 or not subject.eager:
        pytest.skip("this Keras takes no ragged tensors")
    shape = (None, None, FEATURES) if name == "Dense" else (None, None, STEPS, FEATURES)
    layer = by_hand(TimeDistributed(LAYERS[name]), shape)
    slices = uniform(5, *shape[2:])
    outputs = layer.layer(subject.tensorflow.RaggedTensor.from_row_lengths(subject.tensors(slices), [3, 0, 2]))
    assert subject.to_numpy(outputs.row_lengths()).tolist() == [3, 0, 2]
    agree([subject.to_numpy(outputs.values)[np.newaxis]], layer.expected(slices[np.newaxis]))


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_slices_of_slices(subject, by_hand, uniform, masked):
    """A TimeDistributed of another: an LSTM of the words of each sentence of each paragraph."""
    x, counts = uniform(BATCH, 2, 3, STEPS, FEATURES), uniform(BATCH, 2, 3, STEPS) > 0.0
    lstm, wrapper = by_hand(LSTM(UNITS), (BATCH, STEPS, FEATURES)), subject.keras.layers.TimeDistributed
    (outputs,) = call(subject, wrapper(wrapper(lstm.layer)), x, **({"mask": counts} if masked else {}))
    assert outputs.shape == (BATCH, 2, 3, UNITS)
    sentences, words = x.reshape(-1, STEPS, FEATURES), counts.reshape(-1, STEPS)
    agree([outputs.reshape(-1, UNITS)], lstm.expected(sentences, masks=[words] if masked else None))


def test_masks_of_each_slice(subject, by_hand, uniform):
    """A mask has an axis of slices too; slice by slice it reaches the layer."""
    shape = (None, None, STEPS, FEATURES)
    layer = by_hand(TimeDistributed(LSTM(UNITS, return_sequences=True)), shape)
    mask = subject.keras.Input(shape[1:-1], dtype="bool")
    model = of(subject, layer.layer, shape, mask)
    for slices in SLICES:
        x, counts = uniform(BATCH, slices, STEPS, FEATURES), uniform(BATCH, slices, STEPS) > 0.0
        agree([model.predict_on_batch([x, counts])], layer.expected(x, masks=[counts]))


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_slices_of_a_stateful_layer(subject, by_hand, uniform, masked):
    """A stateful layer goes from slice to slice, and starts each from the states in which it ended the one before."""
    x = uniform(BATCH, 3, STEPS, FEATURES)
    lstm = by_hand(LSTM(UNITS, stateful=True), (BATCH, STEPS, FEATURES))
    layer = subject.keras.layers.TimeDistributed(lstm.layer)
    mask = uniform(BATCH, 3, STEPS) > 0.0
    (outputs,) = call(subject, layer, x, **({"mask": mask} if masked else {}))
    for last in range(3):
        slices, masks = ([array[:, number] for number in range(last + 1)] for array in (x, mask))
        agree([outputs[:, last]], lstm.expected(*slices, masks=masks if masked else None))


def test_training_reaches_the_layer(by_hand, uniform):
    """Dropout in training, which keeps all of these 80 entries once in 2**80 times; none at inference."""
    shape = (8, 2, STEPS, FEATURES)
    layer = by_hand(TimeDistributed(LSTM(UNITS, dropout=0.5)), shape)
    x = uniform(*shape)
    agree(layer(x, training=False), layer.expected(x))
    assert not matches(layer(x, training=True), layer.expected(x)), "nothing is dropped in training"


def test_layer_keeps_its_dtype(subject):
    """A float32 layer among mixed ones, the advice for a head, computes in float32 inside of a TimeDistributed too."""
    if not subject.has_mixed_policies:
        pytest.skip("this Keras has no mixed precision, or as an experiment")
    layers = subject.keras.layers
    dense = layers.Dense(UNITS, dtype="float32", use_bias=False)
    layer = layers.TimeDistributed(dense, dtype=subject.policy("mixed_float16"))
    layer.build((BATCH, STEPS, FEATURES))
    layer.set_weights([np.full((FEATURES, UNITS), 1e-8, "float32")])  # nothing in float16
    (outputs,) = call(subject, layer, np.ones((BATCH, STEPS, FEATURES), "float32"))
    assert outputs.dtype == "float32", f"the head returns {outputs.dtype}"
    assert outputs.all(), "the head computes in float16"


@pytest.mark.usefixtures("eager")
def test_activity_regularizer_counts(subject, uniform):
    """The activity loss of the layer inside is among the losses."""
    layers, regularizers = subject.keras.layers, subject.keras.regularizers
    layer = layers.TimeDistributed(subject.lstm(UNITS, activity_regularizer=regularizers.l2(1.0)))
    layer(subject.tensors(uniform(BATCH, 2, STEPS, FEATURES)))
    assert len(layer.losses) > 0, "there is no activity loss"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("slices", [None, 3], ids=["open", "known"])
@pytest.mark.parametrize("way", ["eager", "graph"])
def test_slices_have_dropout_masks_of_their_own(subject, way, slices):
    """Slices are independent; by chance two of them share a mask of 64 entries once in 2**64 times."""
    layer = subject.keras.layers.TimeDistributed(subject.lstm(64, dropout=0.5, **LINEAR))
    shape = (None, slices, STEPS, 64)
    layer.build(shape)
    layer.set_weights(candidate_weights("inputs", 64, 64))

    def draw(x):
        return layer(x, training=True)

    if way == "graph":
        draw = subject.tensorflow.function(draw, input_signature=[subject.tensorflow.TensorSpec(shape)])
    masks = subject.to_numpy(draw(subject.tensors(np.ones((3, 3, STEPS, 64), "float32")))) - 1.0
    assert not wrong_entries(masks, 0.5)
    assert not (masks[:, 1:] == masks[:, :1]).all(axis=(0, 2)).any(), "slices have the same masks"


def test_slices_are_normalized_by_themselves(subject, uniform):
    """Slices are independent: BatchNormalization has moments of each, and moves its averages by one after the other."""
    norm, x = subject.keras.layers.BatchNormalization(momentum=0.75, epsilon=0.25), 2.0 + uniform(3, STEPS, FEATURES)
    (outputs,) = call(subject, subject.keras.layers.TimeDistributed(norm), x, training=True)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    assert np.allclose(outputs * np.sqrt(variance + 0.25) + mean, x), "slices are normalized by moments of others"
    moved = reduce(lambda averages, of_slice: 0.75 * averages + 0.25 * of_slice, mean, np.zeros(FEATURES))
    assert np.allclose(norm.get_weights()[2], moved), "the averages are not those of one slice after the other"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("several", ["inputs", "outputs"])
def test_model_of_several_inputs_or_outputs(subject, uniform, draw_weights, several):
    """Inputs may be nested: slice by slice the model within is given one of each."""
    layers, shapes = subject.keras.layers, [(STEPS, FEATURES), (UNITS,)]
    inputs = [layers.Input(shape) for shape in shapes]
    read = [subject.lstm(UNITS)(inputs[0]), inputs[1]]
    outputs = layers.add(read) if several == "inputs" else [read[0], layers.Dense(1)(read[0])]
    within = draw_weights(subject.keras.models.Model(inputs if several == "inputs" else inputs[0], outputs))
    arrays = [uniform(BATCH, 2, *shape) for shape in shapes][: len(within.inputs)]
    given = [layers.Input((2, *shape)) for shape in shapes][: len(within.inputs)]
    outer = layers.TimeDistributed(within)(given if len(given) > 1 else given[0])
    found = flat(subject.keras.models.Model(given, outer).predict_on_batch(arrays))
    for number in range(2):
        expected = flat(within.predict_on_batch([array[:, number] for array in arrays]))
        assert all(near(one[:, number], other) for one, other in zip(found, expected))


def of(subject, layer, shape, *mask):
    x = subject.keras.Input(shape[1:])
    outputs = layer(x, mask=mask[0]) if mask else layer(x)
    return subject.keras.Model([x, *mask], outputs)
