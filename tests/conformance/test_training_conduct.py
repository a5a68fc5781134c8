"""What is done around the steps of training: compiling again, other rates, weights, metrics, callbacks."""

import inspect
import re

import numpy as np
import pytest
from settings import global_policy

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, UNITS = 8, 3, 2, 2

#: An argument of ``compile``: it runs eagerly, which is nothing to what is asked.
EAGERLY = {"run_eagerly": True}

#: Arguments of ``fit``: all samples in one batch.
WHOLE = {"batch_size": SAMPLES, "shuffle": False, "verbose": 0}


@pytest.fixture
def data(uniform):
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
    return subject.keras.optimizers.SGD


def differences(model, x, y):
    return (model.predict_on_batch(x) - y)[:, 0]


def squares(model, x, y):
    return differences(model, x, y) ** 2


def same(some, others):
    return all(map(np.array_equal, some, others))


def rates(model, x, y, steps, between=None):
    """The rate of each step: how far it moves the bias of the head, which is 0 before, by its gradient 2·Σ(p - y)/n."""
    start, found = model.get_weights(), []
    gradient = 2.0 * differences(model, x, y).mean()
    for step in range(steps):
        if between:
            between(step)
        model.set_weights(start)
        model.train_on_batch(x, y)
        found.append(float(-model.get_weights()[-1][0] / gradient))
    return found


def keeping(subject, model):
    """The weights at the end of each epoch, and the callback that keeps them."""
    kept = []
    keep = subject.keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    return kept, keep


def forgetting(subject, model):
    """A callback that begins each epoch from the weights that the model has now."""
    start = model.get_weights()
    return subject.keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: model.set_weights(start))


def test_compiled_again_it_learns_otherwise(learner, data, sgd):
    """What was frozen, and no longer is, learns; by the new loss. Not eagerly: each ``compile`` is for a new graph."""
    model, (x, y) = learner(), data
    start = model.get_weights()
    model.layers[1].trainable = False
    model.compile(loss="mse", optimizer=sgd(0.5))
    model.fit(x, y, **WHOLE)
    frozen = model.get_weights()
    assert same(start[:3], frozen[:3]), "frozen weights moved"
    assert not any(map(np.array_equal, start[3:], frozen[3:])), "the head did not learn"
    model.layers[1].trainable = True
    model.compile(loss="mae", optimizer=sgd(0.5))
    expected = np.abs(differences(model, x, y)).mean()
    found = model.fit(x, y, **WHOLE).history["loss"][0]
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"
    assert not any(map(np.array_equal, frozen[:3], model.get_weights()[:3])), "what was frozen did not learn"


@pytest.mark.parametrize("trainable", [True, False], ids=["frozen", "thawed"])
def test_what_is_frozen_counts_where_it_is_compiled(learner, data, sgd, trainable):
    """An LSTM that is frozen, or thawed, after ``compile`` is trained as before, until the next ``compile``."""
    model = learner()
    lstm = model.layers[1]
    lstm.trainable = trainable
    compiled = {"loss": "mse", **EAGERLY}
    model.compile(optimizer=sgd(0.5), **compiled)
    lstm.trainable = not trainable
    moved = []
    for _ in range(2):
        start = lstm.get_weights()
        model.train_on_batch(*data)
        moved.append(not same(lstm.get_weights(), start))
        model.compile(optimizer=sgd(0.5), **compiled)
    words = ["was trained" if one else "was not trained" for one in moved]
    assert moved == [trainable, not trainable], f"it {words[0]}, and compiled again it {words[1]}"


def test_compiled_again_it_shows_other_metrics(learner, data, sgd):
    """Those it was compiled with before are shown no more, where others follow and where none do."""
    model, (x, y) = learner(), data
    for metrics, expected in ((["mae"], 2), (["mse", "mae"], 3), (None, 1)):
        model.compile(loss="mse", optimizer=sgd(0.0), metrics=metrics, **EAGERLY)
        found = np.size(model.evaluate(x, y, verbose=0))
        assert found == expected, f"with metrics={metrics} it shows {found} numbers, not {expected}"


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
    "polynomial": ("PolynomialDecay", (0.5, 4, 0.0), {"power": 2.0}, [0.5, 0.28125, 0.125, 0.03125, 0.0, 0.0]),
    "in_cycles": ("PolynomialDecay", (0.5, 2, 0.0), {"cycle": True}, [0.5, 0.25, 0.0, 0.125, 0.0, 0.5 / 6]),
    "cosine": (
        "CosineDecay",
        (0.5, 4),
        {"alpha": 0.5},
        [0.25 + 0.25 * (0.5 + 0.5 * np.cos(np.pi * min(step, 4) / 4)) for step in range(6)],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_of_a_schedule(subject, name):
    maker, arguments, given, expected = SCHEDULES[name]
    schedule = getattr(getattr(subject.keras.optimizers, "schedules", None), maker, None)
    if schedule is None:
        pytest.skip(f"this Keras has no {maker}")
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


#: Ways to train on one batch, from TensorFlow, the model, its data, weights of samples and of classes; the loss.
WAYS = {
    "fit": lambda tensorflow, model, x, y, samples, classes: model.fit(
        x, y, sample_weight=samples, class_weight=classes, **WHOLE
    ).history["loss"][0],
    "dataset": lambda tensorflow, model, x, y, samples, classes: model.fit(
        tensorflow.data.Dataset.from_tensors((x, y) if samples is None else (x, y, samples)),
        class_weight=classes,
        verbose=0,
    ).history["loss"][0],
    "on_batch": lambda tensorflow, model, x, y, samples, classes: model.train_on_batch(
        x, y, sample_weight=samples, class_weight=classes
    ),
}


@pytest.mark.parametrize("weighed", ["samples", "classes", "both"])
@pytest.mark.parametrize("way", WAYS)
def test_weights_of_samples_and_of_classes(subject, learner, data, uniform, sgd, way, weighed):
    """The loss of a sample is multiplied by its weight and by that of its class."""
    if subject.tensorflow is None and way == "dataset":
        pytest.skip("there is no tf.data without TensorFlow")
    if subject.generation >= 3 and weighed == "both":
        pytest.skip("Keras 3 takes weights of samples or of classes, and refuses both")
    model, x, y = learner(), data[0], np.array([[0, 1, 1, 0, 2, 1, 0, 2]], "float32").T
    samples = None if weighed == "classes" else 1.5 + uniform(SAMPLES)
    classes = None if weighed == "samples" else {0: 1.0, 1: 5.0, 2: 0.5}
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    each = squares(model, x, y) * (1.0 if samples is None else samples)
    expected = (each * np.array([classes[int(one)] if classes else 1.0 for one in y[:, 0]])).mean()
    found = WAYS[way](subject.tensorflow, model, x, y, samples, classes)
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"


def test_only_weighted_metrics_are_weighted(learner, data, uniform):
    """The mean of these is Σ(weight · error) / Σ weight."""
    model, (x, y), weight = learner(), data, 1.5 + uniform(SAMPLES)
    model.compile(loss="mse", optimizer="sgd", metrics=["mae"], weighted_metrics=["mse"], **EAGERLY)
    _, plain, weighted = model.evaluate(x, y, sample_weight=weight, batch_size=3, verbose=0)
    assert np.isclose(plain, np.abs(differences(model, x, y)).mean())
    assert np.isclose(weighted, np.average(squares(model, x, y), weights=weight))


def test_weighted_metrics_leave_masked_steps_out(subject, uniform):
    """As they do without weights: the mean of these is Σ(weight · error) / Σ weight of the steps that count."""
    model, x, counts = stepwise(subject, uniform, subject.keras.layers.Dense(1))
    x[~counts], y, weight = 0.5, uniform(SAMPLES, STEPS, 1), 1.5 + uniform(SAMPLES, STEPS)
    model.compile(loss="mse", optimizer="sgd", weighted_metrics=["mae"], **EAGERLY)
    found = model.evaluate(x, y, sample_weight=weight, batch_size=SAMPLES, verbose=0)[1]
    expected = np.average(np.abs(model.predict_on_batch(x) - y)[counts][:, 0], weights=weight[counts])
    assert np.isclose(found, expected), f"the mean is {found:.4g}, not {expected:.4g}"


def test_metrics_are_returned_in_their_order(learner, data):
    """Behind the loss, as ``compile`` was given them, and not that of the alphabet."""
    model, (x, y) = learner(), data
    model.compile(loss="mae", optimizer="sgd", metrics=["mse", "mae"], **EAGERLY)
    _, first, second = model.evaluate(x, y, verbose=0)
    expected = squares(model, x, y).mean(), np.abs(differences(model, x, y)).mean()
    assert np.allclose((first, second), expected), f"they are {first:.4g} and {second:.4g}, not {expected}"


def stepwise(subject, uniform, head):
    """A model with this head on each step, its input, where steps are masked by 0.5, and which of them count."""
    layers = subject.keras.layers
    inputs = layers.Input((STEPS, FEATURES))
    read = subject.lstm(UNITS, return_sequences=True)(layers.Masking(0.5)(inputs))
    model = subject.keras.models.Model(inputs, head(read))
    model.set_weights([4.0 * uniform(*weight.shape) for weight in model.get_weights()])
    counts = np.arange(STEPS) <= np.arange(SAMPLES)[:, None] % STEPS
    return model, uniform(SAMPLES, STEPS, FEATURES), counts


@pytest.mark.parametrize("masked", [False, True], ids=["all_count", "masked"])
def test_accuracy_of_classes_at_each_step(subject, uniform, masked):
    """Of targets (batch, T), numbers of classes, it is how often the likeliest class is the right one."""
    model, x, counts = stepwise(subject, uniform, subject.keras.layers.Dense(3, activation="softmax"))
    counts |= not masked
    x[~counts] = 0.5
    likeliest = model.predict_on_batch(x).argmax(axis=-1)
    right = uniform(SAMPLES, STEPS) > -0.5
    model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"], **EAGERLY)
    found = model.evaluate(x, np.where(right, likeliest, (likeliest + 1) % 3), batch_size=SAMPLES, verbose=0)[1]
    expected = right[counts].mean()
    assert np.isclose(found, expected), f"the accuracy is {found:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("name", ["crossentropy", "ce"])
def test_crossentropy_by_its_short_name(subject, data, draw_weights, name):
    """As ``compile`` has it of "accuracy", it is that of the targets: here the numbers of classes."""
    layers, inputs = subject.keras.layers, subject.keras.layers.Input((STEPS, FEATURES))
    model = subject.keras.models.Model(inputs, layers.Dense(3, activation="softmax")(subject.lstm(UNITS)(inputs)))
    draw_weights(model)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=[name], **EAGERLY)
    x, classes = data[0], np.arange(SAMPLES) % 3
    loss, found = model.evaluate(x, classes, verbose=0)
    assert np.isclose(found, loss), f"the cross-entropy is {found:.4g}, not {loss:.4g}"


def test_accuracy_of_classes_in_a_column(subject, data, uniform):
    """Targets (batch, 1) are numbers of classes too, where there are several outputs."""
    layers, inputs, x = subject.keras.layers, subject.keras.layers.Input((STEPS, FEATURES)), data[0]
    model = subject.keras.models.Model(inputs, layers.Dense(3, activation="softmax")(subject.lstm(UNITS)(inputs)))
    model.set_weights([4.0 * uniform(*weight.shape) for weight in model.get_weights()])
    model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"], **EAGERLY)
    likeliest = model.predict_on_batch(x).argmax(axis=-1)[:, np.newaxis]
    right = uniform(SAMPLES, 1) > -0.5
    found = model.evaluate(x, np.where(right, likeliest, (likeliest + 1) % 3), batch_size=SAMPLES, verbose=0)[1]
    assert np.isclose(found, right.mean()), f"the accuracy is {found:.4g}, not {right.mean():.4g}"


#: By a loss of classes, the targets that it takes.
TARGETS = {
    "sparse_categorical_crossentropy": lambda classes: classes,
    "categorical_crossentropy": lambda classes: np.eye(3, dtype="float32")[classes],
}


@pytest.mark.parametrize("loss", TARGETS)
def test_classes_of_masked_steps_are_not_learnt(subject, uniform, loss):
    """They neither count in the loss nor teach; those of other steps do."""
    model, x, counts = stepwise(subject, uniform, subject.keras.layers.Dense(3, activation="softmax"))
    x[~counts] = 0.5
    classes = np.arange(SAMPLES * STEPS).reshape(SAMPLES, STEPS) % 3
    model.compile(loss=loss, optimizer=subject.keras.optimizers.SGD(0.5), **EAGERLY)
    start, losses, weights = model.get_weights(), [], []
    for changed in (counts & False, ~counts, counts):
        model.set_weights(start)
        losses.append(float(model.train_on_batch(x, TARGETS[loss]((classes + changed) % 3))))
        weights.append(model.get_weights())
    assert losses[0] == losses[1], "masked steps count"
    assert same(*weights[:2]), "masked steps teach"
    assert not np.isclose(losses[0], losses[2]), "steps that are not masked do not count"


def test_sum_of_losses_leaves_masked_steps_out(subject, uniform):
    model, x, counts = stepwise(subject, uniform, subject.keras.layers.Dense(1))
    x[~counts], y = 0.5, uniform(SAMPLES, STEPS, 1)
    model.compile(loss=subject.keras.losses.MeanSquaredError(reduction="sum"), optimizer="sgd", **EAGERLY)
    expected = ((model.predict_on_batch(x) - y)[counts] ** 2).sum()
    found = model.evaluate(x, y, batch_size=SAMPLES, verbose=0)
    assert np.isclose(found, expected), f"the sum is {found:.4g}, not {expected:.4g}"


def test_metrics_begin_anew(subject, learner, data, sgd):
    """With every epoch and every evaluation: what was before is not in the mean."""
    model, (x, y) = learner(), data
    kept, keep = keeping(subject, model)
    model.compile(loss="mse", optimizer=sgd(0.25), metrics=["mae"], **EAGERLY)
    second = model.fit(x, y, epochs=2, callbacks=[keep], **WHOLE).history["mae"][1]
    for targets in (y, y + 1.0):
        found = model.evaluate(x, targets, verbose=0)[1]
        assert np.isclose(found, np.abs(differences(model, x, targets)).mean()), "that of an evaluation is not its own"
    model.set_weights(kept[0])
    assert np.isclose(second, np.abs(differences(model, x, y)).mean()), "that of the second epoch is not its own"


#: The second epoch's weights are the best: from the third on training climbs.
CLIMBING = [0.125, 0.125, -0.25, -0.25, -0.25]


def climbed(subject, learner, data, sgd, *callbacks):
    """A model that was trained as CLIMBING says with further callbacks, and its weights after each epoch."""
    model, (x, y) = learner(), data
    kept, keep = keeping(subject, model)
    scheduler = subject.keras.callbacks.LearningRateScheduler(lambda epoch, rate: CLIMBING[epoch])
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    given = {"epochs": len(CLIMBING), "validation_data": (x, y), "callbacks": [scheduler, keep, *callbacks]}
    losses = model.fit(x, y, **given, **WHOLE).history["val_loss"]
    assert losses[1] == min(losses), "training did not go as this test needs it"
    return model, kept


def test_rate_is_reduced_where_training_does_not_go_on(subject, learner, data, sgd):
    """To half of it after each two epochs that are no better than the best, and not below the least."""
    model, (x, y), found, callbacks = learner(), data, [], subject.keras.callbacks
    reducing = callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=2, min_lr=0.125)
    tell = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append(model.optimizer.learning_rate.numpy())
    )
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    model.fit(x, y, epochs=9, callbacks=[forgetting(subject, model), reducing, tell], **WHOLE)
    assert found == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125, 0.125]


def test_stopped_early_it_has_the_best_weights(subject, learner, data, sgd):
    """Training ends when two epochs in a row are no better than the best, whose weights are then restored."""
    stopping = subject.keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
    model, kept = climbed(subject, learner, data, sgd, stopping)
    assert len(kept) == 4, f"it was stopped after {len(kept)} epochs"
    assert same(model.get_weights(), kept[1])


def test_best_weights_are_kept_in_a_file(subject, learner, data, sgd, tmp_path):
    path = str(tmp_path / "best.weights.h5")
    given = {"monitor": "val_loss", "save_best_only": True, "save_weights_only": True}
    model, kept = climbed(
        subject, learner, data, sgd, subject.keras.callbacks.ModelCheckpoint(path, **given, verbose=0)
    )
    model.load_weights(path)
    assert same(model.get_weights(), kept[1])


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


def test_excluded_weights_do_not_decay(subject, learner, data):
    """They move as Adam moves them, and others as AdamW does: by their decay, rate · 0.5 · weight, further."""
    adamw = getattr(subject.keras.optimizers, "AdamW", None)
    if not hasattr(adamw, "exclude_from_weight_decay"):
        pytest.skip("optimizers of this Keras have no exclude_from_weight_decay")
    model, plain = learner(), learner()
    optimizer = adamw(0.125, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[model.trainable_weights[0]])
    model.compile(loss="mse", optimizer=optimizer, **EAGERLY)
    plain.compile(loss="mse", optimizer=subject.keras.optimizers.Adam(0.125), **EAGERLY)
    decay = [0.0, *(0.125 * 0.5 * weight for weight in model.get_weights()[1:])]
    for one in (model, plain):
        one.train_on_batch(*data)
    assert all(map(np.allclose, model.get_weights(), map(np.subtract, plain.get_weights(), decay)))


def test_the_only_loss_has_its_weight(learner, data):
    model, (x, y) = learner(), data
    model.compile(loss="mse", loss_weights=[3.0], optimizer="sgd", **EAGERLY)
    found = np.ravel(model.evaluate(x, y, verbose=0))[0]
    assert np.isclose(found, 3.0 * squares(model, x, y).mean())


def test_epochs_are_counted_from_the_initial_one(subject, learner, data, sgd):
    """Of 4 epochs the last 3 are left after one; of all 4, each second is followed by validation."""
    model, (x, y) = learner(), data
    kept, keep = keeping(subject, model)
    model.compile(loss="mse", optimizer=sgd(0.25), **EAGERLY)
    given = {"epochs": 4, "initial_epoch": 1, "validation_data": (x, y), "validation_freq": 2, "callbacks": [keep]}
    history = model.fit(x, y, **given, **WHOLE)
    assert list(history.epoch) == [1, 2, 3]
    expected = []
    for weights in (kept[0], kept[2]):
        model.set_weights(weights)
        expected.append(squares(model, x, y).mean())
    found = history.history["val_loss"]
    assert len(found) == 2, f"it was validated {len(found)} times"
    assert np.allclose(found, expected)


def test_epochs_that_are_followed_by_validation_are_told_by_number(subject, learner, data, sgd):
    """From 1 on."""
    model, (x, y), found = learner(), data, []
    look = subject.keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.append("val_loss" in logs))
    model.compile(loss="mse", optimizer=sgd(0.25), **EAGERLY)
    model.fit(x, y, epochs=4, validation_data=(x, y), validation_freq=[1, 3], callbacks=[look], **WHOLE)
    assert found == [True, False, True, False]


@pytest.mark.parametrize("seeded", [False, True], ids=["by_chance", "seeded"])
def test_an_epoch_has_its_own_order(subject, learner, data, sgd, seeded):
    """With ``shuffle`` rows come in another order in each. What one epoch teaches is forgotten before the next."""
    model, (x, y) = learner(), data
    if seeded and subject.tensorflow is None:
        pytest.skip("there is no seed of TensorFlow without it")
    if seeded:
        subject.tensorflow.random.set_seed(7)
    forget = forgetting(subject, model)
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    for shuffle, epochs in ((False, 2), (True, 3)):
        kept, keep = keeping(subject, model)
        model.fit(x, y, batch_size=2, epochs=epochs, shuffle=shuffle, verbose=0, callbacks=[forget, keep])
        # Three times the same rows in each of 4 batches by chance: once in (8! / 2⁴)², 6.4e6, runs.
        orders = "the same order" if all(same(kept[0], later) for later in kept[1:]) else "other orders"
        assert (orders == "other orders") == shuffle, f"with shuffle={shuffle} all epochs have {orders}"


@pytest.mark.usefixtures("mixed")
def test_overflow_halves_the_scale_of_losses(subject, learner, data, sgd):
    """And moves no weight. The next step, whose gradients are finite, does."""
    scaling = getattr(subject.keras.mixed_precision, "LossScaleOptimizer", None)
    if scaling is None:
        pytest.skip("this Keras has no LossScaleOptimizer, or as an experiment")
    model, (x, y) = learner(), data
    optimizer = scaling(sgd(0.5), initial_scale=1024.0)
    scaled = optimizer.scale_loss if subject.generation >= 3 else optimizer.get_scaled_loss
    model.compile(loss="mse", optimizer=optimizer, **EAGERLY)
    start = model.get_weights()
    model.train_on_batch(x, np.full_like(y, np.inf))
    assert same(model.get_weights(), start), "weights moved"
    scale = float(scaled(subject.tensors(np.ones((), "float32"))))
    assert scale == 512.0, f"the scale is {scale:.4g}, not 512"
    model.train_on_batch(x, y)
    assert not same(model.get_weights(), start), "nothing is learnt after it"


@pytest.mark.usefixtures("mixed")
def test_scale_of_losses_grows(subject, learner, data, sgd):
    """It is doubled after each two steps whose gradients are finite."""
    scaling = getattr(subject.keras.mixed_precision, "LossScaleOptimizer", None)
    if scaling is None:
        pytest.skip("this Keras has no LossScaleOptimizer, or as an experiment")
    model, found = learner(), []
    optimizer = scaling(sgd(0.5), initial_scale=64.0, dynamic_growth_steps=2)
    scaled = optimizer.scale_loss if subject.generation >= 3 else optimizer.get_scaled_loss
    model.compile(loss="mse", optimizer=optimizer, **EAGERLY)
    for _ in range(4):
        model.train_on_batch(*data)
        found.append(float(scaled(subject.tensors(np.ones((), "float32")))))
    assert found == [64.0, 128.0, 128.0, 256.0], f"the scales are {found}"


@pytest.mark.usefixtures("mixed")
def test_losses_of_half_precision_are_scaled(subject, learner):
    """``compile`` sees to it where a model's policy is mixed_float16."""
    scaling = getattr(subject.keras.mixed_precision, "LossScaleOptimizer", None)
    if scaling is None:
        pytest.skip("this Keras has no LossScaleOptimizer, or as an experiment")
    for policy in ("mixed_float16", "float32"):
        with global_policy(subject, policy):
            model = learner()
            model.compile(loss="mse", optimizer="sgd")
        assert isinstance(model.optimizer, scaling) == (policy == "mixed_float16"), f"not as {policy} needs it"


def test_sequence_is_told_of_the_end_of_each_epoch(subject, learner, data, sgd):
    model, (x, y), ended = learner(), data, []

    class Halves(subject.keras.utils.Sequence):
        def __len__(self):
            return 2

        def __getitem__(self, number):
            return x[number::2], y[number::2]

        def on_epoch_end(self):
            ended.append(True)

    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    model.fit(Halves(), epochs=3, shuffle=False, verbose=0)
    assert len(ended) == 3, f"it was told {len(ended)} times"


def test_progress_ends_with_what_is_returned(learner, data, sgd, capsys):
    """The last loss that is shown is that of all batches."""
    model, (x, y) = learner(), data
    model.compile(loss="mse", optimizer=sgd(0.0), **EAGERLY)
    y = y + np.arange(SAMPLES, dtype="float32")[:, np.newaxis] / 4
    loss = np.ravel(model.evaluate(x, y, batch_size=1, verbose=1))[0]
    shown = re.findall(r"loss: ([\d.]+)", capsys.readouterr().out)[-1]
    assert shown == f"{loss:.4f}", f"{shown} is shown, {loss:.4f} is returned"


def test_predict_returns_every_row(learner, data):
    """In their order, where several batches are one call: of 4, 3 and then 1."""
    model, (x, _) = learner(), data
    if "steps_per_execution" not in inspect.signature(model.compile).parameters:
        pytest.skip("this Keras has no steps_per_execution")
    expected = model.predict_on_batch(x)
    model.compile(loss="mse", optimizer="sgd", steps_per_execution=3)
    found = model.predict(x, batch_size=2, verbose=0)
    assert found.shape == expected.shape, f"of {len(expected)} rows {len(found)} are returned"
    assert np.allclose(found, expected)


@pytest.mark.parametrize("way", ["fit", "fit_eagerly", "train_on_batch"])
def test_loss_that_a_layer_adds(subject, uniform, way):
    """It is shown and trained as the loss of the model is, which is 0 here: the targets are the outputs."""
    keras = subject.keras

    class Adding(keras.layers.Layer):
        def build(self, shape):
            self.added = self.add_weight(name="added", shape=(), initializer="ones")
            super().build(shape)

        def call(self, inputs):
            self.add_loss(2.0 * self.added)
            return inputs

    adding = Adding()
    model = keras.models.Sequential([keras.layers.Input((STEPS, FEATURES)), subject.lstm(UNITS), adding])
    x = uniform(4, STEPS, FEATURES)
    y = model.predict(x, verbose=0)
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.25), run_eagerly=way == "fit_eagerly")
    assert model.evaluate(x, y, verbose=0) == 2.0
    shown = model.train_on_batch(x, y) if way == "train_on_batch" else model.fit(x, y, verbose=0).history["loss"]
    assert np.ravel(shown).tolist() == [2.0]
    assert np.ravel(adding.get_weights()).tolist() == [0.5]


#: Which layers are computed again for their gradients, whose outputs are not kept meanwhile.
AGAIN = {
    "all": {"mode": "full"},
    "activations": {"mode": "activations"},
    "large_ones": {"mode": "larger_than", "output_size_threshold": 1},
}


@pytest.mark.parametrize("eagerly", [False, True], ids=["in_a_graph", "eagerly"])
@pytest.mark.parametrize("again", AGAIN)
def test_what_is_computed_again_is_learnt_as_ever(subject, learner, data, sgd, again, eagerly):
    if not hasattr(subject.keras, "RematScope"):
        pytest.skip("this Keras computes nothing again")
    usual = learner()
    with subject.keras.RematScope(**AGAIN[again]):
        saving = learner()
    for model in (usual, saving):
        model.compile(loss="mse", optimizer=sgd(0.5), run_eagerly=eagerly)
        model.fit(*data, **WHOLE)
    assert same(saving.get_weights(), usual.get_weights()), "it learns something else"


def test_step_of_ones_own_is_reported(subject, learner, data, sgd):
    """What a model's ``train_step`` and ``test_step`` return is what is shown, a metric's mean anew in each epoch."""
    keras = subject.keras
    if not hasattr(keras.Model, "train_step"):
        pytest.skip("models of this Keras have no train_step()")

    class Own(keras.Model):
        def __init__(self, inputs, outputs):
            super().__init__(inputs, outputs)
            self.mine = keras.metrics.Mean(name="mine")

        def train_step(self, batch):
            self.mine.update_state(batch[1])
            return {"mine": self.mine.result()}

        test_step = train_step

    plain, (x, y) = learner(), data
    model = Own(plain.inputs, plain.outputs)
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    shown = model.fit(x, y, batch_size=3, epochs=2, shuffle=False, verbose=0).history
    assert list(shown) == ["mine"], f"shown are {list(shown)}"
    assert np.allclose(shown["mine"], y.mean()), f"the means are {shown['mine']}, not {y.mean():.4g} in each epoch"
    found = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    assert list(found) == ["mine"], f"shown are {list(found)}"
    assert np.isclose(found["mine"], y.mean())


def test_model_within_has_metrics_of_its_own(subject, learner, data, sgd):
    """A model that was compiled, and is part of another, shows nothing where the other is trained and evaluated."""
    within, (x, y) = learner(), data
    within.compile(loss="mse", optimizer=sgd(0.0), metrics=["mae"], **EAGERLY)
    inputs = subject.keras.layers.Input((STEPS, FEATURES))
    model = subject.keras.models.Model(inputs, subject.keras.layers.Dense(1)(within(inputs)))
    model.compile(loss="mse", optimizer=sgd(0.0), metrics=["mse"], **EAGERLY)
    shown = model.fit(x, y, **WHOLE).history
    assert len(shown) == 2, f"shown are {list(shown)}"
    assert np.allclose(model.evaluate(x, y, verbose=0), squares(model, x, y).mean())
