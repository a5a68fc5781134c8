"""Steps of optimizers that are called by hand; see ``test_training`` for those of whole models."""

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("eager")

STEPS, FEATURES, UNITS = 3, 2, 2

#: Powers of two, which float32 holds.
RATE, BETA_1, BETA_2, EPSILON = 0.125, 0.875, 0.75, 2.0**-6


def adadelta(weight, gradients):
    squares = moves = 0.0
    for g in gradients:
        squares = BETA_1 * squares + (1.0 - BETA_1) * g**2
        move = g * np.sqrt((moves + EPSILON) / (squares + EPSILON))
        moves = BETA_1 * moves + (1.0 - BETA_1) * move**2
        weight = weight - RATE * move
    return weight


def adamax(weight, gradients):
    m = u = 0.0
    for t, g in enumerate(gradients, 1):
        m, u = BETA_1 * m + (1.0 - BETA_1) * g, np.maximum(BETA_2 * u, np.abs(g))
        weight = weight - RATE / (1.0 - BETA_1**t) * m / (u + EPSILON)
    return weight


def ftrl(weight, gradients):
    squares, z = BETA_1, 0.0
    for g in gradients:
        before, squares = squares, squares + g**2
        z += g - (np.sqrt(squares) - np.sqrt(before)) / RATE * weight
        weight = -np.sign(z) * np.maximum(np.abs(z) - EPSILON, 0.0) / (np.sqrt(squares) / RATE + 2.0 * BETA_2)
    return weight


def lamb(weight, gradients):
    """By You et al. (2019): a step is as long as the weight, times the rate."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = BETA_1 * m + (1.0 - BETA_1) * g, BETA_2 * v + (1.0 - BETA_2) * g**2
        move = m / (1.0 - BETA_1**t) / (np.sqrt(v / (1.0 - BETA_2**t)) + EPSILON)
        weight = weight - RATE * np.linalg.norm(weight) / np.linalg.norm(move) * move
    return weight


def lion(weight, gradients):
    m = 0.0
    for g in gradients:
        weight = weight - RATE * np.sign(BETA_1 * m + (1.0 - BETA_1) * g)
        m = BETA_2 * m + (1.0 - BETA_2) * g
    return weight


def nadam(weight, gradients):
    """By Dozat's report: the momentum grows with 0.96^(t/250)."""
    m = v = 0.0
    product = 1.0
    for t, g in enumerate(gradients, 1):
        now, after = (BETA_1 * (1.0 - 0.5 * 0.96 ** (step / 250.0)) for step in (t, t + 1))
        product *= now
        m, v = BETA_1 * m + (1.0 - BETA_1) * g, BETA_2 * v + (1.0 - BETA_2) * g**2
        ahead = after * m / (1.0 - product * after) + (1.0 - now) * g / (1.0 - product)
        weight = weight - RATE * ahead / (np.sqrt(v / (1.0 - BETA_2**t)) + EPSILON)
    return weight


def in_rows(subject, gradient):
    """The same gradient, that of a matrix in rows of which two are of the first row."""
    if gradient.ndim == 1:
        return subject.tensors(gradient)
    first, second = gradient
    rows = subject.tensors(np.stack([np.float32(0.25) * first, second, np.float32(0.75) * first]))
    return subject.tensorflow.IndexedSlices(rows, subject.tensors(np.array([0, 1, 0])), gradient.shape)


BETAS = {"beta_1": BETA_1, "beta_2": BETA_2}

#: By the name of an optimizer, its arguments beside the rate, and where a weight comes to by gradients.
FORMULAS = {
    "Adadelta": ({"rho": BETA_1, "epsilon": EPSILON}, adadelta),
    "Adamax": ({**BETAS, "epsilon": EPSILON}, adamax),
    "Ftrl": (
        {
            "initial_accumulator_value": BETA_1,
            "l1_regularization_strength": EPSILON,
            "l2_regularization_strength": BETA_2,
        },
        ftrl,
    ),
    "Lamb": ({**BETAS, "epsilon": EPSILON}, lamb),
    "Lion": (BETAS, lion),
    "Nadam": ({**BETAS, "epsilon": EPSILON}, nadam),
}


@pytest.fixture
def stepped(subject, start, gradients):
    """The weights of an LSTM after a step of an optimizer by each of the gradients."""
    if subject.tensorflow is None:
        pytest.skip("optimizers are given TensorFlow's gradients here")

    def stepped(name, in_a_graph=False, of_words=False):
        if not hasattr(subject.keras.optimizers, name):
            pytest.skip(f"this Keras has no {name}")
        optimizer = getattr(subject.keras.optimizers, name)(RATE, **FORMULAS[name][0])
        lstm = subject.lstm(UNITS, unit_forget_bias=False)
        lstm.build((None, STEPS, FEATURES))
        lstm.set_weights(start)
        weights = lstm.trainable_weights

        def step(given):
            optimizer.apply_gradients(list(zip(given, weights)))

        for arrays in gradients:
            given = [in_rows(subject, array) for array in arrays] if of_words else subject.tensors(arrays)
            (subject.tensorflow.function(step) if in_a_graph else step)(given)
        return lstm.get_weights()

    return stepped


@pytest.fixture
def gradients(uniform):
    """Of four steps. Those of a weight have one sign, so that its moves do not cancel."""
    shapes = (FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)
    signs = [np.sign(uniform(*shape)) for shape in shapes]
    return [[sign * (np.float32(1.25) + uniform(*sign.shape)) for sign in signs] for _ in range(4)]


@pytest.fixture
def start(gradients):
    """Weights that the gradients move away from 0."""
    return [-array for array in gradients[0]]


@pytest.mark.parametrize("name", FORMULAS)
def test_steps_are_those_of_the_formula(stepped, start, gradients, name):
    expected = map(FORMULAS[name][1], start, zip(*gradients))
    for found, wanted in zip(stepped(name), expected):
        assert np.allclose(found, wanted), f"a weight is {found.flat[0]:.6g}, not {wanted.flat[0]:.6g}"


@pytest.mark.parametrize("name", FORMULAS)
def test_steps_in_a_graph_are_those_outside(stepped, name):
    for found, wanted in zip(stepped(name, in_a_graph=True), stepped(name)):
        assert np.allclose(found, wanted), f"a weight is {found.flat[0]:.6g}, not {wanted.flat[0]:.6g}"


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_of_one_row_are_added(stepped, name):
    """As are those of an Embedding for a word that occurs twice."""
    for found, wanted in zip(stepped(name, of_words=True), stepped(name)):
        assert np.allclose(found, wanted), f"a weight is {found.flat[0]:.6g}, not {wanted.flat[0]:.6g}"
