"""What the reference trains by: gradients of everything in the loss against differences, and what is trained."""

import numpy as np
import pytest

from conformance.programs import BATCH, PROGRAMS, drawn
from reference_impl import LSTM, Bidirectional, Dense, Model
from reference_impl.constraints import NonNeg
from reference_impl.losses import MeanSquaredError
from reference_impl.optimizers import SGD
from reference_impl.regularizers import L1, L2
from reference_impl.rounding import exact
from reference_impl.training import Compiled, Samples

#: As in test_reference_gradients: of the largest entry of a gradient, and the step of differences of fourth order.
BOUND, STEP = 1e-8, 2.0**-12

#: By model, loss, sample weights and regularizers; what optimizers do is not in the gradient.
DIFFERENT = {(program.layers, program.loss, program.sample_weight): program for program in PROGRAMS}


def wide(array):
    return None if array is None else array.astype(np.float64)


@pytest.mark.parametrize("program", DIFFERENT.values(), ids=lambda program: program.id)
def test_gradients_are_those_of_the_loss(program):
    samples, weights = drawn(program)
    (batch, *_), weights = Samples(*map(wide, samples)).batches(BATCH), [wide(weight) for weight in weights]
    compiled = program.compiled

    def loss(number, place, move):
        moved = [weight.copy() for weight in weights]
        moved[number][place] += move * STEP
        return compiled.objective(batch, moved, compiled.at_rest, exact).loss

    gradients = compiled.objective(batch, weights, compiled.at_rest, exact).pullback()
    largest = max(np.abs(gradient).max() for gradient in gradients)
    for number, gradient in enumerate(gradients):
        for place in np.ndindex(weights[number].shape):
            two_back, back, there, two_there = (loss(number, place, move) for move in (-2, -1, 1, 2))
            slope = (8.0 * (there - back) - (two_there - two_back)) / (12.0 * STEP)
            assert abs(slope - gradient[0][place]) <= BOUND * largest, (number, place)


def test_both_halves_of_bidirectional_have_its_layers_arguments():
    layer = LSTM(2, recurrent_regularizer=L1(0.1), bias_constraint=NonNeg(), trainable=False)
    compiled = Compiled(Model((Bidirectional(layer), Dense(1))), MeanSquaredError(), SGD())
    assert compiled.of_weights("regularizer") == [None, L1(0.1), None] * 2 + [None, None]
    assert compiled.of_weights("constraint") == [None, None, NonNeg()] * 2 + [None, None]
    assert compiled.trainable == [False] * 6 + [True, True]


def test_a_penalty_of_a_frozen_layer_is_in_the_loss_and_moves_nothing():
    layer = LSTM(2, kernel_regularizer=L2(0.5), trainable=False)
    compiled = Compiled(Model((layer,)), MeanSquaredError(), SGD())
    weights = [np.ones(shape) for shape in layer.weight_shapes(1).values()]
    samples = Samples(np.zeros((1, 1, 1)), layer(np.zeros((1, 1, 1)), weights)[0])
    fitted = compiled.fit(samples, weights, batch_size=1, epochs=1)
    assert fitted.losses == [4.0]
    assert all((after == before).all() for after, before in zip(fitted.weights[0], weights))


def test_a_smaller_last_batch_counts_less():
    compiled = Compiled(Model((Dense(1, use_bias=False),)), MeanSquaredError(), SGD())
    samples = Samples(np.array([[1.0], [1.0], [2.0]]), np.zeros((3, 1)))
    assert compiled.evaluate(samples, [np.ones((1, 1))], batch_size=2) == (1.0 + 1.0 + 4.0) / 3.0
