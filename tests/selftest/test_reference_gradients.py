"""The gradients against central differences, and against each other where two ways say the same."""

from dataclasses import replace

import numpy as np
import pytest
from honest import Float32

from conformance import space
from conformance.covering import frozen_ids
from conformance.data import draw
from conformance.space import TOPOLOGIES
from reference_impl import (
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    DropoutMasks,
    Embedding,
    Given,
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
from reference_impl.gradients import backward, differentiate, differentiate_model, model_gradients
from reference_impl.rounding import FORMATS, MonteCarlo

#: The largest error, relative to the largest entry of a gradient.
BOUND = 1e-8

#: Differences of fourth order are off by h⁴·f⁽⁵⁾/30, some 1e-15 here, and by the roundoff of L over h, some 1e-12: far
#: below the bound, and with so short a step no activation passes its kink. A power of 2 makes v ± h exact.
STEP = 2.0**-12


#: Values no difference can be taken of: they saturate or vanish beside the step, or are not finite.
EXTREME = {"huge", "denormal", "infinite", "nan"}


def differences(outputs, d_outputs, array, moves=None):
    """The derivative, for each row, of ⟨d_outputs, outputs()⟩ with respect to an array, which is changed in place.

    Of an array with the batch first an entry is changed in all rows at once, for rows do not mix; ``moves`` is given
    for these, and says how far in units of the step.
    """
    batch = (slice(None),) if moves is not None else ()
    entries = array.shape[len(batch) :]
    result = np.zeros((len(d_outputs[0]), *entries))
    for place in np.ndindex(entries):
        at = (*batch, *place)
        kept, move = np.copy(array[at]), STEP * (1.0 if moves is None else moves[at])
        values = []
        for steps in (-2, -1, 1, 2):
            array[at] = kept + steps * move
            values.append(outputs())
        array[at] = kept
        for d, *four in zip(d_outputs, *values):
            near, far = four[2] - four[1], four[3] - four[0]  # what does not change is no change at all
            slope = d * (8.0 * near - far) / (12.0 * STEP)
            result[(slice(None), *place)] += slope.reshape(len(d), -1).sum(axis=1)
    return result


def random_like(arrays, seed=0):
    random = np.random.RandomState(seed)
    return tuple(2.0 * random.random_sample(array.shape) - 1.0 for array in arrays)


def smooth(case):
    """The case in float64, on usual values, with weights so large that no gradient vanishes beside the outputs."""
    values = "usual" if case.values in EXTREME else case.values
    return replace(case, dtype="float64", values=values, weight_scale=2.0)


def sample():
    """Of the frozen cases of every topology some, which together have every word the topology has."""
    for name, topology in TOPOLOGIES.items():
        ids = [case_id for case_id in frozen_ids("default") if case_id.split("-")[0] == name]
        missing = {(option, word) for option, words in topology.options.items() for word in words}
        while missing and ids:
            best = max(ids, key=lambda case_id: len(missing & set(topology.row(case_id).items())))
            if not missing & set(topology.row(best).items()):
                break
            missing -= set(topology.row(best).items())
            ids.remove(best)
            yield best


def hold(gradients, expected):
    """The entries of gradients that belong together, off by no more than the bound times the largest of them."""
    assert [gradient.shape for gradient in gradients] == [array.shape for array in expected]
    size = max((np.abs(array).max() for array in expected), default=0.0)
    for gradient, array in zip(gradients, expected):
        assert np.abs(gradient - array).max() <= BOUND * size


def hold_layer(layer, x, weights, given, tokens=False):
    """The gradients of all a layer reads are the differences of what it returns."""

    def outputs():
        return layer.run(x, weights, given).outputs

    d_outputs = random_like(outputs())
    gradients = backward(layer, x, weights, given, d_outputs)
    hold(gradients.weights, [differences(outputs, d_outputs, weight) for weight in weights])
    if not tokens:
        hold([gradients.inputs], [differences(outputs, d_outputs, x, np.ones_like(x))])
    if given.states:
        hold(gradients.states, [differences(outputs, d_outputs, state, np.ones_like(state)) for state in given.states])
    return gradients


@pytest.mark.parametrize("sampled", list(sample()))
def test_case(sampled):
    case = smooth(space.case(sampled))
    data, model = draw(case), case.model
    inputs, weights = [x.astype(np.float64) for x in data.calls[0].x], [w.astype(np.float64) for w in data.weights]
    masks = data.calls[0].masks
    shapes = model.state_shapes(case.input_shape)
    states = [random_like([np.empty(shape) for shape in own], seed=1) for own in shapes] if case.initial_state else ()

    def outputs():
        return model.run(inputs, weights, states, masks)[0]

    d_outputs = random_like(outputs())
    gradients = model_gradients(model, inputs, weights, states, masks, d_outputs)
    hold(gradients.weights, [differences(outputs, d_outputs, weight) for weight in weights])
    for own, of_layer in zip(states, gradients.states):
        if of_layer:
            hold(of_layer, [differences(outputs, d_outputs, state, np.ones_like(state)) for state in own])
    first = model.layers[0]
    assert [x.shape for x in inputs] == [gradient.shape for gradient in gradients.inputs]
    for x, mask, gradient in zip(inputs, masks, gradients.inputs):
        assert mask is None or (gradient[~mask] == 0.0).all()
        if not isinstance(first, Embedding) and case.values != "integers":
            # A masked step of Masking would count if it moved.
            moves = np.ones_like(x) * (mask[..., np.newaxis] if isinstance(first, Masking) else 1.0)
            hold([gradient], [differences(outputs, d_outputs, x, moves)])


@pytest.mark.parametrize("name", sorted(activations.FUNCTIONS))
def test_activation(name):
    """Away from the kinks, of which none has two digits behind the point."""
    x = np.concatenate([np.linspace(-7.013, 6.987, 57), [-1.03, -0.53, 0.53, 1.03]]).reshape(-1, 1) * [1.0, 0.9, 0.3]
    hold_layer(Dense(3, name), x, [np.eye(3), np.zeros(3)], Given())


#: TensorFlow's derivatives at -3, -1, -1/2, 0, 1/2, 1, 3 and 6, where it has a kink at one of these.
KINKS = {
    "hard_sigmoid": [0, 1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6, 0, 0],
    "relu": [0, 0, 0, 0, 1, 1, 1, 1],
    "relu6": [0, 0, 0, 0, 1, 1, 1, 0],
    "leaky_relu": [0.2, 0.2, 0.2, 0.2, 1, 1, 1, 1],
    "hard_silu": [0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1, 1],
    "sparse_plus": [0, 0, 0.25, 0.5, 0.75, 1, 1, 1],
    "sparse_sigmoid": [0, 0, 0.5, 0.5, 0.5, 0, 0, 0],
    "hard_tanh": [0, 1, 1, 1, 1, 1, 0, 0],
    "hard_shrink": [1, 1, 0, 0, 0, 1, 1, 1],
    "soft_shrink": [1, 1, 0, 0, 0, 1, 1, 1],
}


@pytest.mark.parametrize("name", sorted(KINKS))
def test_kink(name):
    x = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0])
    y = activations.get(name)(x, exact)
    hold([derivatives.get(name)(x, y, np.ones_like(x), exact)], [np.array(KINKS[name])])


def test_where_the_two_branches_of_elu_meet():
    assert derivatives.get("elu")(np.zeros(1), np.zeros(1), np.ones(1), exact) == 1.0


def uniform(*shape, seed=0):
    return 2.0 * np.random.RandomState(seed).random_sample(shape) - 1.0


BATCH, STEPS, FEATURES = 2, 3, 2
MASK = np.array([[True, False, True], [False, True, False]])


def problem(layer, seed=0, steps=STEPS):
    """x, weights and initial states for a layer."""
    shape = (BATCH, steps, FEATURES)
    weights = [0.8 * uniform(*own, seed=seed + 1 + n) for n, own in enumerate(layer.weight_shapes(FEATURES).values())]
    states = [uniform(*own, seed=seed + 50 + n) for n, own in enumerate(layer.state_shapes(shape))]
    return uniform(*shape, seed=seed), weights, tuple(states)


@pytest.mark.parametrize("argument", ["activation", "recurrent_activation"])
@pytest.mark.parametrize("name", sorted(activations.FUNCTIONS))
def test_activation_in_the_layer(name, argument):
    layer = LSTM(3, return_sequences=True, return_state=True, **{argument: name})
    x, weights, states = problem(layer, seed=3)
    hold_layer(layer, x, weights, Given(states, MASK))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("state", [False, True])
def test_rnn(state, sequences, mask, zero, backwards):
    cells = StackedRNNCells((LSTMCell(2), LSTMCell(1, use_bias=False)))
    layer = RNN(cells, sequences, state, go_backwards=backwards, zero_output_for_mask=zero)
    x, weights, states = problem(layer)
    gradients = hold_layer(layer, x, weights, Given(states, mask))
    if mask is not None:
        assert (gradients.inputs[~mask] == 0.0).all()


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mode", ["sum", "mul", "ave", "concat", None])
@pytest.mark.parametrize("backward_layer", [None, LSTM(2, "softsign", use_bias=False, go_backwards=True)])
def test_bidirectional(backward_layer, mode, sequences, mask):
    loop = {"return_sequences": sequences, "return_state": True}
    own = backward_layer and replace(backward_layer, **loop)
    layer = Bidirectional(LSTM(2, **loop), mode, own)
    x, weights, states = problem(layer)
    hold_layer(layer, x, weights, Given(states, mask))


def dropout_masks(*units):
    """Masks of cells of so many units on top of each other, entries 0 and 2."""
    widths = [FEATURES, *units]
    masks = [
        [np.where(uniform(BATCH, 4, width, seed=9 + n) > 0.0, 2.0, 0.0) for n, width in enumerate(pair)]
        for pair in zip(widths, units)
    ]
    return tuple(DropoutMasks(*pair) for pair in masks)


@pytest.mark.parametrize(
    ("layer", "masks"),
    [
        (LSTM(3, return_sequences=True), dropout_masks(3)),
        (LSTM(3), (DropoutMasks(inputs=dropout_masks(3)[0].inputs),)),
        (RNN(StackedRNNCells((LSTMCell(3), LSTMCell(2))), return_state=True), dropout_masks(3, 2)),
        (Bidirectional(LSTM(2)), (*dropout_masks(2), DropoutMasks(recurrent=dropout_masks(2)[0].recurrent))),
    ],
    ids=["lstm", "inputs", "cells", "bidirectional"],
)
def test_dropout(layer, masks):
    x, weights, states = problem(layer)
    hold_layer(layer, x, weights, Given(states, MASK, exact, masks))


@pytest.mark.parametrize("cell", [LSTMCell(2), StackedRNNCells((LSTMCell(3), LSTMCell(2, "relu", use_bias=False)))])
def test_cell(cell):
    x, weights, states = problem(cell)
    hold_layer(cell, x[:, 0], weights, Given(states))


@pytest.mark.parametrize(
    "layer", [Dense(2, "tanh"), Dense(2, use_bias=False), TimeDistributed(Dense(3, "softmax")), Masking(0.5)]
)
def test_layer_of_slices(layer):
    x, weights, _ = problem(layer)
    hold_layer(layer, x, weights, Given())


def test_time_distributed_states():
    layer = TimeDistributed(Bidirectional(LSTM(2, return_sequences=True)))
    x, weights, states = uniform(BATCH, 2, STEPS, FEATURES), *problem(layer.layer)[1:]
    hold_layer(layer, x, weights, Given(states, np.stack([MASK, ~MASK], axis=1)))


def test_embedding():
    """A token met twice has the gradients of both places; one not met, none."""
    tokens = np.array([[1, 3, 3], [0, 1, 2]])
    gradients = hold_layer(Embedding(5, 2), tokens, [uniform(5, 2)], Given(), tokens=True)
    assert (gradients.weights[0][:, 4] == 0.0).all()
    assert (gradients.inputs == 0.0).all()


def test_only_the_first_output_is_read_by_the_layer_above():
    lower = Bidirectional(LSTM(2, return_sequences=True), merge_mode=None)
    model = Model((lower, LSTM(2), Dense(1)))
    x = uniform(BATCH, STEPS, FEATURES)
    weights = [
        0.8 * uniform(*shape, seed=n)
        for n, shape in enumerate(shape for own in model.weight_shapes(x.shape) for shape in own.values())
    ]
    run = differentiate_model(model, [x], weights)
    d_outputs = random_like(run.outputs)
    gradients = run.pullback(d_outputs)
    hold(gradients.weights, [differences(lambda: model.run([x], weights)[0], d_outputs, weight) for weight in weights])
    assert all((gradient == 0.0).all() for gradient in gradients.weights[3:6])


def test_what_is_differentiated_is_what_is_run():
    layer = Bidirectional(LSTM(2, return_sequences=True, return_state=True), "mul")
    x, weights, states = problem(layer)
    given = Given(states, MASK)
    run, differentiated = layer.run(x, weights, given), differentiate(layer, x, weights, given)[0]
    own = [*differentiated.outputs, *differentiated.states, differentiated.mask]
    for one, other in zip([*run.outputs, *run.states, run.mask], own):
        np.testing.assert_array_equal(one, other)


def test_rows_do_not_mix():
    layer = LSTM(2, return_sequences=True)
    x, weights, states = problem(layer)
    d_outputs = (uniform(BATCH, STEPS, 2),)
    whole = backward(layer, x, weights, Given(states), d_outputs)
    for row in range(BATCH):
        own = slice(row, row + 1)
        alone = backward(layer, x[own], weights, Given(tuple(s[own] for s in states)), (d_outputs[0][own],))
        for one, other in zip((whole.inputs, *whole.weights, *whole.states), (alone[0], *alone[1], *alone[2])):
            hold([one[own]], [other])


def test_copies_spread_by_the_roundoff_and_stay_apart():
    """The first copy is exact; the others are off by some u, in every gradient."""
    copies, u = 30, FORMATS["float32"].unit_roundoff
    layer = RNN(StackedRNNCells((LSTMCell(3), LSTMCell(2))), return_sequences=True)
    x, weights, states = problem(layer)
    d_outputs = uniform(BATCH, STEPS, 2)

    def tile(array):
        return np.concatenate([array] * (copies + 1))

    given = Given(tuple(map(tile, states)), tile(MASK), MonteCarlo(u, copies, seed=1))
    rounded = backward(layer, tile(x), weights, given, (tile(d_outputs),))
    precise = backward(layer, x, weights, Given(states, MASK), (d_outputs,))
    pairs = zip((rounded.inputs, *rounded.weights, *rounded.states), (precise[0], *precise[1], *precise[2]))
    for copied, alone in pairs:
        runs = copied.reshape(copies + 1, *alone.shape)
        hold([runs[0]], [alone])
        spread = np.abs(runs[1:] - alone).max() / np.abs(alone).max()
        assert u / 10 < spread < 30 * u


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "layer",
    [
        LSTM(8, return_sequences=True),
        LSTM(8, "relu", "hard_sigmoid"),
        Bidirectional(LSTM(4, return_sequences=True), "mul"),
        RNN(StackedRNNCells((LSTMCell(4, "softsign"), LSTMCell(4, "gelu"))), return_state=True),
    ],
    ids=["lstm", "relu", "bidirectional", "cells"],
)
def test_honest_float32_conforms(layer, seed):
    x, weights, _ = problem(layer, seed, steps=20)
    d_outputs = random_like(layer.run(x, weights, Given()).outputs, seed)

    def gradients(tile, fl):
        own = backward(layer, tile(x), weights, Given(fl=fl), tuple(map(tile, d_outputs)))
        return [own.inputs, *own.weights]

    computed = gradients(lambda array: array, Float32())
    for expected, actual in zip(estimate(gradients, "float32", seed), computed):
        error = np.abs(actual - expected.value)
        assert (error <= expected.tolerance).all()
        assert error.max() > expected.tolerance.max() / 1000


def test_no_weights_gradient_of_a_step_that_is_masked_though_it_holds_nan():
    layer = LSTM(2, return_sequences=True)
    x, weights, states = problem(layer)
    holed = np.where(MASK[..., np.newaxis], x, np.nan)
    d_outputs = (uniform(BATCH, STEPS, 2),)
    whole, other = (backward(layer, own, weights, Given(states, MASK), d_outputs) for own in (x, holed))
    for one, two in zip((whole.inputs, *whole.weights, *whole.states), (other[0], *other[1], *other[2])):
        np.testing.assert_array_equal(one, two)


def test_what_is_not_known_is_said():
    with pytest.raises(ValueError, match="derivative"):
        derivatives.get(np.tanh)
    with pytest.raises(ValueError, match="unknown activation"):
        derivatives.get("nonesuch")
    with pytest.raises(TypeError, match="derivative of object"):
        differentiate(object(), uniform(1), [], Given())
