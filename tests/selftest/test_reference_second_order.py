"""Second-order gradients against central differences of the gradients, and against each other."""

from dataclasses import replace

import numpy as np
import pytest
from honest import Float32

from conformance.data import draw
from conformance.expected import prepared
from conformance.gradients import cotangents
from conformance.second_order import cases, drawn_direction
from reference_impl import (
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    Embedding,
    LSTMCell,
    Masking,
    Model,
    StackedRNNCells,
    TimeDistributed,
    activations,
    derivatives,
    estimate,
    exact,
)
from reference_impl.gradients import ModelGradients, model_gradients
from reference_impl.rounding import FORMATS, MonteCarlo
from reference_impl.second_order import hessian_product
from reference_impl.tangents import WITHOUT_TANGENT, RoundingBoth, moving, tangent

#: The largest error, relative to the largest entry of a product.
BOUND = 1e-8

#: Differences of fourth order, as for the gradients; these jump at a kink, so the step is shorter to pass none.
STEP = 2.0**-16

MASK = np.array([[True, False, True], [False, True, False]])

#: Elementary functions on the way of a gradient through a step: σ of a gate, tanh of the candidate and of the carry.
FUNCTIONS = 3


def uniform(*shape, seed=0):
    return 2.0 * np.random.RandomState(seed).random_sample(shape) - 1.0


def like(arrays, seed):
    return tuple(uniform(*array.shape, seed=seed + number) for number, array in enumerate(arrays))


def flat(gradients):
    return [*gradients.inputs, *gradients.weights, *(own for layer in gradients.states for own in layer)]


def moved(values, direction, steps):
    return [value + steps * STEP * own if own.any() else value for value, own in zip(values, direction)]


def differences(direction, model, inputs, weights, states, masks, d_outputs):
    """The slope of the gradients in a direction."""

    def gradients(steps):
        starts = [moved(*own, steps) for own in zip(states, direction.states)]
        x, w = moved(inputs, direction.inputs, steps), moved(weights, direction.weights, steps)
        return flat(model_gradients(model, x, w, starts, masks, d_outputs))

    four = zip(*map(gradients, (-2, -1, 1, 2)))
    return [(8.0 * (near - below) - (far - under)) / (12.0 * STEP) for under, below, near, far in four]


def hold(actual, expected, bound=BOUND):
    size = max(np.abs(array).max() for array in expected)
    assert size > 0.0
    for one, other in zip(actual, expected):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= bound * size
    assert len(actual) == len(expected)


def problem(model, x, masks=(None,), with_states=True):
    """A model's arguments, all drawn, the cotangents among them."""
    shapes = [shape for own in model.weight_shapes(x.shape) for shape in own.values()]
    weights = [0.8 * uniform(*shape, seed=n) for n, shape in enumerate(shapes)]
    given = [tuple(uniform(*shape, seed=90 + n) for n, shape in enumerate(own)) for own in model.state_shapes(x.shape)]
    states = given if with_states else [() for _ in given]
    outputs, _ = model.run([x], weights, states, masks)
    return model, [x], weights, states, masks, like(outputs, seed=50)


def anywhere(arguments, seed=70):
    """A direction for all of a model's arguments but tokens."""
    model, inputs, weights, states, *_ = arguments
    inputs = [np.zeros_like(x) for x in inputs] if isinstance(model.layers[0], Embedding) else like(inputs, seed)
    return ModelGradients(tuple(inputs), like(weights, seed + 10), tuple(like(own, seed + 20) for own in states))


def of_layer(layer, mask=None, steps=3):
    return problem(Model((layer,)), uniform(2, steps, 2, seed=7), (mask,))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_case(case):
    """In float64, with weights so large that no product vanishes beside the gradients."""
    case = replace(case, dtype="float64", weight_scale=2.0)
    data = draw(case)
    along = drawn_direction(case, data)
    x, states, masks = prepared(case, case.calls[0], data.calls[0], (), np.array)
    moves, starts, _ = prepared(case, case.calls[0], along.calls[0], (), np.array)
    if isinstance(case.model.layers[0], Masking):  # a masked step would count if it moved
        moves = [np.where(mask[..., np.newaxis], own, 0.0) for own, mask in zip(moves, masks)]
    direction = ModelGradients(tuple(moves), tuple(along.weights), tuple(starts))
    arguments = case.model, x, data.weights, states, masks, tuple(cotangents(case))
    hold(flat(hessian_product(direction, *arguments)), differences(direction, *arguments))


@pytest.mark.parametrize("argument", ["activation", "recurrent_activation"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("name", sorted(activations.FUNCTIONS))
def test_activation_in_the_layer(name, mask, argument):
    layer = LSTM(3, return_sequences=True, return_state=True, **{argument: name})
    arguments = of_layer(layer, mask)
    direction = anywhere(arguments)
    if activations.get(name) in WITHOUT_TANGENT:
        with pytest.raises(ValueError, match=f"second derivative of {name}"):
            hessian_product(direction, *arguments)
    else:
        hold(flat(hessian_product(direction, *arguments)), differences(direction, *arguments))


LAYERS = {
    "cells": RNN(StackedRNNCells((LSTMCell(2), LSTMCell(1, use_bias=False))), return_state=True),
    "zero_output": LSTM(3, return_sequences=True, zero_output_for_mask=True, go_backwards=True),
    **{
        f"bidirectional_{mode}": Bidirectional(LSTM(2, return_sequences=True, return_state=True), mode)
        for mode in ("sum", "mul", "ave", "concat", None)
    },
    "dense": Dense(2, "tanh"),
}


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, mask):
    arguments = of_layer(LAYERS[name], mask)
    direction = anywhere(arguments)
    hold(flat(hessian_product(direction, *arguments)), differences(direction, *arguments))


def test_embedding_and_heads():
    model = Model(
        (Embedding(5, 2, mask_zero=True), LSTM(3, return_sequences=True), TimeDistributed(Dense(2, "softmax")))
    )
    arguments = problem(model, np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]]), with_states=False)
    direction = anywhere(arguments)
    hold(flat(hessian_product(direction, *arguments)), differences(direction, *arguments))


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_the_hessian_is_symmetric(mask):
    """⟨u, H·v⟩ = ⟨v, H·u⟩, to what float64 gives."""
    layer = Bidirectional(LSTM(2, return_sequences=True, return_state=True), "mul")
    arguments = of_layer(layer, mask)
    u, v = anywhere(arguments, seed=200), anywhere(arguments, seed=300)
    one, other = (
        sum((p * np.broadcast_to(d, p.shape)).sum() for p, d in zip(flat(hessian_product(along, *arguments)), flat(by)))
        for along, by in ((v, u), (u, v))
    )
    assert abs(one - other) <= 1e-13 * abs(one)


def test_the_gradients_are_those_of_one_order():
    """The values of numbers that move are what they are without tangents."""
    model, inputs, weights, *others = of_layer(LSTM(3, return_sequences=True), MASK)
    numbers = [moving(weight, uniform(*weight.shape, seed=1)) for weight in weights]
    plain = model_gradients(model, inputs, weights, *others)
    # Elementary functions of complex numbers are other ones in some NumPy, by a rounding each: 3.4 together in 1.18.
    apart = FUNCTIONS * MASK.shape[1] * FORMATS["float64"].unit_roundoff
    for one, other in zip(flat(plain), flat(model_gradients(model, inputs, numbers, *others))):
        np.testing.assert_allclose(other.real, one, rtol=apart, atol=0.0)


def test_what_does_not_move_has_no_tangent():
    assert (tangent(np.ones(3)) == 0.0).all()
    assert (tangent(moving(np.ones(3), np.arange(3.0))) == np.arange(3.0)).all()
    still = moving(np.array([np.inf, 1.0]), np.zeros(2))
    assert (still.real == [np.inf, 1.0]).all()
    arguments = of_layer(LSTM(3))
    nowhere = ModelGradients(
        *(tuple(map(np.zeros_like, own)) for own in (*arguments[1:3], ())),
    )
    nowhere = nowhere._replace(states=tuple(tuple(map(np.zeros_like, own)) for own in arguments[3]))
    assert all((own == 0.0).all() for own in flat(hessian_product(nowhere, *arguments)))


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "elu", "selu"])
def test_at_a_kink_it_does_not_matter_where_a_number_moves(name):
    derivative, zeros, ones = derivatives.get(name), np.zeros(2), np.ones(2)
    both = derivative(moving(zeros, np.array([-1.0, 1.0])), moving(zeros, zeros), ones, exact)
    np.testing.assert_array_equal(both, derivative(zeros, zeros, ones, exact))


def test_copies_spread_by_the_roundoff_and_stay_apart():
    """The first copy is exact; the others are off by some u, in every product, and value and tangent by different u."""
    copies, u = 30, FORMATS["float32"].unit_roundoff
    model, (x,), weights, (states,), (mask,), (d_output,) = of_layer(LSTM(3, return_sequences=True), MASK)
    direction = anywhere((model, [x], weights, [states]))

    def tile(array):
        return np.concatenate([array] * (copies + 1))

    tiled = ModelGradients((tile(direction.inputs[0]),), direction.weights, (tuple(map(tile, direction.states[0])),))
    read = [tile(x)], weights, [tuple(map(tile, states))], (tile(mask),), (tile(d_output),)
    rounded = flat(hessian_product(tiled, model, *read, MonteCarlo(u, copies, seed=1)))
    precise = flat(hessian_product(direction, model, [x], weights, [states], (mask,), (d_output,)))
    for copied, alone in zip(rounded, precise):
        runs = copied.reshape(copies + 1, *alone.shape)
        hold([runs[0]], [alone])
        assert u / 10 < np.abs(runs[1:] - alone).max() / np.abs(alone).max() < 100 * u


def test_value_and_tangent_are_rounded_each_for_itself():
    fl = RoundingBoth(MonteCarlo(2.0**-24, 1, seed=1))
    value, other = fl(moving(np.ones((2, 5)), np.ones((2, 5))))
    np.testing.assert_array_equal(value, moving(np.ones(5), np.ones(5)))
    assert (np.abs(other.real - 1.0) < 2.0**-24).all()
    assert (np.abs(tangent(other) - 1.0) < 2.0**-24).all()
    assert (other.real != tangent(other)).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["lstm", "relu", "bidirectional", "cells"])
def test_honest_float32_conforms(name, seed):
    layer = {
        "lstm": LSTM(4, return_sequences=True),
        "relu": LSTM(4, "relu", "hard_sigmoid"),
        "bidirectional": Bidirectional(LSTM(3, return_sequences=True), "mul"),
        "cells": RNN(StackedRNNCells((LSTMCell(4, "softsign"), LSTMCell(3))), return_state=True),
    }[name]
    model, (x,), weights, _, _, d_outputs = of_layer(layer, steps=6)
    x = uniform(*x.shape, seed=seed)
    direction = anywhere((model, [x], weights, [()]), seed)

    def products(tile, fl):
        along = direction._replace(inputs=(tile(direction.inputs[0]),))
        return flat(hessian_product(along, model, [tile(x)], weights, [()], (None,), tuple(map(tile, d_outputs)), fl))

    for expected, actual in zip(estimate(products, "float32", seed), products(lambda array: array, Float32())):
        error = np.abs(actual - expected.value)
        assert (error <= expected.tolerance).all()
        assert error.max() > expected.tolerance.max() / 1000
