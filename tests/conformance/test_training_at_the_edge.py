"""Training where it is hard to get right: nothing to learn from, several outputs, weights of many kinds, files."""

from dataclasses import asdict

import numpy as np
import pytest

from reference_impl.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from reference_impl.regularizers import OrthogonalRegularizer

pytestmark = pytest.mark.usefixtures("eager")


def test_a_batch_that_is_all_padding_teaches_nothing(subject):
    """Masked time steps do not count; where none counts the loss is 0, and a step of descent moves no weight."""
    layers = subject.keras.layers
    x = layers.Input((3, 2))
    model = subject.keras.models.Model(x, layers.Dense(1)(layers.LSTM(2, return_sequences=True)(layers.Masking()(x))))
    model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.1))
    before = model.get_weights()
    model.train_on_batch(np.zeros((2, 3, 2), "float32"), np.ones((2, 3, 1), "float32"))
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights())), "padding moved the weights"


def test_two_ways_to_clip_are_refused(subject):
    """Which of them is meant cannot be told."""
    try:
        subject.keras.optimizers.SGD(clipvalue=0.1, clipnorm=0.1)
    except ValueError:
        return
    pytest.fail("both were taken")


#: Arguments that optimizers of some versions do not have.
NOT_ALL_HAVE = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "epsilon_inside")


@pytest.mark.parametrize(
    "documented", [SGD(), RMSprop(), Adam(), AdamW(), Adagrad()], ids=lambda one: type(one).__name__
)
def test_optimizer_by_name_has_the_documented_arguments(subject, documented):
    """As ``compile(optimizer="rmsprop")`` makes it, with the learning rate that such a model is trained with."""
    name = type(documented).__name__
    if not hasattr(subject.keras.optimizers, name):
        pytest.skip(f"this Keras has no {name}")
    config = subject.keras.optimizers.get(name.lower()).get_config()
    expected = {
        key: value or 0.0 for key, value in asdict(documented).items() if key in config or key not in NOT_ALL_HAVE
    }
    found = {key: config.get(key, np.nan) or 0.0 for key in expected}
    wrong = {key: found[key] for key in expected if not np.isclose(found[key], expected[key])}
    assert not wrong, f"{name} has {wrong}, documented are {expected}"


def test_l1_l2_without_numbers_is_l1_and_l2(subject):
    """Of ``kernel_regularizer="l1_l2"``, as of "l1" and "l2", each part is 0.01 by default."""
    regularizers = subject.keras.regularizers
    penalty = float(regularizers.get("l1_l2")(subject.tensors(np.full((1, 1), 2.0, "float32"))))
    assert np.isclose(penalty, 0.01 * 2.0 + 0.01 * 4.0), f"the penalty of 2 is {penalty:.4g}"


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_vectors_are_asked_to_be_orthogonal(subject, uniform, mode):
    """Of each two rows, or columns, the cosine is penalized; here all are positive."""
    maker = getattr(subject.keras.regularizers, "OrthogonalRegularizer", None)
    if maker is None:
        pytest.skip("this Keras has no OrthogonalRegularizer")
    matrix = np.abs(uniform(3, 4)) + np.float32(0.125)
    found = float(maker(factor=0.5, mode=mode)(subject.tensors(matrix)))
    (expected,) = OrthogonalRegularizer(0.5, mode)(matrix[np.newaxis].astype("float64"))
    assert np.isclose(found, expected)


def test_losses_of_all_outputs_are_added(subject):
    """A model of two heads has the sum of their losses."""
    layers, random = subject.keras.layers, np.random.RandomState(0)
    x = layers.Input((3, 2))
    below = layers.LSTM(3, return_sequences=True)(x)
    model = subject.keras.models.Model(x, [layers.Dense(1)(below), layers.LSTM(2)(below)])
    model.compile(loss=["mse", "mse"], optimizer=subject.keras.optimizers.SGD(0.1))
    x, y = random.random_sample((4, 3, 2)).astype("float32"), [random.random_sample(s) for s in ((4, 3, 1), (4, 2))]
    each = [((output - wanted) ** 2).mean() for output, wanted in zip(model.predict_on_batch(x), y)]
    assert np.isclose(np.ravel(model.evaluate(x, y, verbose=0))[0], sum(each))


@pytest.mark.parametrize(
    ("sequences", "weighed"), [(False, False), (True, False), (False, True)], ids=["last", "sequences", "weighed"]
)
def test_targets_may_leave_out_an_axis_of_one(subject, sequences, weighed):
    """Targets (batch,) are those of outputs (batch, 1), and (batch, T) those of (batch, T, 1)."""
    layers, random = subject.keras.layers, np.random.RandomState(0)
    x = layers.Input((3, 2))
    model = subject.keras.models.Model(x, layers.Dense(1)(layers.LSTM(2, return_sequences=sequences)(x)))
    x, y = random.random_sample((4, 3, 2)).astype("float32"), random.random_sample((4, 3, 1) if sequences else (4, 1))
    weights = np.array([1.0, 2.0, 0.5, 4.0], "float32") if weighed else np.ones(4, "float32")
    expected = (weights * ((model.predict_on_batch(x) - y) ** 2).reshape(4, -1).mean(axis=-1)).mean()
    for targets in (y, y[..., 0]):
        model.compile(loss="mse", optimizer="sgd")
        found = model.evaluate(x, targets.astype("float32"), sample_weight=weights if weighed else None, verbose=0)
        assert np.isclose(found, expected), f"targets {targets.shape} cost {found:.4g}, not {expected:.4g}"


def test_metrics_leave_masked_steps_out(subject):
    """A metric is the mean over the time steps that count."""
    layers, random = subject.keras.layers, np.random.RandomState(0)
    x = layers.Input((3, 2))
    read = layers.LSTM(2, return_sequences=True)(layers.Masking(0.5)(x))
    model = subject.keras.models.Model(x, layers.Dense(1)(read))
    model.compile(loss="mse", optimizer="sgd", metrics=["mae"])
    x, y = random.random_sample((4, 3, 2)).astype("float32"), random.random_sample((4, 3, 1)).astype("float32")
    counts = np.array([[True, True, False], [True, False, False]] * 2)
    x[~counts] = 0.5
    expected = np.abs(model.predict_on_batch(x) - y)[counts].mean()
    found = model.evaluate(x, y, batch_size=4, verbose=0)[1]
    assert np.isclose(found, expected), f"the mean error is {found:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("weighed", [[2.0, 3.0], {"second": 2.0, "first": 3.0}], ids=["in_order", "by_name"])
def test_weights_of_losses_and_of_samples_are_those_of_their_outputs(subject, weighed):
    """Outputs are called so that their order is not that of the alphabet."""
    layers, random = subject.keras.layers, np.random.RandomState(0)
    inputs = layers.Input((3, 2))
    below = layers.LSTM(3)(inputs)
    outputs = [layers.Dense(1, name=name)(below) for name in ("second", "first")]
    model = subject.keras.models.Model(inputs, outputs)
    x = random.random_sample((4, 3, 2)).astype("float32")
    y, weights = ([random.random_sample(shape).astype("float32") for _ in range(2)] for shape in ((4, 1), (4,)))
    errors = [((output - wanted) ** 2)[:, 0] for output, wanted in zip(model.predict_on_batch(x), y)]
    model.compile(loss=["mse", "mse"], loss_weights=weighed, optimizer="sgd")
    for given, each in ((None, (1.0, 1.0)), (weights, weights)):
        second, first = ((weight * error).mean() for weight, error in zip(each, errors))
        found = np.ravel(model.evaluate(x, y, sample_weight=given, verbose=0))[0]
        assert not np.isclose(found, 3.0 * second + 2.0 * first), "the weights of the losses are exchanged"
        assert np.isclose(found, 2.0 * second + 3.0 * first)


def test_activity_of_all_outputs_is_penalized(subject):
    """Of an LSTM that returns its states these are outputs too."""
    penalty = subject.keras.regularizers.l2(1.0)
    lstm = subject.keras.layers.LSTM(3, return_state=True, activity_regularizer=penalty)
    outputs = [subject.to_numpy(output) for output in lstm(subject.tensors(np.ones((1, 3, 2), "float32")))]
    assert np.isclose(float(sum(lstm.losses)), sum((output**2).sum() for output in outputs))


@pytest.mark.parametrize("name", ["LSTM", "Bidirectional"])
def test_activity_of_all_steps_is_penalized(subject, uniform, name):
    """Of all that is returned, divided by the number of samples and not of steps."""
    lstm = subject.lstm(3, return_sequences=True, activity_regularizer=subject.keras.regularizers.l2(1.0))
    layer = lstm if name == "LSTM" else subject.keras.layers.Bidirectional(lstm)
    outputs = subject.to_numpy(layer(subject.tensors(uniform(4, 5, 2))))
    found, expected = float(sum(layer.losses)), (outputs**2).sum() / 4
    assert np.isclose(found, expected), f"the penalty is {found:.4g}, not {expected:.4g}"


#: Layers of models that an LSTM is within.
WITHIN = {
    "bidirectional": lambda keras, lstm: keras.layers.Bidirectional(lstm),
    "model": lambda keras, lstm: keras.models.Sequential([keras.Input(batch_shape=(1, 3, 2)), lstm]),
}


@pytest.mark.parametrize("within", WITHIN)
def test_activity_of_a_layer_within_is_penalized(subject, within):
    """By what the last call returned, without what calls before it did."""
    lstm = subject.lstm(3, activity_regularizer=subject.keras.regularizers.l2(1.0))
    inputs = subject.keras.Input(batch_shape=(1, 3, 2))
    model = subject.keras.models.Sequential([inputs, WITHIN[within](subject.keras, lstm)])
    for x in (0.5, 1.0):
        output = subject.to_numpy(model(subject.tensors(np.full((1, 3, 2), x, "float32"))))
        penalty = float(sum(model.losses))
        assert np.isclose(penalty, (output**2).sum())


def test_head_is_penalized_and_constrained(subject):
    """A Dense layer on an LSTM: both penalties are in the loss, and both constraints hold after a step."""
    keras = subject.keras
    l2, NonNeg, MaxNorm = keras.regularizers.l2, keras.constraints.NonNeg, keras.constraints.MaxNorm
    given = {"kernel_regularizer": l2(0.5), "bias_regularizer": l2(0.25), "bias_initializer": "ones"}
    head = keras.layers.Dense(2, kernel_constraint=MaxNorm(0.25), bias_constraint=NonNeg(), **given)
    model = keras.models.Sequential([keras.Input(batch_shape=(4, 3, 2)), subject.lstm(3), head])
    x, y = np.ones((4, 3, 2), "float32"), np.full((4, 2), -50.0, "float32")
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(1.0))
    kernel, bias = head.get_weights()
    error = ((model.predict_on_batch(x) - y) ** 2).mean()
    penalties = 0.5 * (kernel**2).sum() + 0.25 * (bias**2).sum()
    assert np.isclose(model.evaluate(x, y, verbose=0), error + penalties)
    model.train_on_batch(x, y)
    kernel, bias = head.get_weights()
    assert np.allclose(np.sqrt((kernel**2).sum(axis=0)), 0.25), "the kernel is not constrained"
    assert (bias == 0.0).all(), "the bias is not constrained"


#: What holds an LSTM or its cell, from Keras's layers, the class of the LSTM and its arguments.
HOLDING = {
    "RNN": lambda layers, lstm, given: layers.RNN(layers.LSTMCell(2, **given)),
    "StackedRNNCells": lambda layers, lstm, given: layers.RNN([layers.LSTMCell(2, **given) for _ in range(2)]),
    "Bidirectional": lambda layers, lstm, given: layers.Bidirectional(lstm(2, **given)),
    "TimeDistributed": lambda layers, lstm, given: layers.TimeDistributed(lstm(2, **given)),
}


@pytest.mark.parametrize("name", HOLDING)
def test_weights_within_are_penalized_and_constrained(subject, uniform, draw_weights, name):
    """As those of an LSTM of its own: every kernel of what is held within."""
    keras, shape = subject.keras, (2, 3, 2, 2) if name == "TimeDistributed" else (2, 3, 2)
    given = {"kernel_regularizer": keras.regularizers.l2(0.1), "kernel_constraint": keras.constraints.non_neg()}
    inputs = keras.layers.Input(shape[1:])
    model = keras.models.Model(inputs, HOLDING[name](keras.layers, subject.lstm, given)(inputs))
    draw_weights(model)
    kernels = model.get_weights()[::3]
    assert np.isclose(float(sum(model.losses)), sum(0.1 * (kernel**2).sum() for kernel in kernels))
    model.compile(loss="mse", optimizer="sgd", run_eagerly=True)
    model.train_on_batch(uniform(*shape), np.ones((2, *model.output_shape[1:]), "float32"))
    assert all(kernel.min() >= 0.0 for kernel in model.get_weights()[::3])
    assert all(weight.min() < 0.0 for number, weight in enumerate(model.get_weights()) if number % 3)


def trained(subject, policy, optimizer):
    """How far one step of training moves each weight of a model whose LSTM has this policy."""
    keras, random = subject.keras, np.random.RandomState(0)
    x, y = random.random_sample((4, 3, 2)).astype("float32"), random.random_sample((4, 1)).astype("float32")
    inputs = keras.layers.Input((3, 2))
    lstm = keras.layers.LSTM(3, dtype=subject.policy(policy))
    model = keras.models.Model(inputs, keras.layers.Dense(1, dtype="float32")(lstm(inputs)))
    before = [random.random_sample(weight.shape) - 0.5 for weight in model.get_weights()]
    model.set_weights(before)
    scaling = getattr(keras.mixed_precision, "LossScaleOptimizer", None) if policy == "mixed_float16" else None
    model.compile(loss="mse", optimizer=scaling(optimizer) if scaling else optimizer)
    model.train_on_batch(x, y)
    return [after - start for start, after in zip(before, model.get_weights())]


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.01}], ids=["plain", "clipnorm"])
def test_loss_scale_is_taken_out_of_the_gradients(subject, clip):
    """And before they are clipped: weights move as in float32, but for what half precision rounds, under 5 %."""
    single, mixed = (
        trained(subject, policy, subject.keras.optimizers.SGD(0.5, **clip)) for policy in ("float32", "mixed_float16")
    )
    for one, other in zip(single, mixed):
        assert np.abs(one - other).max() <= 0.05 * np.abs(one).max()


each_file = pytest.mark.parametrize("name", ["model.h5", "model.keras"], ids=["h5", "keras"])


def learner(subject):
    """A model that is not compiled, and four samples of what it may learn."""
    keras, random = subject.keras, np.random.RandomState(0)
    inputs = keras.layers.Input((3, 2))
    model = keras.models.Model(inputs, keras.layers.Dense(1)(keras.layers.LSTM(2)(inputs)))
    return model, *(random.random_sample(shape).astype("float32") for shape in ((4, 3, 2), (4, 1)))


def read_again(subject, model, path):
    model.save(str(path))
    return subject.keras.models.load_model(str(path))


@each_file
def test_training_goes_on_from_a_file(subject, tmp_path, name):
    """A model that is saved and loaded has its optimizer's state too: the next epoch is the same as without."""
    model, x, y = learner(subject)
    model.compile(loss=subject.keras.losses.MeanSquaredError(), optimizer=subject.keras.optimizers.Adam(0.1))
    model.fit(x, y, batch_size=4, epochs=3, verbose=0)
    again = read_again(subject, model, tmp_path / name)
    for one in (model, again):
        one.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    same = all(np.array_equal(one, other) for one, other in zip(model.get_weights(), again.get_weights()))
    assert same, "it goes on otherwise"


@each_file
def test_loss_given_by_name_is_read_from_a_file(subject, tmp_path, name):
    """As ``loss="mse"`` and ``metrics=["mae"]``: what is loaded is compiled, and finds the same."""
    model, x, y = learner(subject)
    model.compile(loss="mse", optimizer="adam", metrics=["mae"])
    found = model.evaluate(x, y, verbose=0)
    assert read_again(subject, model, tmp_path / name).evaluate(x, y, verbose=0) == found


def test_function_of_ones_own_is_a_penalty_and_a_constraint(subject, uniform, draw_weights):
    """Where Keras takes a regularizer or a constraint, it takes a function of the weight too."""
    keras = subject.keras

    def penalty(weight):
        return 0.5 * weight[0, 0]

    def constraint(weight):
        return 0.0 * weight + 0.25

    inputs = keras.layers.Input((3, 2))
    lstm = subject.lstm(2, kernel_regularizer=penalty, recurrent_constraint=constraint)
    model = keras.models.Model(inputs, lstm(inputs))
    draw_weights(model)
    model.compile(loss="mse", optimizer="sgd")
    x, y, kernel = uniform(4, 3, 2), uniform(4, 2), model.get_weights()[0]
    expected = ((model.predict_on_batch(x) - y) ** 2).mean() + 0.5 * kernel[0, 0]
    found = model.train_on_batch(x, y)
    assert np.isclose(np.ravel(found)[0], expected), f"the loss is {found}, not {expected:.4g}"
    assert (model.get_weights()[1] == 0.25).all(), "the weight is not constrained"
