"""TimeDistributed over an axis of open length: one model, any number of slices."""

import pytest
from by_hand import agree, matches

from reference_impl import LSTM, Bidirectional, Dense, TimeDistributed

BATCH, STEPS, FEATURES, UNITS = 2, 4, 5, 3

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


def test_masks_of_each_slice(subject, by_hand, uniform):
    """A mask has an axis of slices too; slice by slice it reaches the layer."""
    shape = (None, None, STEPS, FEATURES)
    layer = by_hand(TimeDistributed(LSTM(UNITS, return_sequences=True)), shape)
    mask = subject.keras.Input(shape[1:-1], dtype="bool")
    model = of(subject, layer.layer, shape, mask)
    for slices in SLICES:
        x, counts = uniform(BATCH, slices, STEPS, FEATURES), uniform(BATCH, slices, STEPS) > 0.0
        agree([model.predict_on_batch([x, counts])], layer.expected(x, masks=[counts]))


def test_training_reaches_the_layer(by_hand, uniform):
    """Dropout in training, which keeps all of these 80 entries once in 2**80 times; none at inference."""
    shape = (8, 2, STEPS, FEATURES)
    layer = by_hand(TimeDistributed(LSTM(UNITS, dropout=0.5)), shape)
    x = uniform(*shape)
    agree(layer(x, training=False), layer.expected(x))
    assert not matches(layer(x, training=True), layer.expected(x)), "nothing is dropped in training"


def of(subject, layer, shape, *mask):
    x = subject.keras.Input(shape[1:])
    outputs = layer(x, mask=mask[0]) if mask else layer(x)
    return subject.keras.Model([x, *mask], outputs)
