"""The LSTM of TensorFlow 1 that Keras 2 has too; ``--keras tensorflow.compat.v1.keras`` judges it whole."""

import pytest
from by_hand import ByHand, agree

from conformance.masks import pattern
from conformance.subject import load
from reference_impl import LSTM, Bidirectional

BATCH, STEPS, FEATURES, UNITS = 3, 4, 5, 3
SHAPE = (BATCH, STEPS, FEATURES)
OLD = "tensorflow.compat.v1.keras"

LAYERS = {
    "LSTM": LSTM(UNITS, return_sequences=True, return_state=True),
    "backwards": LSTM(UNITS, go_backwards=True, implementation=1, activation="relu"),
    "unroll": LSTM(UNITS, unroll=True, return_state=True, use_bias=False),
    "bidirectional": Bidirectional(LSTM(UNITS, return_sequences=True)),
}


@pytest.fixture(scope="module")
def old(subject):
    if subject.flavour != "tensorflow.keras" or subject.generation > 2:
        pytest.skip("layers of TensorFlow 1 are not beside those of this Keras, or are judged themselves")
    return load(OLD)


@pytest.mark.parametrize("mask", ["", "gaps"], ids=["unmasked", "masked"])
@pytest.mark.parametrize("name", LAYERS)
def test_old_layer(old, uniform, name, mask):
    layer, x = ByHand(old, LAYERS[name], SHAPE, uniform), uniform(*SHAPE)
    given = {"mask": pattern(mask, BATCH, STEPS)} if mask else {}
    agree(layer(x, **given), layer.expected(x, masks=list(given.values())))


@pytest.mark.parametrize("name", LAYERS)
def test_old_layer_that_is_given_states(old, uniform, name):
    layer, x = ByHand(old, LAYERS[name], SHAPE, uniform), uniform(*SHAPE)
    states = [uniform(*shape) for shape in LAYERS[name].state_shapes(SHAPE)]
    agree(layer(x, initial_state=states), layer.expected(x, initial_state=states))
