"""Derivatives by other means than a gradient: Jacobians, of all outputs at once, and along a direction, forwards."""

import numpy as np
import pytest
from by_hand import near

pytestmark = pytest.mark.usefixtures("eager")

BATCH, STEPS, FEATURES, UNITS = 2, 3, 2, 2
MASK = np.array([[True, True, False], [True, False, True]])


@pytest.fixture(params=["scan", "unroll"])
def masked(subject, uniform, draw_weights, request):
    """A masked LSTM as a function, and a tensor to call it with."""
    if subject.tensorflow is None:
        pytest.skip("these derivatives are TensorFlow's")
    lstm, x = subject.lstm(UNITS, unroll=request.param == "unroll"), uniform(BATCH, STEPS, FEATURES)
    lstm.build(x.shape)
    draw_weights(lstm)
    mask = subject.tensors(MASK)
    return lambda inputs: lstm(inputs, mask=mask), subject.tensors(x)


@pytest.fixture
def gradients(subject, masked):
    """Those of each output with respect to all inputs, one after the other."""
    (call, x), found = masked, []
    for row, unit in np.ndindex(BATCH, UNITS):
        with subject.tensorflow.GradientTape() as tape:
            tape.watch(x)
            output = call(x)[row, unit]
        found.append(subject.to_numpy(tape.gradient(output, x)))
    return np.reshape(found, (BATCH, UNITS, BATCH, STEPS, FEATURES))


@pytest.fixture(params=["eagerly", "in_a_function"])
def run(subject, request):
    return subject.tensorflow.function if request.param == "in_a_function" else lambda function: function


def test_jacobian(subject, masked, gradients, run):
    call, x = masked

    def jacobian():
        with subject.tensorflow.GradientTape() as tape:
            tape.watch(x)
            outputs = call(x)
        return tape.jacobian(outputs, x)

    assert near(subject.to_numpy(run(jacobian)()), gradients), "it is not that of gradients"


def test_derivative_along_a_direction(subject, uniform, masked, gradients, run):
    (call, x), direction = masked, uniform(BATCH, STEPS, FEATURES)

    def derivative():
        with subject.tensorflow.autodiff.ForwardAccumulator(x, subject.tensors(direction)) as along:
            outputs = call(x)
        return along.jvp(outputs)

    expected = np.tensordot(gradients, direction, axes=3)
    assert near(subject.to_numpy(run(derivative)()), expected), "it is not that of gradients"
