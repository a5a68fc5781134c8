"""Fixtures of the tests that ask one thing of one layer."""

import numpy as np
import pytest
from by_hand import ByHand
from dropping import set_seed
from keeping import keep
from learning import FEATURES, SAMPLES, STEPS, UNITS

from conformance.data import seed


@pytest.fixture
def uniform(request):
    """Float32 numbers between -1 and 1 that float16 holds too, drawn from the test's id."""
    random = np.random.RandomState(seed(request.node.name))

    def uniform(*shape):
        return (2.0 * random.random_sample(shape) - 1.0).astype(np.float16).astype(np.float32)

    return uniform


@pytest.fixture
def integers(uniform):
    """Integers between -8 and 8 as float32, of which sums and halves are exact."""
    return lambda *shape: np.rint(8.0 * uniform(*shape)).astype("float32")


@pytest.fixture
def draw_weights(uniform):
    """Give a model, or a layer that is built, drawn weights."""

    def draw_weights(model):
        model.set_weights([uniform(*weight.shape) for weight in model.get_weights()])
        return model

    return draw_weights


@pytest.fixture
def drawn_from_the_id(request, subject):
    """Seed what Keras draws from with the test's id."""
    set_seed(subject, seed(request.node.name))


@pytest.fixture
def kept(subject, tmp_path):
    """Keep a model in one of the ways, and give back what is read or copied."""

    def kept(model, way, program=None):
        return keep(subject, model, way, program, tmp_path)

    return kept


@pytest.fixture
def eager(subject):
    """Skip where layers and models do not compute when they are called."""
    if not subject.eager:
        pytest.skip("this Keras does not compute eagerly")


@pytest.fixture
def mixed(subject):
    """Skip where there is no mixed precision."""
    if not subject.has_mixed_policies:
        pytest.skip("this Keras has no mixed precision, or as an experiment")


@pytest.fixture
def by_hand(subject, uniform):
    """Make a layer to call by hand from its description and the shape of its input, batch first."""

    def by_hand(description, input_shape, dtype="float32"):
        return ByHand(subject, description, input_shape, uniform, dtype)

    return by_hand


@pytest.fixture
def data(uniform):
    """Sequences, and a number for each to learn."""
    return uniform(SAMPLES, STEPS, FEATURES), uniform(SAMPLES, 1)


@pytest.fixture
def learner(subject, uniform):
    """Make a small model, every time from the same weights, of which the last, the bias of its head, is 0."""
    start = [uniform(*shape) for shape in ((FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,), (UNITS, 1))]

    def learner():
        inputs = subject.keras.layers.Input((STEPS, FEATURES))
        model = subject.keras.models.Model(inputs, subject.keras.layers.Dense(1)(subject.lstm(UNITS)(inputs)))
        model.set_weights([*start, np.zeros(1, "float32")])
        return model

    return learner


@pytest.fixture
def sgd(subject):
    """The class of the optimizer that moves each weight by its gradient."""
    return subject.keras.optimizers.SGD
