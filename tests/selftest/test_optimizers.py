"""The reference's optimizers, clipping and constraints, held to the Keras that is installed."""

import inspect

import numpy as np
import pytest
from packaging.version import Version

from conformance.compare import largest_ratio
from reference_impl import constraints, estimate, optimizers
from reference_impl.rounding import COPIES

FEATURES, UNITS, STEPS = 3, 2, 10
DTYPE = "float32"

#: Each optimizer with arguments that make a difference; the learning rates are large, to show it.
CONFIGURATIONS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "RMSprop": [
        {},
        {"rho": 0.5},
        {"momentum": 0.8},
        {"epsilon": 0.1},
        {"epsilon": 0.1, "momentum": 0.8},
        {"centered": True},
        {"centered": True, "epsilon": 0.1},
        {"centered": True, "epsilon": 0.1, "momentum": 0.8},
    ],
    "Adam": [{}, {"beta_1": 0.5}, {"beta_2": 0.9}, {"epsilon": 0.1}, {"amsgrad": True, "beta_2": 0.5}],
    "AdamW": [{}, {"weight_decay": 0.3}, {"weight_decay": 0.3, "amsgrad": True, "beta_2": 0.5}],
    "Adagrad": [{}, {"initial_accumulator_value": 1.0}, {"epsilon": 0.1}],
}
#: Arguments of every optimizer. With global_clipnorm the norm of one weight alone would not reach the bound.
SHARED = [{"clipvalue": 0.3}, {"clipnorm": 0.7}, {"global_clipnorm": 2.5}, {"weight_decay": 0.3}]
PAIRS = [(name, own) for name, configurations in CONFIGURATIONS.items() for own in configurations]
PAIRS += [(name, {**own[-1], **shared}) for name, own in CONFIGURATIONS.items() for shared in SHARED]


def tag(value):
    if not isinstance(value, (str, dict)):
        return ""
    return value if isinstance(value, str) else "-".join(f"{key}={value[key]}" for key in value) or "defaults"


@pytest.fixture
def drawn():
    """The weights of an LSTM and gradients for each step, in values of float32."""
    random = np.random.RandomState(1)
    shapes = [(FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)]

    def draw():
        return [(2.0 * random.random_sample(shape) - 1.0).astype(DTYPE).astype(np.float64) for shape in shapes]

    return draw(), [draw() for _ in range(STEPS)]


def reference(optimizer, weights, gradients, projections=None):
    """Every weight after every step, (1, size), and its tolerance."""

    def compute(tile, fl):
        met = [tile(weight[np.newaxis]) for weight in weights]
        slots, seen = optimizer.slots(met), []
        for number, given in enumerate(gradients, 1):
            met, slots = optimizer.step(met, [tile(g[np.newaxis]) for g in given], slots, number, fl)
            if projections:
                met = [project(weight, fl) for project, weight in zip(projections, met)]
            seen += [weight.reshape(COPIES + 1, -1).copy() for weight in met]
        return seen

    return estimate(compute, DTYPE, seed=0)


def by_keras(subject, optimizer, weights, gradients, **layer_arguments):
    """Every weight after every step, (1, size)."""
    layer = subject.keras.layers.LSTM(UNITS, **layer_arguments)
    layer.build((None, None, FEATURES))
    layer.set_weights(weights)
    seen = []
    for given in gradients:
        tensors = [subject.tensors(g.astype(DTYPE)) for g in given]
        optimizer.apply_gradients(zip(tensors, layer.trainable_variables))
        seen += [weight.reshape(1, -1) for weight in layer.get_weights()]
    return seen


def of_keras(subject, name, arguments):
    """Keras's optimizer, or a skip where it has none or no such argument."""
    if not subject.eager:
        pytest.skip("optimizers are applied by hand here, which this Keras cannot")
    module = subject.keras.optimizers
    made = getattr(module, name, None) or getattr(getattr(module, "experimental", None), name, None)
    if made is None:
        pytest.skip(f"this Keras has no {name}")
    if "weight_decay" in arguments and "weight_decay" not in inspect.signature(made.__init__).parameters:
        pytest.skip(f"its {name} has no weight_decay")
    return made(**arguments)


def of_reference(subject, name, arguments):
    """The reference with what tells the generations apart."""
    moved = Version(subject.version) >= Version("2.11") or "momentum" in arguments
    told = {"epsilon_inside": True} if moved and name in ("RMSprop", "Adagrad") else {}
    return getattr(optimizers, name)(**arguments, **told)


@pytest.mark.parametrize(("name", "arguments"), PAIRS, ids=tag)
def test_the_reference_steps_as_keras_does(subject, drawn, name, arguments):
    arguments = {"learning_rate": 0.1, **arguments}
    actual = by_keras(subject, of_keras(subject, name, arguments), *drawn)
    assert largest_ratio(reference(of_reference(subject, name, arguments), *drawn), actual) <= 1.0


@pytest.mark.parametrize(("name", "arguments"), [pair for pair in PAIRS if pair[1]], ids=tag)
def test_every_argument_makes_a_difference(drawn, name, arguments):
    """Were one ignored, the tolerances would tell."""
    optimizer = getattr(optimizers, name)
    expected = reference(optimizer(learning_rate=0.1, **arguments), *drawn)
    for ignored in arguments:
        rest = {key: value for key, value in arguments.items() if key != ignored}
        others = [one.value for one in reference(optimizer(learning_rate=0.1, **rest), *drawn)]
        assert largest_ratio(expected, others) > 1.0, ignored


@pytest.mark.parametrize("name", ["RMSprop", "Adagrad"])
def test_where_epsilon_is_added_makes_a_difference(drawn, name):
    inside, outside = (
        reference(getattr(optimizers, name)(learning_rate=0.1, epsilon=0.1, epsilon_inside=where), *drawn)
        for where in (True, False)
    )
    assert largest_ratio(inside, [one.value for one in outside]) > 1.0


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_defaults_are_those_of_keras(subject, name):
    config = of_keras(subject, name, {}).get_config()
    mine = vars(getattr(optimizers, name)())
    shared = set(config) & set(mine)
    assert "learning_rate" in shared
    for argument in shared:  # Keras 3 reports a learning rate as float32 has it
        assert config[argument] in (mine[argument], np.float32(mine[argument])), argument


@pytest.mark.parametrize("shared", SHARED[:3], ids=tag)
def test_gradients_within_the_bound_are_not_clipped(drawn, shared):
    weights, gradients = drawn
    small = [[g / 1024.0 for g in given] for given in gradients]
    plain, clipping = (optimizers.SGD(), optimizers.SGD(**shared))
    expected = reference(plain, weights, small)
    assert largest_ratio(expected, [one.value for one in reference(clipping, weights, small)]) <= 1.0


def test_two_ways_of_clipping_are_refused():
    one = [np.ones((1, 2))]
    both = optimizers.SGD(clipnorm=1.0, clipvalue=1.0)
    with pytest.raises(ValueError, match="only one of"):
        both.step(one, one, both.slots(one), 1)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_runs_do_not_mix(drawn, name):
    """Runs on the first axis are each what they are alone, whose norms are clipped too."""
    weights, (first, second, *_) = drawn
    optimizer = getattr(optimizers, name)(global_clipnorm=1.0)

    def step(*runs):
        stacked = [np.stack([run[number] for run in runs]) for number in range(len(weights))]
        met = [np.stack([weight] * len(runs)) for weight in weights]
        return optimizer.step(met, stacked, optimizer.slots(met), 1)[0]

    for together, *alone in zip(step(first, second), step(first), step(second)):
        np.testing.assert_array_equal(together, np.concatenate(alone))


def projections():
    return [
        (constraints.MaxNorm(), "MaxNorm", {}),
        (constraints.MaxNorm(max_value=0.7, axis=0), "MaxNorm", {"max_value": 0.7, "axis": 0}),
        (constraints.MaxNorm(max_value=0.7, axis=1), "MaxNorm", {"max_value": 0.7, "axis": 1}),
        (constraints.MaxNorm(max_value=0.7, axis=(0, 1)), "MaxNorm", {"max_value": 0.7, "axis": [0, 1]}),
        (constraints.MinMaxNorm(max_value=0.7), "MinMaxNorm", {"max_value": 0.7}),
        (
            constraints.MinMaxNorm(min_value=0.8, max_value=0.9, rate=0.25, axis=1),
            "MinMaxNorm",
            {"min_value": 0.8, "max_value": 0.9, "rate": 0.25, "axis": 1},
        ),
        (constraints.UnitNorm(), "UnitNorm", {}),
        (constraints.UnitNorm(axis=-1), "UnitNorm", {"axis": -1}),
        (constraints.NonNeg(), "NonNeg", {}),
    ]


@pytest.mark.parametrize(("project", "name", "arguments"), projections(), ids=tag)
def test_the_reference_projects_as_keras_does(subject, drawn, project, name, arguments):
    """After each step, of each weight that has a constraint."""
    optimizer = of_keras(subject, "SGD", {"learning_rate": 0.1})
    constraint = getattr(subject.keras.constraints, name)(**arguments)
    given = {"kernel_constraint": constraint, "recurrent_constraint": constraint}
    flat = arguments.get("axis") in (None, 0, -1)  # a bias has one axis
    given.update({"bias_constraint": constraint} if flat else {})
    actual = by_keras(subject, optimizer, *drawn, **given)
    used = [project, project, project if flat else lambda weight, fl: weight]
    expected = reference(optimizers.SGD(learning_rate=0.1), *drawn, projections=used)
    assert largest_ratio(expected, actual) <= 1.0
    if arguments or name != "MaxNorm":  # no norm here is over 2
        unconstrained = [one.value for one in reference(optimizers.SGD(learning_rate=0.1), *drawn)]
        assert largest_ratio(expected, unconstrained) > 1.0
