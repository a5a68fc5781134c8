"""Files of compiled models: what is read has the losses and the optimizer that were saved, and goes on with them."""

import numpy as np
import pytest

from conformance.subject.files import FORMATS
from conformance.subject.unsupported import WITHOUT_GLOBAL_CLIPNORM

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, UNITS = 4, 3, 2, 2

#: Optimizers with arguments that are not their defaults; every gradient is larger than what it is clipped to.
OPTIMIZERS = {
    "SGD": {"learning_rate": 0.5, "momentum": 0.75, "nesterov": True, "clipnorm": 0.001},
    "RMSprop": {"learning_rate": 0.125, "rho": 0.5, "momentum": 0.25, "centered": True, "clipvalue": 0.001},
    "Adam": {"learning_rate": 0.125, "beta_1": 0.5, "beta_2": 0.75, "amsgrad": True, "global_clipnorm": 0.001},
}

#: Losses with arguments that are not their defaults.
LOSSES = {
    "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.25},
    "CategoricalCrossentropy": {"from_logits": True, "label_smoothing": 0.25},
    "Huber": {"delta": 0.125},
}


@pytest.fixture
def data(uniform):
    """Samples, and targets of two outputs that are probabilities."""
    return uniform(SAMPLES, STEPS, FEATURES), [np.abs(uniform(SAMPLES, width)) for width in (1, UNITS)]


@pytest.fixture
def learner(subject, draw_weights):
    """A model of two outputs; it runs eagerly, which is nothing to a file."""
    layers, inputs = subject.keras.layers, subject.keras.Input((STEPS, FEATURES))
    read = subject.lstm(3)(inputs)
    model = subject.keras.Model(inputs, [layers.Dense(1, name="one")(read), layers.Dense(UNITS, name="other")(read)])
    return draw_weights(model)


@pytest.fixture
def read_again(kept):
    """The model that is read, compiled, from the file that another was saved in."""

    def read_again(model, form):
        again = kept(model, form)
        if not again.layers:
            pytest.skip("an exported model is not compiled when it is read")  # that is, one that Keras 3 exports
        again.run_eagerly = True
        return again

    return read_again


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(pytest.param(name, form, id=f"{name}-{form}") for name in OPTIMIZERS for form in ("keras", "h5")),
        pytest.param("SGD", "savedmodel", id="SGD-savedmodel"),  # which takes seconds to be read
    ],
)
def test_training_goes_on_as_it_was_compiled(subject, learner, data, read_again, name, form):
    """The next step moves the weights as it does without a file: clipped, with momentum, by each output's weight."""
    if "global_clipnorm" in OPTIMIZERS[name] and subject.environment.backend.startswith(WITHOUT_GLOBAL_CLIPNORM):
        pytest.skip("this Keras has no global_clipnorm")
    optimizer = getattr(subject.keras.optimizers, name)(**OPTIMIZERS[name])
    losses = subject.keras.losses
    loss = [losses.MeanSquaredError(), losses.BinaryCrossentropy(from_logits=True)]
    learner.compile(optimizer=optimizer, loss=loss, loss_weights=[2.0, 0.25], run_eagerly=True)
    for _ in range(2):
        learner.train_on_batch(*data)
    again = read_again(learner, form)
    found, expected = (model.evaluate(*data, verbose=0) for model in (again, learner))
    assert found == expected, f"the losses are {found}, not {expected}"
    for model in (learner, again):
        model.train_on_batch(*data)
    assert all(map(np.array_equal, again.get_weights(), learner.get_weights())), "it goes on otherwise"


@pytest.mark.parametrize("form", ["keras", "h5"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_read_from_a_file(subject, learner, data, read_again, name, form):
    """With its arguments: what is loaded finds the same."""
    losses = subject.keras.losses
    loss = [losses.MeanSquaredError(), getattr(losses, name)(**LOSSES[name])]
    learner.compile(optimizer="sgd", loss=loss, run_eagerly=True)
    expected = learner.evaluate(*data, verbose=0)
    found = read_again(learner, form).evaluate(*data, verbose=0)
    assert found == expected, f"the losses are {found}, not {expected}"


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_weights_of_losses_by_name_are_read_from_a_file(subject, learner, data, read_again, form):
    weights, losses = {"other": 0.25, "one": 2.0}, subject.keras.losses
    loss = {"one": losses.MeanSquaredError(), "other": losses.MeanAbsoluteError()}
    learner.compile(optimizer="sgd", loss=loss, loss_weights=weights, run_eagerly=True)
    x, targets = data
    one, other = (output - target for output, target in zip(learner.predict_on_batch(x), targets))
    expected = 2.0 * (one**2).mean() + 0.25 * np.abs(other).mean()
    found = np.ravel(read_again(learner, form).evaluate(x, targets, verbose=0))[0]
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_weighted_metrics_are_read_from_a_file(subject, learner, data, uniform, read_again, form):
    """Beside metrics that are not weighted, in their order."""
    metrics, losses = subject.keras.metrics, subject.keras.losses
    given = {"metrics": [[metrics.MeanSquaredError()], []], "weighted_metrics": [[metrics.MeanAbsoluteError()], []]}
    learner.compile(optimizer="sgd", loss=[losses.MeanSquaredError()] * 2, run_eagerly=True, **given)
    weights = [1.5 + uniform(SAMPLES)] * 2
    expected = learner.evaluate(*data, sample_weight=weights, verbose=0)
    found = read_again(learner, form).evaluate(*data, sample_weight=weights, verbose=0)
    assert found == expected, f"losses and metrics are {found}, not {expected}"


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_model_is_read_without_its_training(subject, learner, data, tmp_path, form):
    """With ``compile=False``, which needs no loss that nobody knows there."""
    if FORMATS[form].unwritten(subject.keras):
        pytest.skip(f"this Keras has {FORMATS[form].unwritten(subject.keras)}")

    def mine(targets, outputs):
        return (outputs - targets) ** 2

    learner.compile(optimizer="sgd", loss=mine, run_eagerly=True)
    learner.train_on_batch(*data)
    path = str(tmp_path / f"model{FORMATS[form].suffix}")
    learner.save(path)
    again = subject.keras.models.load_model(path, compile=False)
    assert getattr(again, "optimizer", None) is None, "it has an optimizer"
    assert all(map(np.array_equal, again.get_weights(), learner.get_weights()))


def test_training_goes_on_from_a_checkpoint_of_tensorflow(subject, learner, data, tmp_path):
    """``tf.train.Checkpoint`` brings back the weights and what the optimizer remembers."""
    if subject.tensorflow is None:
        pytest.skip("there are no checkpoints without TensorFlow")
    x, y = data
    learner.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.5, momentum=0.75), run_eagerly=True)
    learner.train_on_batch(x, y)
    checkpoint = subject.tensorflow.train.Checkpoint(model=learner, optimizer=learner.optimizer)
    path, ends = checkpoint.save(str(tmp_path / "checkpoint")), []
    for _ in range(2):
        checkpoint.restore(path)
        learner.train_on_batch(x, y)
        ends.append(learner.get_weights())
    assert all(map(np.allclose, *ends)), "training does not go on from what was saved"
