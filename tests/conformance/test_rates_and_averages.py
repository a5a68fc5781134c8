"""What optimizers do beside a step: other rates, gradients that are gathered, averages of weights."""

import inspect

import numpy as np
import pytest
from learning import EAGERLY, FEATURES, SAMPLES, STEPS, UNITS, WHOLE, differences, keeping, rates, same

pytestmark = pytest.mark.usefixtures("eager")


def test_rate_is_assigned_between_steps(learner, data, sgd):
    model, assigned = learner(), [0.5, 0.125, 2.0]
    model.compile(loss="mse", optimizer=sgd(0.25), **EAGERLY)

    def assign(step):
        model.optimizer.learning_rate = assigned[step]

    found = rates(model, *data, steps=3, between=assign)
    assert np.allclose(found, assigned), f"the rates were {found}, not {assigned}"


#: What makes an optimizer, from Keras's optimizers, and the rates of its first steps.
FALLING = {
    "exponential": (
        lambda optimizers: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.5, decay_steps=2, decay_rate=0.25)),
        [0.5, 0.25, 0.125],
    ),
    "by_steps": (
        lambda optimizers: optimizers.SGD(optimizers.schedules.PiecewiseConstantDecay([0, 1], [0.5, 0.25, 2.0])),
        [0.5, 0.25, 2.0],
    ),
    "function": (lambda optimizers: optimizers.SGD(lambda: 0.25), [0.25, 0.25, 0.25]),
    "decay": (
        lambda optimizers: getattr(optimizers, "legacy", optimizers).SGD(0.5, decay=1.0),
        [0.5, 0.5 / 2.0, 0.5 / 3.0],
    ),
}


@pytest.mark.parametrize("name", FALLING)
def test_rate_falls_from_step_to_step(subject, learner, data, name):
    """The first step has the rate of step 0."""
    if name == "decay" and subject.generation >= 3:
        pytest.skip("optimizers of Keras 3 have no decay")
    optimizer, expected = FALLING[name]
    model = learner()
    model.compile(loss="mse", optimizer=optimizer(subject.keras.optimizers), **EAGERLY)
    found = rates(model, *data, steps=3)
    assert np.allclose(found, expected), f"the rates were {found}, not {expected}"


#: Schedules by hand: the class, its arguments, and the rates of steps 0, 1, ... 5.
SCHEDULES = {
    "exponential": ("ExponentialDecay", (0.5, 2, 0.25), {}, [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]),
    "in_stairs": ("ExponentialDecay", (0.5, 2, 0.25), {"staircase": True}, [0.5, 0.5, 0.125, 0.125, 0.03125, 0.03125]),
    "inverse": ("InverseTimeDecay", (0.5, 2, 2.0), {}, [0.5, 0.5 / 2, 0.5 / 3, 0.5 / 4, 0.5 / 5, 0.5 / 6]),
    "inverse_in_stairs": (
        "InverseTimeDecay",
        (0.5, 2, 2.0),
        {"staircase": True},
        [0.5, 0.5, 0.5 / 3, 0.5 / 3, 0.5 / 5, 0.5 / 5],
    ),
    "polynomial": ("PolynomialDecay", (0.5, 4, 0.0), {"power": 2.0}, [0.5, 0.28125, 0.125, 0.03125, 0.0, 0.0]),
    "in_cycles": ("PolynomialDecay", (0.5, 2, 0.0), {"cycle": True}, [0.5, 0.25, 0.0, 0.125, 0.0, 0.5 / 6]),
    "cosine": (
        "CosineDecay",
        (0.5, 4),
        {"alpha": 0.5},
        [0.25 + 0.25 * (0.5 + 0.5 * np.cos(np.pi * min(step, 4) / 4)) for step in range(6)],
    ),
    "warmed_up": (
        "CosineDecay",
        (0.125, 2),
        {"alpha": 0.5, "warmup_target": 0.5, "warmup_steps": 2},
        [0.125, 0.3125, 0.5, 0.375, 0.25, 0.25],
    ),
    "begun_again": (
        "CosineDecayRestarts",
        (0.5, 2),
        {"m_mul": 0.5},
        [0.5, 0.25, *(0.125 + 0.125 * np.cos(np.pi * step / 4) for step in range(4))],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_of_a_schedule(subject, name):
    maker, arguments, given, expected = SCHEDULES[name]
    schedule = getattr(getattr(subject.keras.optimizers, "schedules", None), maker, None)
    if schedule is None:
        pytest.skip(f"this Keras has no {maker}")
    missing = [argument for argument in given if argument not in inspect.signature(schedule).parameters]
    if missing:
        pytest.skip(f"{maker} of this Keras has no {' and '.join(missing)}")
    found = [float(subject.to_numpy(schedule(*arguments, **given)(step))) for step in range(6)]
    assert np.allclose(found, expected), f"the rates are {found}, not {expected}"


def test_scheduler_of_rates_is_asked_before_each_epoch(subject, learner, data, sgd):
    """Of its number, from 0 on, and the rate until then; what it says is the rate of the epoch."""
    model, (x, y), asked = learner(), data, []

    def said(epoch, rate):
        asked.append((epoch, float(rate)))
        return [0.25, 0.0][epoch]

    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    gradient = 2.0 * differences(model, x, y).mean()
    model.fit(x, y, epochs=2, callbacks=[subject.keras.callbacks.LearningRateScheduler(said)], **WHOLE)
    assert asked == [(0, 0.5), (1, 0.25)]
    assert np.isclose(float(model.get_weights()[-1][0]), -0.25 * gradient)


#: Optimizers and their arguments, of which some are applied to what was gathered, once, and not to each gradient.
GATHERING = {
    "plain": ("SGD", {"learning_rate": 0.5}),
    "clipnorm": ("SGD", {"learning_rate": 0.5, "clipnorm": 0.125}),
    "corrected": ("Adam", {"learning_rate": 0.125, "epsilon": 0.125}),
    "weight_decay": ("AdamW", {"learning_rate": 0.125, "weight_decay": 0.5, "epsilon": 0.125}),
}


@pytest.mark.parametrize("name", GATHERING)
def test_gradients_are_gathered_over_steps(subject, learner, data, name):
    """With ``gradient_accumulation_steps=2`` every second step moves the weights, by the mean of two gradients."""
    if not hasattr(subject.keras.optimizers.SGD(), "gradient_accumulation_steps"):
        pytest.skip("optimizers of this Keras have no gradient_accumulation_steps")
    model, whole, (x, y), half = learner(), learner(), data, SAMPLES // 2
    kind, given = GATHERING[name]
    optimizer = getattr(subject.keras.optimizers, kind)
    model.compile(loss="mse", optimizer=optimizer(gradient_accumulation_steps=2, **given), **EAGERLY)
    whole.compile(loss="mse", optimizer=optimizer(**given), **EAGERLY)
    for _ in range(2):
        start = model.get_weights()
        model.train_on_batch(x[:half], y[:half])
        assert same(model.get_weights(), start), "the first of two steps moved the weights"
        model.train_on_batch(x[half:], y[half:])
        whole.train_on_batch(x, y)
        assert all(map(np.allclose, model.get_weights(), whole.get_weights())), "both steps came to other weights"


def test_weights_are_constrained_where_gradients_are_gathered(subject, uniform, sgd):
    """No column of a kernel, and no bias, is longer than 1 after the step that moves them; before it they are 0."""
    if not hasattr(sgd(), "gradient_accumulation_steps"):
        pytest.skip("optimizers of this Keras have no gradient_accumulation_steps")
    names = ["kernel_constraint", "recurrent_constraint", "bias_constraint"]
    lstm = subject.lstm(UNITS, **{name: subject.keras.constraints.MaxNorm(1.0) for name in names})
    lstm.build((None, STEPS, FEATURES))
    start = [np.zeros(weight.shape, "float32") for weight in lstm.get_weights()]
    lstm.set_weights(start)
    optimizer, gathered = sgd(2.0, gradient_accumulation_steps=2), []
    for _ in range(2):
        assert same(lstm.get_weights(), start), "the first of two steps moved the weights"
        gathered.append([uniform(*weight.shape) for weight in start])
        optimizer.apply_gradients(zip(subject.tensors(gathered[-1]), lstm.trainable_weights))
    moved = [-first - second for first, second in zip(*gathered)]
    norms = [np.linalg.norm(weight, axis=0) for weight in moved]
    assert any((norm > 1.0).any() for norm in norms), "nothing is too long"
    expected = [weight / np.maximum(norm, 1.0) for weight, norm in zip(moved, norms)]
    assert all(map(np.allclose, lstm.get_weights(), expected))


def test_weights_are_overwritten_with_their_average(learner, data, sgd):
    """With ``ema_overwrite_frequency=2`` after each second step. The first has rate 0: its average is the start."""
    if "use_ema" not in inspect.signature(sgd.__init__).parameters:
        pytest.skip("optimizers of this Keras have no use_ema")
    model, plain, (x, y) = learner(), learner(), data
    model.compile(loss="mse", optimizer=sgd(0.0, use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=2), **EAGERLY)
    plain.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    start = model.get_weights()
    model.train_on_batch(x, y)
    model.optimizer.learning_rate = 0.5
    model.train_on_batch(x, y)
    plain.train_on_batch(x, y)
    expected = [0.75 * one + 0.25 * other for one, other in zip(start, plain.get_weights())]
    assert all(map(np.allclose, model.get_weights(), expected)), "the second step is not followed by it"
    plain.set_weights(model.get_weights())
    for one in (model, plain):
        one.train_on_batch(x, y)
    assert all(map(np.allclose, model.get_weights(), plain.get_weights())), "the third step is"


def test_training_ends_with_the_average_of_weights(subject, learner, data, sgd):
    """Where an optimizer has ``use_ema``. The first epoch has rate 0: its average is the start."""
    if "use_ema" not in inspect.signature(sgd.__init__).parameters:
        pytest.skip("optimizers of this Keras have no use_ema")
    model, (x, y) = learner(), data
    kept, keep = keeping(subject, model)
    scheduler = subject.keras.callbacks.LearningRateScheduler(lambda epoch, rate: [0.0, 0.5][epoch])
    model.compile(loss="mse", optimizer=sgd(0.5, use_ema=True, ema_momentum=0.75), **EAGERLY)
    model.fit(x, y, epochs=2, callbacks=[scheduler, keep], **WHOLE)
    expected = [0.75 * one + 0.25 * other for one, other in zip(*kept)]
    assert not any(map(np.array_equal, *kept)), "nothing was learnt"
    assert all(map(np.allclose, model.get_weights(), expected))


def test_average_leaves_weights_alone_that_do_not_learn(subject, data, draw_weights, sgd):
    """The first of two heads is in no loss; each weight has its own average. The first step has rate 0."""
    if "use_ema" not in inspect.signature(sgd.__init__).parameters:
        pytest.skip("optimizers of this Keras have no use_ema")
    layers, inputs = subject.keras.layers, subject.keras.Input((STEPS, FEATURES))
    read = subject.lstm(UNITS)(inputs)
    model = subject.keras.Model(inputs, [layers.Dense(1, name=name)(read) for name in ("idle", "learning")])
    draw_weights(model)
    model.compile(loss=[None, "mse"], optimizer=sgd(0.0, use_ema=True, ema_momentum=0.75), **EAGERLY)
    (x, y), start = data, model.get_weights()
    for rate in (0.0, 0.5):
        model.optimizer.learning_rate = rate
        model.train_on_batch(x, [y, y])
    expected = [0.75 * one + 0.25 * other for one, other in zip(start, model.get_weights())]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    assert all(map(np.allclose, model.get_weights(), expected)), "a weight is not its average"


def test_factor_of_the_loss_is_taken_out_of_the_gradients(learner, data, sgd):
    if "loss_scale_factor" not in inspect.signature(sgd.__init__).parameters:
        pytest.skip("optimizers of this Keras have no loss_scale_factor")
    model = learner()
    model.compile(loss="mse", optimizer=sgd(0.5, loss_scale_factor=64.0), **EAGERLY)
    (found,) = rates(model, *data, steps=1)
    assert np.isclose(found, 0.5), f"the rate was {found:.4g}, not 0.5"


#: Optimizers that leave weights alone whose gradients are 0.
DECAYING = ["SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "Nadam"]


@pytest.mark.parametrize("name", DECAYING)
def test_weights_decay_without_gradients(subject, draw_weights, name):
    """By rate · 0.5 · weight."""
    optimizer = getattr(subject.keras.optimizers, name, None)
    if optimizer is None or "weight_decay" not in inspect.signature(optimizer.__init__).parameters:
        pytest.skip(f"this Keras has no {name} with weight_decay")
    lstm = subject.lstm(UNITS)
    lstm.build((None, STEPS, FEATURES))
    start = draw_weights(lstm).get_weights()
    zeros = subject.tensors([np.zeros_like(weight) for weight in start])
    optimizer(0.125, weight_decay=0.5).apply_gradients(zip(zeros, lstm.trainable_weights))
    expected = [weight - 0.125 * 0.5 * weight for weight in start]
    assert all(map(np.allclose, lstm.get_weights(), expected))


#: How weights are excluded, from a model, and which of an LSTM's and its head's they are.
EXCLUDED = {
    "by_themselves": (lambda model: {"var_list": [model.trainable_weights[0]]}, [0]),
    "by_name": (lambda model: {"var_names": ["bias"]}, [2, 4]),
}


@pytest.mark.parametrize("how", EXCLUDED)
def test_excluded_weights_do_not_decay(subject, learner, data, how):
    """They move as Adam moves them, and others as AdamW does: by their decay, rate · 0.5 · weight, further."""
    adamw = getattr(subject.keras.optimizers, "AdamW", None)
    if not hasattr(adamw, "exclude_from_weight_decay"):
        pytest.skip("optimizers of this Keras have no exclude_from_weight_decay")
    (said, excluded), model, plain = EXCLUDED[how], learner(), learner()
    optimizer = adamw(0.125, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(**said(model))
    model.compile(loss="mse", optimizer=optimizer, **EAGERLY)
    plain.compile(loss="mse", optimizer=subject.keras.optimizers.Adam(0.125), **EAGERLY)
    decay = [0.125 * 0.5 * weight * (at not in excluded) for at, weight in enumerate(model.get_weights())]
    for one in (model, plain):
        one.train_on_batch(*data)
    assert all(map(np.allclose, model.get_weights(), map(np.subtract, plain.get_weights(), decay)))
