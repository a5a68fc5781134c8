"""Layers that do nothing but drop, as they stand between LSTMs."""

import numpy as np
import pytest
from by_hand import call
from dropping import FALSE_ALARM

from conformance.dropout import probability

pytestmark = pytest.mark.usefixtures("drawn_from_the_id")

#: Layers that drop; 1 in a ``noise_shape`` is an axis along which all is kept or dropped together.
DROPPING = {
    "Dropout": lambda layers, rate: layers.Dropout(rate),
    "Dropout-noise_shape": lambda layers, rate: layers.Dropout(rate, noise_shape=(None, 1, 32)),
    "Dropout-open_noise_shape": lambda layers, rate: layers.Dropout(rate, noise_shape=(None, 1, None)),
    "SpatialDropout1D": lambda layers, rate: layers.SpatialDropout1D(rate),
}


@pytest.mark.parametrize("rate", [0.5, 0.75])
@pytest.mark.parametrize("name", DROPPING)
def test_layer_that_drops(subject, uniform, name, rate):
    """Dropout zeroes entries, the others features at all steps; what is kept is multiplied by 1/(1 - rate)."""
    layer, x = DROPPING[name](subject.keras.layers, rate), 2.0 + uniform(8, 6, 32)
    (outputs,) = call(subject, layer, x, training=True)
    kept = outputs != 0.0
    scaled = np.where(kept, x / np.float32(1.0 - rate), np.float32(0.0))
    assert np.array_equal(outputs, scaled), "what is kept is not multiplied by 1/(1 - rate)"
    if name != "Dropout":
        assert (kept == kept[:, :1]).all(), "a feature is dropped at some steps"
        kept = kept[:, 0]
    assert probability(int(kept.sum()), kept.size, 1.0 - rate) >= FALSE_ALARM, f"of the entries {kept.mean()} are kept"
    assert not (kept == kept[0]).all(), "all rows have the same mask"
    (at_inference,) = call(subject, layer, x, training=False)
    assert np.array_equal(at_inference, x)


@pytest.mark.parametrize("name", ["Dropout", "SpatialDropout1D"])
def test_layers_that_drop_heed_their_seed(subject, uniform, name):
    """Those with an equal ``seed`` drop the same in their first calls."""
    if subject.generation < 3:
        pytest.skip("in this Keras what is drawn depends on the global seed and on the operations before, too")
    make, x = getattr(subject.keras.layers, name), 2.0 + uniform(8, 6, 32)
    first, again, other = (call(subject, make(0.5, seed=number), x, training=True)[0] for number in (7, 7, 8))
    assert np.array_equal(first, again), "layers with equal seeds drop other entries"
    assert not np.array_equal(first, other), "layers with different seeds drop the same"
