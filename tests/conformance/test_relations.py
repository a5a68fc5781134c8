"""Two ways of asking Keras for the same numbers, which must agree: a judge that needs no reference.

Of the reference they have nothing but the tolerance of the case that is asked one way.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from asking import each_of, entering, hold_both_ways, one_cell, two_cells

from conformance.relations import BATCH, MASKED, STEPS, UNITS, having, instead, masked, right_padded
from reference_impl import LSTM, Bidirectional, Masking, TimeDistributed, exact
from reference_impl.weights import split_gates
from reference_impl.wrappers import MERGE_MODES

UNMASKED = ("plain", "no_bias", "relu", "float64", "states")
RETURNS = ("plain", "last", "last_and_states", "sequences")

RELATIONS = []
relation = entering(RELATIONS)


# Arguments


@relation("plain", "relu", "backwards", "states", *MASKED, one=having(unroll=True))
def unroll(ask, question):
    """Unrolled, a layer computes what it computes in a loop."""
    return ask(question.having(unroll=False))


@relation(*MASKED, one=having(unroll=True, zero_output_for_mask=True))
def unroll_zeroed(ask, question):
    """Unrolled, a layer zeroes the outputs that it zeroes in a loop."""
    return ask(question.having(unroll=False))


@relation("plain", "no_bias", "relu", "float64", "masked", one=having(implementation=1))
def implementation(ask, question):
    """Implementation 1 computes what implementation 2 does."""
    return ask(question.having(implementation=2))


@relation("plain", "masked", one=having(dropout=0.5, recurrent_dropout=0.25))
def dropout(ask, question):
    """Outside of training nothing is dropped."""
    return ask(question.having(dropout=0.0, recurrent_dropout=0.0))


@relation("plain", "relu", "states", "masked", "masked_states", one=having(go_backwards=True))
def go_backwards(ask, question):
    """To read backwards is to read the flipped input."""
    return ask(question.at(np.s_[:, ::-1]).having(go_backwards=False))


@relation("plain", "states", *MASKED, one=having(return_sequences=False))
def return_sequences(ask, question):
    """The last of all outputs is the output."""
    outputs, *states = ask(question.having(return_sequences=True))
    return [outputs[:, -1], *states]


@relation(*MASKED, one=having(zero_output_for_mask=True), exact=True)
def zero_output_for_mask(ask, question):
    """Zeroed outputs differ from repeated ones where a step is masked, and nowhere else."""
    outputs, *states = ask(question.having(zero_output_for_mask=False))
    counts = question.mask[:, ::-1] if question.layer.go_backwards else question.mask
    return [np.where(counts[..., np.newaxis], outputs, np.zeros_like(outputs)), *states]


@relation("plain", "states", "masked", "masked_states")
def use_cudnn(ask, question):
    """Without cuDNN a layer computes what it does with it."""
    return ask(question, ask.build(question, use_cudnn=False))


@relation("states", "masked_states")
def states_in_a_list(ask, question):
    """Initial states may stand behind x in a list."""
    if ask.subject.generation >= 3:
        pytest.skip("this Keras takes initial states as an argument alone")
    return ask(replace(question, states=()), x=ask.subject.tensors([question.x, *question.states]))


def returning_the_last(case):
    return having(return_sequences=False)(case)


def last_output_masked(case):
    return masked("last_step")(returning_the_last(case))


@relation("plain", "states", one=last_output_masked)
def zero_output_without_sequences(ask, question):
    """As documented, zero_output_for_mask is only used with return_sequences."""
    return ask(question.having(zero_output_for_mask=True))


# Time and states


@relation("plain", "relu", "backwards", "states", *MASKED, one=having(zero_output_for_mask=True))
def split(ask, question):
    """A sequence in two pieces, the second read from the states that the first ended in, is the whole."""
    layer = ask.build(question)
    first, second = question.pieces()
    outputs, *states = ask(first, layer)
    further, *states = ask(replace(second, states=states), layer)
    return [np.concatenate([outputs, further], axis=1), *states]


@relation("plain", "backwards", "masked", one=having(zero_output_for_mask=True))
def stateful(ask, question):
    """A sequence in two calls of a stateful layer is the whole."""
    first, second = question.having(stateful=True).pieces()
    layer = ask.build(first)
    (outputs, *_), (further, *states) = ask(first, layer), ask(second, layer)
    return [np.concatenate([outputs, further], axis=1), *states]


@relation("plain", "masked", exact=True)
def zeros_as_initial_state(ask, question):
    """Without an initial state a layer starts from zeros."""
    zeros = [np.zeros(shape, question.x.dtype) for shape in question.layer.state_shapes(question.x.shape)]
    return ask(replace(question, states=zeros))


@relation("states", "masked_states", exact=True)
def arrays_as_initial_state(ask, question):
    """An initial state of NumPy arrays is one of tensors."""
    if ask.subject.generation == 2:
        pytest.skip("Keras 2 takes tensors only, as it says in its documentation")
    return ask(question, states=question.states)


@relation("plain", "masked")
def second_call(ask, question):
    """A layer that has been called before computes what a new one does."""
    layer = ask.build(question)
    ask(replace(question, x=-question.x), layer)
    return ask(question, layer)


# Masks


@relation("plain", "relu", "states", one=masked("last_step"))
def last_step_masked(ask, question):
    """A masked last step is no step, and the output before it is repeated."""
    outputs, *states = ask(replace(question.at(np.s_[:, :-1]), mask=None))
    return [np.concatenate([outputs, outputs[:, -1:]], axis=1), *states]


@relation("plain", "relu", "states", one=masked("first_step"))
def first_step_masked(ask, question):
    """A masked first step is no step, and its output is zero."""
    outputs, *states = ask(replace(question.at(np.s_[:, 1:]), mask=None))
    return [np.concatenate([np.zeros_like(outputs[:, :1]), outputs], axis=1), *states]


def at_other_steps(question, order):
    """The question with the steps that count at other places, in the order they had, among others that do not."""
    mask, x = question.mask[:, order], -question.x
    x[mask] = question.x[question.mask]
    return replace(question, x=x, mask=mask)


@relation("plain", "relu", "backwards", "states", one=right_padded)
def left_padding(ask, question):
    """It does not matter whether a sequence is padded on the right or on the left."""
    return ask(at_other_steps(question, [3, 2, 1, 0]))


@relation("plain", "relu", "backwards", "states", one=right_padded)
def gaps(ask, question):
    """It does not matter whether a sequence is padded on the right or in between."""
    return ask(at_other_steps(question, [2, 0, 3, 1]))


@relation(*MASKED, "masked_unrolled", exact=True)
def values_under_the_mask(ask, question):
    """What a masked step holds does not matter."""
    return ask(replace(question, x=np.where(question.mask[..., np.newaxis], question.x, 10.0 - question.x)))


@relation("masked", "masked_unrolled", exact=True)
def mask_of_integers(ask, question):
    """A mask may be of integers."""
    return ask(replace(question, mask=question.mask.astype("int32")))


@relation("masked", "masked_states", "masked_unrolled", exact=True)
def mask_from_masking(ask, question):
    """A mask that comes with the input, from a Masking layer, is one that is given as an argument."""
    masking = ask.subject.layer(Masking(), ask.case.dtype)
    x = masking(ask.subject.tensors(question.x * question.mask[..., np.newaxis]))
    return ask(question, x=x, mask=None)


# Rows, features and units


@relation("plain", "float64", "states", "masked")
def rows_alone(ask, question):
    """The rows of a batch do not influence each other."""
    layer = ask.build(question)
    rows = [ask(question.at([row]), layer) for row in range(BATCH)]
    return [np.concatenate(arrays) for arrays in zip(*rows)]


@relation("plain", "states", "masked")
def rows_in_another_order(ask, question):
    """Rows in another order have their outputs in that order."""
    order = np.array([2, 0, 1])
    return [array[np.argsort(order)] for array in ask(question.at(order))]


@relation("plain", "states", "masked", exact=True)
def nan_in_another_row(ask, question):
    """NaN stays in its row."""
    poisoned = question.x.copy()
    poisoned[1] = np.nan
    beside_nan = ask(replace(question, x=poisoned))
    return [np.stack([first, row, last]) for (first, _, last), (_, row, _) in zip(beside_nan, ask(question))]


@relation("plain", "masked")
def features_in_another_order(ask, question):
    """Features, and with them the rows of the kernel, may come in any order."""
    order = [2, 0, 3, 1]
    kernel, *others = question.weights
    return ask(replace(question, x=question.x[..., order], weights=[kernel[order], *others]))


@relation("plain", "relu", "float64")
def bias_as_a_feature(ask, question):
    """The bias is the kernel's row for a feature that is always 1."""
    kernel, recurrent_kernel, bias = question.weights
    x = np.pad(question.x, [(0, 0), (0, 0), (0, 1)], mode="constant", constant_values=1.0)
    return ask(replace(question.having(use_bias=False), x=x, weights=[np.vstack([kernel, bias]), recurrent_kernel]))


@relation(*UNMASKED, "masked")
def units_in_another_order(ask, question):
    """Units in another order, in each gate and in the states, have their outputs in that order."""
    order = np.array([2, 0, 1])
    weights = [np.concatenate([gate[..., order] for gate in split_gates(weight)], -1) for weight in question.weights]
    weights[1] = weights[1][order]
    states = [state[:, order] for state in question.states]
    return [array[..., np.argsort(order)] for array in ask(replace(question, weights=weights, states=states))]


@relation("plain", "no_bias", "backwards", "states", "masked")
def units_of_the_other_sign(ask, question):
    """A unit whose candidate and states have the other sign has an output of the other sign, as tanh is odd."""
    signs, gate = np.array([1, -1, -1], question.x.dtype), np.ones(UNITS, question.x.dtype)
    weights = [weight * np.concatenate([gate, gate, signs, gate]) for weight in question.weights]
    weights[1] = weights[1] * signs[:, np.newaxis]
    states = [state * signs for state in question.states]
    return [array * signs for array in ask(replace(question, weights=weights, states=states))]


# Cells


def to_an_lstm(question):
    """The question to an RNN of an LSTMCell, to the LSTM that it is."""
    arguments = {**vars(question.layer), **vars(question.layer.cell)}
    del arguments["cell"]
    return replace(question, layer=LSTM(**arguments))


@relation(*UNMASKED, "backwards", *MASKED, "masked_unrolled", one=instead(one_cell))
def lstm(ask, question):
    """An RNN of an LSTMCell is an LSTM."""
    return ask(to_an_lstm(question))


@relation(*UNMASKED)
def cell_by_hand(ask, question):
    """An LSTMCell called for one step after another is an LSTM."""
    cell = replace(question, layer=question.layer.rnn.cell)
    layer = ask.build(cell.at(np.s_[:, 0]))
    states = question.states or [np.zeros((BATCH, UNITS), question.x.dtype)] * 2
    outputs = []
    for step in range(STEPS):
        output, *states = ask(replace(cell.at(np.s_[:, step]), states=states), layer)
        outputs.append(output)
    return [np.stack(outputs, axis=1), *states]


@relation("plain", "masked", one=instead(one_cell))
def list_of_a_cell(ask, question):
    """A list of one cell is the cell."""
    return ask(question.having(cell=(question.layer.cell,)))


@relation("plain", "masked", one=instead(two_cells))
def list_of_cells(ask, question):
    """A list of cells is a stack of them."""
    return ask(question.having(cell=question.layer.cell.cells))


@relation("plain", "no_bias", "relu", "states", "masked", "masked_states", one=instead(two_cells))
def layers_on_top_of_each_other(ask, question):
    """A stack of cells is a stack of layers."""
    below, above = (half.having(cell=cell) for half, cell in zip(question.halves(), question.layer.cell.cells))
    outputs, *states = ask(to_an_lstm(below))
    outputs, *further = ask(to_an_lstm(replace(above, x=outputs)))
    return [outputs, *states, *further]


# Wrappers and models


def halves_alone(ask, question):
    """A Bidirectional is its two halves, each alone."""
    halves = (replace(half, layer=layer) for half, layer in zip(question.halves(), question.layer.halves))
    (forward, *states), (backward, *further) = (ask(half) for half in halves)
    if question.layer.layer.return_sequences:
        backward = backward[:, ::-1]
    return [*MERGE_MODES[question.layer.merge_mode](forward, backward, exact), *states, *further]


for mode in MERGE_MODES:
    made = instead(partial(Bidirectional, merge_mode=mode))
    relation(*RETURNS, one=made, name=f"bidirectional_{mode}")(halves_alone)

relation("float64", "backwards", "states", "masked", "masked_states", one=instead(Bidirectional))(halves_alone)


@relation("sequences", "masked_sequences", one=instead(lambda lstm: Bidirectional(replace(lstm, unroll=True))))
def bidirectional_unrolled(ask, question):
    """Unrolled, a Bidirectional computes what it computes in loops."""
    return ask(question.having(layer=replace(question.layer.layer, unroll=False)))


@relation("last", "sequences", "masked_last", "masked_sequences", one=instead(TimeDistributed))
def slices_alone(ask, question):
    """A TimeDistributed computes of each slice what its layer does."""
    question = replace(question, layer=question.layer.layer)
    slices = [ask(question.at(np.s_[:, number])) for number in range(question.x.shape[1])]
    return [np.stack(arrays, axis=1) for arrays in zip(*slices)]


def model(ask, question):
    """A model computes in every mode of execution what its layer does, called by itself."""
    return ask.in_a_model()


for mode in ("call", "function", "compiled", "predict"):
    relation("states", "masked", one=partial(replace, mode=mode), name=f"model_{mode}")(model)


@each_of(RELATIONS)
def test_relation(subject, request, relation, case):
    hold_both_ways(subject, relation, replace(relation.one(case), id=request.node.name))
