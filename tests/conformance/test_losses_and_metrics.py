"""Losses and metrics as training and evaluation show them: weighted, masked, added, of several kinds."""

import numpy as np
import pytest
from learning import EAGERLY, FEATURES, METRICS, SAMPLES, STEPS, UNITS, WHOLE, differences, keeping, same, squares

pytestmark = pytest.mark.usefixtures("eager")


def test_compiled_again_it_shows_other_metrics(learner, data, sgd):
    """Those it was compiled with before are shown no more, where others follow and where none do."""
    model, (x, y) = learner(), data
    for metrics, expected in ((["mae"], 2), (["mse", "mae"], 3), (None, 1)):
        model.compile(loss="mse", optimizer=sgd(0.0), metrics=metrics, **EAGERLY)
        found = np.size(model.evaluate(x, y, verbose=0))
        assert found == expected, f"with metrics={metrics} it shows {found} numbers, not {expected}"


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


def test_weighted_metric_has_a_name_of_its_own(learner, data, uniform):
    """That of the same metric is without weights."""
    model, (x, y), weight = learner(), data, 1.5 + uniform(SAMPLES)
    model.compile(loss="mse", optimizer="sgd", metrics=["mae"], weighted_metrics=["mae"], **EAGERLY)
    found = model.evaluate(x, y, sample_weight=weight, batch_size=3, verbose=0, return_dict=True)
    off = np.abs(differences(model, x, y))
    assert list(found) == ["loss", "mae", "weighted_mae"], f"shown are {list(found)}"
    assert np.isclose(found["mae"], off.mean())
    assert np.isclose(found["weighted_mae"], np.average(off, weights=weight))


def stepwise(subject, uniform, head):
    """A model with this head on each step, its input, where steps are masked by 0.5, and which of them count."""
    layers = subject.keras.layers
    inputs = layers.Input((STEPS, FEATURES))
    read = subject.lstm(UNITS, return_sequences=True)(layers.Masking(0.5)(inputs))
    model = subject.keras.models.Model(inputs, head(read))
    model.set_weights([4.0 * uniform(*weight.shape) for weight in model.get_weights()])
    counts = np.arange(STEPS) <= np.arange(SAMPLES)[:, None] % STEPS
    return model, uniform(SAMPLES, STEPS, FEATURES), counts


def test_weighted_metrics_leave_masked_steps_out(subject, uniform):
    """As they do without weights: the mean of these is Σ(weight · error) / Σ weight of the steps that count."""
    model, x, counts = stepwise(subject, uniform, subject.keras.layers.Dense(1))
    x[~counts], y, weight = 0.5, uniform(SAMPLES, STEPS, 1), 1.5 + uniform(SAMPLES, STEPS)
    model.compile(loss="mse", optimizer="sgd", weighted_metrics=["mae"], **EAGERLY)
    found = model.evaluate(x, y, sample_weight=weight, batch_size=SAMPLES, verbose=0)[1]
    expected = np.average(np.abs(model.predict_on_batch(x) - y)[counts][:, 0], weights=weight[counts])
    assert np.isclose(found, expected), f"the mean is {found:.4g}, not {expected:.4g}"


#: Metrics, from the targets and predictions of the steps that count.
OF_STEPS = {**METRICS, "TruePositives": lambda y, p: y[p > 0.5].sum()}


@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
@pytest.mark.parametrize("name", OF_STEPS)
def test_metric_leaves_masked_steps_out(subject, uniform, name, argument):
    """At those all is right. Some predictions are below 0.5, more above."""
    model, x, counts = stepwise(subject, uniform, subject.keras.layers.Dense(1, activation="sigmoid"))
    x[~counts] = 0.5
    p, (*others, bias) = model.predict_on_batch(x), model.get_weights()
    model.set_weights([*others, bias - np.quantile(np.log(p / (1.0 - p)), 0.3)])
    p = model.predict_on_batch(x)
    y = np.where(counts[..., np.newaxis], np.round(np.abs(uniform(SAMPLES, STEPS, 1))), p > 0.5).astype("float32")
    metric = getattr(subject.keras.metrics, name)()
    model.compile(loss="mse", optimizer="sgd", **{argument: [metric]}, **EAGERLY)
    found, expected = model.evaluate(x, y, batch_size=SAMPLES, verbose=0)[1], OF_STEPS[name](y[counts], p[counts])
    assert np.isclose(found, expected), f"it is {found:.4g}, not {expected:.4g}"


def test_metrics_are_returned_in_their_order(learner, data):
    """Behind the loss, as ``compile`` was given them, and not that of the alphabet."""
    model, (x, y) = learner(), data
    model.compile(loss="mae", optimizer="sgd", metrics=["mse", "mae"], **EAGERLY)
    _, first, second = model.evaluate(x, y, verbose=0)
    expected = squares(model, x, y).mean(), np.abs(differences(model, x, y)).mean()
    assert np.allclose((first, second), expected), f"they are {first:.4g} and {second:.4g}, not {expected}"


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


def test_accuracy_of_two_classes_at_each_step(subject, uniform):
    """Of outputs (batch, T, 1), numbers between 0 and 1, it is how often they are on the right side of 0.5."""
    model, x, _ = stepwise(subject, uniform, subject.keras.layers.Dense(1, activation="sigmoid"))
    likelier, right = model.predict_on_batch(x) > 0.5, uniform(SAMPLES, STEPS, 1) > -0.5
    model.compile(loss="binary_crossentropy", optimizer="sgd", metrics=["accuracy"], **EAGERLY)
    found = model.evaluate(x, (likelier == right).astype("float32"), batch_size=SAMPLES, verbose=0)[1]
    assert np.isclose(found, right.mean()), f"the accuracy is {found:.4g}, not {right.mean():.4g}"


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


def test_the_only_loss_has_its_weight(learner, data):
    model, (x, y) = learner(), data
    model.compile(loss="mse", loss_weights=[3.0], optimizer="sgd", **EAGERLY)
    found = np.ravel(model.evaluate(x, y, verbose=0))[0]
    assert np.isclose(found, 3.0 * squares(model, x, y).mean())


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
