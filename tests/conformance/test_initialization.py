"""What a freshly built LSTM holds, and what initializers draw."""

import math

import numpy as np
import pytest
from by_hand import agree

from conformance.dropout import probability
from reference_impl import GATES, Estimate, gate_slice
from reference_impl.rounding import FORMATS

FEATURES, UNITS = 16, 32

#: How often a test of drawn numbers may fail by chance.
FALSE_ALARM = 1e-9

#: What holds an LSTM's weights, by how many LSTMs it holds.
LAYERS = {
    "LSTM": lambda subject, **arguments: subject.lstm(UNITS, **arguments),
    "LSTMCell": lambda subject, **arguments: subject.keras.layers.LSTMCell(UNITS, **arguments),
    "RNN": lambda subject, **arguments: subject.keras.layers.RNN(subject.keras.layers.LSTMCell(UNITS, **arguments)),
    "Bidirectional": lambda subject, **arguments: subject.keras.layers.Bidirectional(subject.lstm(UNITS, **arguments)),
}

each_layer = pytest.mark.parametrize("name", LAYERS)


def fresh(subject, name, **arguments):
    """For each LSTM of a new layer its weights: kernel, recurrent kernel and, if it has one, bias."""
    layer = LAYERS[name](subject, **arguments)
    layer.build((None, FEATURES) if name == "LSTMCell" else (None, 2, FEATURES))
    weights = layer.get_weights()
    each = len(weights) // (2 if name == "Bidirectional" else 1)
    return [weights[start : start + each] for start in range(0, len(weights), each)]


def uniform(low, high):
    """The probability of a number below x, of numbers that are uniform."""
    return lambda x: (x - low) / (high - low)


def within(limit):
    return uniform(-limit, limit)


def normal(mean, deviation):
    return np.vectorize(lambda x: math.erfc((mean - x) / deviation / math.sqrt(2.0)) / 2.0)


def truncated(mean, deviation):
    """Of numbers that are normal, those within two deviations."""
    below, beyond = normal(mean, deviation), normal(0.0, 1.0)(-2.0)
    return lambda x: (below(x) - beyond) / (1.0 - 2.0 * beyond)


def variance(of):
    """Truncated numbers of this variance: the deviation of standard ones within two is 0.8796."""
    return truncated(0.0, math.sqrt(of) / 0.87962566103423978)


#: A kernel of so many numbers that a distribution is told from its neighbours, and the initializers' documented ones.
MANY = FAN_IN, FAN_OUT = 64, 4096
DISTRIBUTIONS = {
    "RandomUniform": ({"minval": -0.5, "maxval": 1.0}, uniform(-0.5, 1.0)),
    "RandomNormal": ({"mean": 0.5, "stddev": 2.0}, normal(0.5, 2.0)),
    "TruncatedNormal": ({"mean": 0.5, "stddev": 2.0}, truncated(0.5, 2.0)),
    "GlorotNormal": ({}, variance(2.0 / (FAN_IN + FAN_OUT))),
    "HeNormal": ({}, variance(2.0 / FAN_IN)),
    "HeUniform": ({}, within(math.sqrt(6.0 / FAN_IN))),
    "LecunNormal": ({}, variance(1.0 / FAN_IN)),
    "LecunUniform": ({}, within(math.sqrt(3.0 / FAN_IN))),
    "VarianceScaling-fan_out": (
        {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"},
        within(math.sqrt(9.0 / FAN_OUT)),
    ),
    "VarianceScaling-fan_avg": ({"scale": 3.0, "mode": "fan_avg"}, variance(6.0 / (FAN_IN + FAN_OUT))),
}


def weight_of(subject, initializer, shape):
    """What an initializer gives a weight."""
    layer = subject.keras.layers.Dense(shape[1], use_bias=False, kernel_initializer=initializer)
    layer.build((None, shape[0]))
    return layer.get_weights()[0]


def hold_distribution(numbers, cumulative):
    """Hold numbers to the probability of being below each.

    The share of n numbers below any value is further than √(ln(2/p) / 2n) from the probability of being below it with
    probability p at most (Dvoretzky, Kiefer and Wolfowitz, 1956; Massart, 1990).
    """
    below = np.clip(cumulative(np.sort(numbers, axis=None).astype(np.float64)), 0.0, 1.0)
    shares = np.arange(numbers.size + 1) / numbers.size
    distance = max(np.abs(below - shares[1:]).max(), np.abs(below - shares[:-1]).max())
    assert distance <= np.sqrt(np.log(2.0 / FALSE_ALARM) / (2.0 * numbers.size))


def test_table_of_an_embedding(subject):
    """By default its numbers are uniform between -0.05 and 0.05."""
    embedding = subject.keras.layers.Embedding(MANY[0], MANY[1])
    embedding.build((None, 1))
    hold_distribution(embedding.get_weights()[0], within(0.05))


def hold_orthonormal_rows(matrix):
    """M·Mᵀ = I for M (n, m) from a QR decomposition.

    Of one computed by Householder's reflections in a format with unit roundoff r, Q (m, n) differs from an orthonormal
    matrix by less than √n·m·n·r (Higham, "Accuracy and Stability of Numerical Algorithms", theorem 19.4), and M·Mᵀ
    from I by twice that.
    """
    n, m = matrix.shape
    product = matrix.astype(np.float64) @ matrix.T
    deviation = 2.0 * np.sqrt(n) * m * n * FORMATS["float32"].unit_roundoff
    agree([product], [Estimate(np.eye(n), np.full_like(product, deviation))])


@each_layer
def test_bias_is_one_in_the_forget_gate_and_zero_elsewhere(subject, name):
    for _, _, bias in fresh(subject, name):
        for gate in GATES:
            assert (gate_slice(bias, gate) == (1.0 if gate == "f" else 0.0)).all(), f"gate {gate}"


@each_layer
def test_bias_is_zero_without_unit_forget_bias(subject, name):
    for _, _, bias in fresh(subject, name, unit_forget_bias=False):
        assert not bias.any()


@each_layer
def test_kernel_is_glorot_uniform(subject, name):
    """Uniform within ±√(6 / (d + 4u)), the limit of a matrix (d, 4u)."""
    limit = np.sqrt(6.0 / (FEATURES + 4 * UNITS))
    for kernel, *_ in fresh(subject, name):
        assert np.abs(kernel).max() <= np.float32(limit)
        hold_distribution(kernel, within(limit))


@each_layer
def test_recurrent_kernel_is_orthogonal(subject, name):
    """The rows of U (u, 4u) are orthonormal."""
    for _, recurrent_kernel, *_ in fresh(subject, name):
        hold_orthonormal_rows(recurrent_kernel)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_initializer_draws_from_its_distribution(subject, name):
    arguments, cumulative = DISTRIBUTIONS[name]
    initializer = getattr(subject.keras.initializers, name.split("-")[0], None)
    if initializer is None:
        pytest.skip(f"this Keras has no {name}")
    hold_distribution(weight_of(subject, initializer(**arguments), MANY), cumulative)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8)], ids=["wide", "tall"])
def test_orthogonal_is_multiplied_by_its_gain(subject, shape):
    """Of a tall matrix it is the columns that are orthonormal."""
    numbers = weight_of(subject, subject.keras.initializers.Orthogonal(gain=2.0), shape) / 2.0
    hold_orthonormal_rows(numbers if shape[0] < shape[1] else numbers.T)


def test_orthogonal_has_no_preferred_sign(subject):
    """Each number is as often above 0 as below, as those of matrices are that are uniform among the orthogonal ones."""
    drawn = [weight_of(subject, subject.keras.initializers.Orthogonal(seed=seed), (2, 3)) for seed in range(64)]
    for positive in (np.array(drawn) > 0.0).sum(axis=0).flat:
        assert probability(int(positive), len(drawn), 0.5) >= FALSE_ALARM, f"{positive} of {len(drawn)} are above 0"


def test_initializers_that_draw_nothing(subject):
    initializers, shape = subject.keras.initializers, (3, 4)
    assert np.array_equal(weight_of(subject, initializers.Zeros(), shape), np.zeros(shape))
    assert np.array_equal(weight_of(subject, initializers.Ones(), shape), np.ones(shape))
    assert np.array_equal(weight_of(subject, initializers.Identity(gain=2.0), (3, 3)), 2.0 * np.eye(3))


@each_layer
def test_initializers_reach_the_weights_they_are_named_for(subject, name):
    constant = subject.keras.initializers.Constant
    arguments = {"kernel_initializer": constant(0.25), "recurrent_initializer": constant(0.5)}
    arguments.update(bias_initializer=constant(0.75), unit_forget_bias=False)
    for kernel, recurrent_kernel, bias in fresh(subject, name, **arguments):
        assert (kernel == 0.25).all()
        assert (recurrent_kernel == 0.5).all()
        assert (bias == 0.75).all()


@each_layer
def test_unit_forget_bias_forces_zeros(subject, name):
    """``unit_forget_bias=True``, so the documentation, "will also force ``bias_initializer="zeros"``"."""
    for _, _, bias in fresh(subject, name, bias_initializer=subject.keras.initializers.Constant(0.75)):
        values = {gate: np.unique(gate_slice(bias, gate)).tolist() for gate in GATES}
        assert values == {"i": [0.0], "f": [1.0], "c": [0.0], "o": [0.0]}, f"the gates' biases are {values}"


@each_layer
def test_without_bias_there_are_two_weights(subject, name):
    for weights in fresh(subject, name, use_bias=False):
        assert [weight.shape for weight in weights] == [(FEATURES, 4 * UNITS), (UNITS, 4 * UNITS)]


@each_layer
@pytest.mark.parametrize("argument", ["kernel_initializer", "recurrent_initializer"])
@pytest.mark.parametrize("initializer", ["GlorotUniform", "Orthogonal"])
def test_equal_seeds_give_equal_weights(subject, name, argument, initializer):
    if not hasattr(subject.keras.initializers, initializer):
        pytest.skip(f"this Keras has no class {initializer}")
    if subject.versions["layers"] == "v1":
        pytest.skip("equal seeds give an initializer of TensorFlow 1 equal numbers in a graph only")
    position = ["kernel_initializer", "recurrent_initializer"].index(argument)
    seeded, again, other = (
        fresh(subject, name, **{argument: getattr(subject.keras.initializers, initializer)(seed=seed)})[0][position]
        for seed in (7, 7, 8)
    )
    assert np.array_equal(seeded, again), "equal seeds gave other weights"
    assert not np.array_equal(seeded, other)


@pytest.mark.parametrize("initializer", ["GlorotUniform", "Orthogonal"])
def test_zero_is_a_seed(subject, initializer):
    """As any other number is."""
    if not hasattr(subject.keras.initializers, initializer):
        pytest.skip(f"this Keras has no class {initializer}")
    if subject.versions["layers"] == "v1":
        pytest.skip("equal seeds give an initializer of TensorFlow 1 equal numbers in a graph only")
    maker = getattr(subject.keras.initializers, initializer)
    one, other = (fresh(subject, "LSTM", kernel_initializer=maker(seed=0))[0][0] for _ in range(2))
    assert np.array_equal(one, other), "equal seeds gave other weights"


@each_layer
def test_no_two_layers_start_alike(subject, name):
    """Without a seed each layer is drawn anew, also the two halves of a Bidirectional."""
    drawn = [weights for _ in range(2) for weights in fresh(subject, name)]
    for first, *others in (drawn[start:] for start in range(len(drawn) - 1)):
        for other in others:
            assert not np.array_equal(first[0], other[0])
            assert not np.array_equal(first[1], other[1])


@each_layer
def test_the_global_seed_decides_the_weights(subject, name):
    """Drawn after the same seed they are the same, after another they are others."""
    if not hasattr(subject.keras.utils, "set_random_seed"):
        pytest.skip("this Keras has no set_random_seed()")
    drawn = []
    for number in (7, 7, 8):
        subject.keras.utils.set_random_seed(number)
        drawn.append(fresh(subject, name)[0][:2])
    assert all(map(np.array_equal, drawn[0], drawn[1])), "equal seeds gave other weights"
    assert not any(map(np.array_equal, drawn[0], drawn[2]))


def test_the_global_seed_decides_what_is_drawn_without_one(subject):
    """As an initial state of noise may be: after the same seed it is the same, every time."""
    keras = subject.keras
    if not hasattr(keras, "random"):
        pytest.skip("this Keras has no keras.random")
    drawn = []
    for number in (7, 7, 8):
        keras.utils.set_random_seed(number)
        drawn.append(subject.to_numpy(keras.random.normal((3,))))
    assert np.array_equal(drawn[0], drawn[1]), "equal seeds gave other numbers"
    assert not np.array_equal(drawn[0], drawn[2])
