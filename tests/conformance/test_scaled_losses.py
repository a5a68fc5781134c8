"""Losses that are scaled for half precision, and the gradients scaled back."""

import numpy as np
import pytest
from learning import EAGERLY, FEATURES, STEPS, UNITS, rates, same
from settings import global_policy

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def scaling(subject, sgd):
    """SGD with a rate of 0.5 and further arguments, within what scales losses for half precision."""
    scaling = getattr(subject.keras.optimizers, "LossScaleOptimizer", None)
    if scaling is None:
        pytest.skip("this Keras has no optimizers.LossScaleOptimizer")
    return lambda **given: scaling(sgd(0.5, **given))


def test_factor_of_the_loss_beside_a_scale(learner, data, scaling):
    """As for a model in half precision: an optimizer that has a factor of its own takes whole steps."""
    model = learner()
    model.compile(loss="mse", optimizer=scaling(loss_scale_factor=64.0), **EAGERLY)
    (found,) = rates(model, *data, steps=1)
    assert np.isclose(found, 0.5), f"the rate was {found:.4g}, not 0.5"


def test_steps_with_scaled_losses_are_counted(subject, learner, data, scaling):
    model = learner()
    model.compile(loss="mse", optimizer=scaling(), **EAGERLY)
    for _ in range(2):
        model.train_on_batch(*data)
    found = int(subject.to_numpy(model.optimizer.iterations))
    assert found == 2, f"{found} steps are counted of 2"


@pytest.fixture
def scaling_class(subject, mixed):
    """The class of what scales losses for half precision."""
    found = getattr(subject.keras.mixed_precision, "LossScaleOptimizer", None)
    if found is None:
        pytest.skip("this Keras has no LossScaleOptimizer, or as an experiment")
    return found


def scale_of(subject, optimizer):
    """What a loss of 1 is scaled to."""
    scaled = optimizer.scale_loss if subject.generation >= 3 else optimizer.get_scaled_loss
    return float(scaled(subject.tensors(np.ones((), "float32"))))


def test_overflow_halves_the_scale_of_losses(subject, learner, data, sgd, scaling_class):
    """And moves no weight. The next step, whose gradients are finite, does."""
    model, (x, y) = learner(), data
    optimizer = scaling_class(sgd(0.5), initial_scale=1024.0)
    model.compile(loss="mse", optimizer=optimizer, **EAGERLY)
    start = model.get_weights()
    model.train_on_batch(x, np.full_like(y, np.inf))
    assert same(model.get_weights(), start), "weights moved"
    scale = scale_of(subject, optimizer)
    assert scale == 512.0, f"the scale is {scale:.4g}, not 512"
    model.train_on_batch(x, y)
    assert not same(model.get_weights(), start), "nothing is learnt after it"


@pytest.mark.parametrize("number", [np.inf, np.nan])
@pytest.mark.parametrize("overflown", [0, 1, 2])
def test_one_gradient_that_overflows_is_enough(subject, draw_weights, sgd, scaling_class, overflown, number):
    """No weight moves, not those either whose gradients are finite, and the scale is halved."""
    lstm = subject.lstm(UNITS)
    lstm.build((None, STEPS, FEATURES))
    start = draw_weights(lstm).get_weights()
    gradients = [np.ones_like(weight) for weight in start]
    gradients[overflown].flat[0] = number
    optimizer = scaling_class(sgd(0.5), initial_scale=1024.0)
    optimizer.apply_gradients(list(zip(subject.tensors(gradients), lstm.trainable_weights)))
    assert same(lstm.get_weights(), start), "weights moved"
    scale = scale_of(subject, optimizer)
    assert scale == 512.0, f"the scale is {scale:.4g}, not 512"


def test_scale_of_losses_grows(subject, learner, data, sgd, scaling_class):
    """It is doubled after each two steps whose gradients are finite."""
    model, found = learner(), []
    optimizer = scaling_class(sgd(0.5), initial_scale=64.0, dynamic_growth_steps=2)
    model.compile(loss="mse", optimizer=optimizer, **EAGERLY)
    for _ in range(4):
        model.train_on_batch(*data)
        found.append(scale_of(subject, optimizer))
    assert found == [64.0, 128.0, 128.0, 256.0], f"the scales are {found}"


def test_losses_of_half_precision_are_scaled(subject, learner, scaling_class):
    """``compile`` sees to it where a model's policy is mixed_float16."""
    for policy in ("mixed_float16", "float32"):
        with global_policy(subject, policy):
            model = learner()
            model.compile(loss="mse", optimizer="sgd")
        assert isinstance(model.optimizer, scaling_class) == (policy == "mixed_float16"), f"not as {policy} needs it"
