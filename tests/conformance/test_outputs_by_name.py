"""Targets, losses, weights and metrics of a model of two outputs that are given in their order or by their names."""

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, UNITS = 4, 3, 2, 2

#: The names of the outputs, in their order, which is not that of the alphabet.
NAMES = ["second", "first"]

#: Arguments of ``fit``: all samples in one batch.
WHOLE = {"batch_size": SAMPLES, "shuffle": False, "verbose": 0}


@pytest.fixture
def data(uniform):
    return uniform(SAMPLES, STEPS, FEATURES), [uniform(SAMPLES, 1) for _ in NAMES]


@pytest.fixture
def reported(subject, draw_weights, data):
    """What ``fit`` reports of its last epoch, in which nothing is learnt, and what each output is off by."""
    layers, inputs = subject.keras.layers, subject.keras.layers.Input((STEPS, FEATURES))
    read = subject.lstm(UNITS)(inputs)
    model = subject.keras.models.Model(inputs, [layers.Dense(1, name=name)(read) for name in NAMES])
    draw_weights(model)

    def reported(run_eagerly=True, targets=None, batch_size=SAMPLES, **compiled):
        x, y = data
        off = [(subject.to_numpy(output) - one)[:, 0] for output, one in zip(model(subject.tensors(x)), y)]
        model.compile(optimizer=subject.keras.optimizers.SGD(0.0), run_eagerly=run_eagerly, **compiled)
        history = model.fit(x, targets or y, **{**WHOLE, "batch_size": batch_size}).history
        return {name: values[-1] for name, values in history.items()}, off

    return reported


def test_targets_by_name_are_those_of_their_outputs(reported, data):
    y = dict(zip(NAMES, data[1]))
    for targets in (y, dict(reversed(list(y.items())))):
        found, (second, first) = reported(targets=targets, loss=["mse", "mae"])
        expected = (second**2).mean() + np.abs(first).mean()
        assert np.isclose(found["loss"], expected), f"the loss is {found['loss']:.4g}, not {expected:.4g}"


#: Losses, and what they are multiplied by, that are the same in other forms.
LOSSES = {
    "in_order": {"loss": ["mse", "mae"], "loss_weights": [2.0, 3.0]},
    "by_name": {"loss": {"second": "mse", "first": "mae"}, "loss_weights": {"second": 2.0, "first": 3.0}},
    "losses_turned_round": {"loss": {"first": "mae", "second": "mse"}, "loss_weights": {"second": 2.0, "first": 3.0}},
    "weights_turned_round": {"loss": {"second": "mse", "first": "mae"}, "loss_weights": {"first": 3.0, "second": 2.0}},
}


@pytest.mark.parametrize("form", LOSSES)
def test_losses_by_name_are_those_of_their_outputs(reported, form):
    """In whichever order the names are."""
    found, (second, first) = reported(**LOSSES[form])
    expected = 2.0 * (second**2).mean() + 3.0 * np.abs(first).mean()
    assert np.isclose(found["loss"], expected), f"the loss is {found['loss']:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("kind", ["metrics", "weighted_metrics"])
def test_metrics_by_name_are_those_of_their_outputs(reported, kind):
    found, (second, first) = reported(loss=["mse", "mse"], **{kind: {"second": ["mae"], "first": ["mse"]}})
    assert np.isclose(found["second_mae"], np.abs(second).mean())
    assert np.isclose(found["first_mse"], (first**2).mean())


def test_metric_given_for_two_outputs(subject, reported):
    """It is that of each, or refused."""
    metric = subject.keras.metrics.MeanAbsoluteError(name="mae")
    try:
        found, off = reported(loss=["mse", "mse"], metrics={name: [metric] for name in NAMES})
    except ValueError as refused:
        if "metric" not in str(refused):
            raise
        pytest.skip("this Keras refuses a metric that is given for two outputs")
    for name, differences in zip(NAMES, off):
        expected = np.abs(differences).mean()
        assert f"{name}_mae" in found, f"of {name} there is no metric"
        one = found[f"{name}_mae"]
        assert np.isclose(one, expected), f"the metric of {name} is {one:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("run_eagerly", [True, False], ids=["eager", "graph"])
def test_loss_of_each_output_is_that_of_all_samples(reported, run_eagerly):
    """Each counts the same, those of a smaller last batch too, and no weight of losses."""
    found, off = reported(run_eagerly, batch_size=3, loss=["mse", "mse"], loss_weights=[2.0, 3.0])
    if "second_loss" not in found:
        pytest.skip("this Keras reports no losses of outputs")
    for name, differences in zip(NAMES, off):
        one, expected = found[f"{name}_loss"], (differences**2).mean()
        assert np.isclose(one, expected), f"the loss of {name} is {one:.4g}, not {expected:.4g}"


#: Losses of one output, the targets there are, and which output it is.
ALONE = {
    "in_order": (["mse", None], lambda y: y, 0),
    "behind_none": ([None, "mse"], lambda y: y, 1),
    "by_name": ({"second": "mse"}, lambda y: {"second": y[0]}, 0),
    "by_name_of_all_targets": ({"second": "mse"}, lambda y: dict(zip(NAMES, y)), 0),
    "by_name_beside_none": ({"second": None, "first": "mse"}, lambda y: y, 1),
}


@pytest.mark.parametrize("form", ALONE)
def test_output_without_a_loss_costs_nothing(reported, data, form):
    """An output that is there for predictions alone, as the states of an LSTM may be."""
    loss, targets, number = ALONE[form]
    found, off = reported(loss=loss, targets=targets(data[1]))
    expected = (off[number] ** 2).mean()
    assert np.isclose(found["loss"], expected), f"the loss is {found['loss']:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("loss", ["mse", {"only": "mse"}], ids=["loss", "loss_by_name"])
def test_targets_by_name_of_the_only_output(subject, data, loss):
    keras, (x, (y, _)) = subject.keras, data
    inputs = keras.layers.Input((STEPS, FEATURES))
    model = keras.models.Model(inputs, keras.layers.Dense(1, name="only")(subject.lstm(UNITS)(inputs)))
    model.compile(loss=loss, optimizer="sgd", run_eagerly=True)
    found, expected = model.evaluate(x, {"only": y}, verbose=0), ((model.predict_on_batch(x) - y) ** 2).mean()
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("measured", [False, True], ids=["loss", "metrics"])
@pytest.mark.parametrize("names", [NAMES, NAMES[:1]], ids=["all", "one"])
def test_outputs_in_a_dictionary(subject, data, draw_weights, names, measured):
    """Losses, metrics and targets have the names that the dictionary has, not those of layers."""
    keras, (x, y) = subject.keras, data
    if subject.generation < 3 and not subject.has_mixed_policies:
        pytest.skip("models of this Keras return no dictionaries")
    inputs = keras.layers.Input((STEPS, FEATURES))
    read = subject.lstm(UNITS)(inputs)
    model = keras.models.Model(inputs, {name: keras.layers.Dense(1)(read) for name in NAMES})
    draw_weights(model)
    metrics = {name: [metric] for name, metric in zip(names, ["mae", "mape"])} if measured else None
    model.compile(loss=dict.fromkeys(names, "mse"), metrics=metrics, optimizer="sgd", run_eagerly=True)
    found = model.evaluate(x, {name: one for name, one in zip(NAMES, y) if name in names}, verbose=0, return_dict=True)
    outputs = model.predict_on_batch(x)
    off = [outputs[name] - one for name, one in zip(names, y)]
    expected = sum((differences**2).mean() for differences in off)
    assert np.isclose(found["loss"], expected), f"the loss is {found['loss']:.4g}, not {expected:.4g}"
    if measured:
        shown = [value for name, value in found.items() if name.endswith("mae")]
        assert len(shown) == 1, f"shown are {list(found)}"
        assert np.isclose(shown[0], np.abs(off[0]).mean()), "the metric is that of another output"
