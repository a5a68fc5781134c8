"""Two ways of asking Keras for the same numbers, which must agree: a judge that needs no reference.

Of the reference they have nothing but the tolerance of the case that is asked one way.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from arguments import takes

from conformance.case import Case
from conformance.compare import compare
from conformance.data import Data, draw
from conformance.expected import expected_outputs
from conformance.relations import BATCH, FEATURES, OPTIONS, STEPS, UNITS, Question, Relation, having, instead, masked
from conformance.subject import Subject
from conformance.subject.adapter import reset_states, set_weights
from conformance.subject.build import apply
from conformance.subject.modes import jit_argument
from reference_impl import LSTM, Bidirectional, Masking, StackedRNNCells, TimeDistributed, exact
from reference_impl.weights import split_gates
from reference_impl.wrappers import MERGE_MODES


@dataclass(frozen=True)
class Asking:
    """Keras, asked about a case of one layer and its data."""

    subject: Subject
    case: Case
    data: Data

    @property
    def question(self):
        """What the case asks."""
        (layer,), (inputs,) = self.case.model.layers, self.data.calls
        return Question(layer, self.data.weights, inputs.x[0], inputs.masks[0], inputs.states)

    def build(self, question, **further):
        """The layer in Keras, with arguments that the reference does not know."""
        layer = having_further(self.subject, question.layer, self.case.dtype, **further)
        layer.build(question.x.shape)
        layer.set_weights(question.weights)
        return layer

    def __call__(self, question, layer=None, **given):
        """The arrays that the layer returns; ``layer`` is one built before, ``given`` takes the place of tensors."""
        return [self.subject.to_numpy(output) for output in self.outputs(question, layer, **given)]

    def outputs(self, question, layer=None, **given):
        """The tensors that the layer returns."""
        tensors = {name: self.subject.tensors(getattr(question, name)) for name in ("x", "mask", "states")}
        return apply(question.layer, layer or self.build(question), **{**tensors, **given})

    def in_a_model(self):
        """The arrays that a functional model returns, run in the mode of the case."""
        case = replace(self.case, api="functional")
        built = self.subject.build(case)
        set_weights(built.layers, self.data.weights)
        return self.subject.run(built, case, self.data)


def having_further(subject, layer, dtype, **further):
    """A layer in Keras with arguments that the reference does not know; a Bidirectional has them in its layer."""
    for name in further:
        if not takes(subject, "LSTM", name):
            pytest.skip(f"the LSTM of this Keras has no argument {name}")
    if further and isinstance(layer, Bidirectional):
        inner = having_further(subject, layer.layer, dtype, **further)
        return subject.keras.layers.Bidirectional(inner, merge_mode=layer.merge_mode)
    return subject.layer(layer, dtype, **further)


UNMASKED = ("plain", "no_bias", "relu", "float64", "states")
MASKED = ("masked", "masked_backwards", "masked_states")
RETURNS = ("plain", "last", "last_and_states", "sequences")

RELATIONS = []


def relation(*options, one=lambda case: case, exact=False, name=""):
    """Enter a function into the table as the other way; its docstring says what must hold."""

    def enter(other):
        RELATIONS.append(Relation(name or other.__name__, other.__doc__, options, one, other, exact))
        return other

    return enter


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


def pieces(question):
    """Two pieces of the sequence, in the order of reading."""
    both = question.at(np.s_[:, :2]), question.at(np.s_[:, 2:])
    return both[::-1] if question.layer.go_backwards else both


@relation("plain", "relu", "backwards", "states", *MASKED, one=having(zero_output_for_mask=True))
def split(ask, question):
    """A sequence in two pieces, the second read from the states that the first ended in, is the whole."""
    layer = ask.build(question)
    first, second = pieces(question)
    outputs, *states = ask(first, layer)
    further, *states = ask(replace(second, states=states), layer)
    return [np.concatenate([outputs, further], axis=1), *states]


@relation("plain", "backwards", "masked", one=having(zero_output_for_mask=True))
def stateful(ask, question):
    """A sequence in two calls of a stateful layer is the whole."""
    first, second = pieces(question.having(stateful=True))
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


def right_padded(case):
    return masked("right_padding")(having(return_sequences=False)(case))


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


def one_cell(lstm):
    return lstm.rnn


def two_cells(lstm):
    cell = lstm.rnn.cell
    return replace(lstm.rnn, cell=StackedRNNCells((replace(cell, units=UNITS + 1), cell)))


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


# Steps first


def steps_first(question):
    """The question with the axis of time before that of rows; there are more steps than rows."""
    mask = None if question.mask is None else question.mask.T
    return replace(question, x=question.x.swapaxes(0, 1), mask=mask)


def rows_first(outputs):
    """What a layer returned that takes the steps first, with the rows first."""
    output, *states = outputs
    return [output.swapaxes(0, 1) if output.ndim == 3 else output, *states]


@relation("plain", "last", "relu", "backwards", "states", *MASKED, "masked_last", "masked_unrolled")
def time_major(ask, question):
    """Given with the steps first, a sequence gives what it gives with the rows first."""
    question = steps_first(question)
    return rows_first(ask(question, ask.build(question, time_major=True)))


relation("plain", "last", "backwards", "masked_states", one=instead(one_cell), name="time_major_rnn")(time_major)
relation("plain", "last", "masked", one=instead(two_cells), name="time_major_stack")(time_major)
relation("plain", "last", "masked_states", one=instead(Bidirectional), name="time_major_bidirectional")(time_major)


@relation("plain", "last", "relu", "masked", one=partial(replace, mode="compiled"))
def time_major_compiled(ask, question):
    """Compiled by XLA, which must know their number, a layer that takes the steps first takes all of them."""
    question = steps_first(question)
    layer, tensorflow = ask.build(question, time_major=True), ask.subject.tensorflow

    @tensorflow.function(**{jit_argument(tensorflow): True})
    def compiled(x, **given):
        return layer(x, **given)

    return rows_first(ask(question, compiled))


@relation("plain", "backwards", "masked", one=having(zero_output_for_mask=True))
def time_major_stateful(ask, question):
    """Taking the steps first, a stateful layer carries the states of its rows over, and a reset forgets them."""
    first, second = (steps_first(piece) for piece in pieces(question.having(stateful=True)))
    layer = ask.build(first, time_major=True)
    ask(second, layer)
    reset_states([layer])
    (outputs, *_), (further, *states) = ask(first, layer), ask(second, layer)
    return rows_first([np.concatenate([outputs, further]), *states])


# Rows of their own lengths


def padded_with_zeros(case):
    return masked("right_padding")(having(zero_output_for_mask=True)(case))


def made_into(make, case_of):
    """A change of a case, and then of its layer."""
    return lambda case: instead(make)(case_of(case))


def given_ragged(ask, question):
    """The tensors that a layer returns for a ragged input, in which a row has the steps that the mask counts."""
    if ask.subject.generation >= 3 or ask.subject.tensorflow is None:
        pytest.skip("this Keras takes no ragged tensors")
    x = ask.subject.tensorflow.RaggedTensor.from_tensor(question.x, lengths=question.mask.sum(axis=1))
    return ask.outputs(replace(question, mask=None), x=x)


def ragged(ask, question):
    """Rows of their own lengths give what padded ones do."""
    return [ask.subject.to_numpy(output) for output in given_ragged(ask, question)]


def ragged_sequences(ask, question):
    """Rows of their own lengths give as many outputs each, which are those of padded ones without the padding."""
    output, *states = given_ragged(ask, question)
    rows = [ask.subject.to_numpy(output[row]) for row in range(BATCH)]
    assert [len(row) for row in rows] == list(question.mask.sum(axis=1))
    return [at_the_end_read_last(question, rows), *map(ask.subject.to_numpy, states)]


def at_the_end_read_last(question, rows):
    """Rows with zeros for padding, which a layer that goes backwards reads first."""
    backwards = getattr(question.layer, "layer", question.layer).go_backwards
    array = np.zeros((BATCH, STEPS, rows[0].shape[-1]), rows[0].dtype)
    for padded, row in zip(array, rows):
        padded[np.s_[STEPS - len(row) :] if backwards else np.s_[: len(row)]] = row
    return array


LAYERS = {"": lambda lstm: lstm, "_rnn": one_cell, "_stack": two_cells, "_bidirectional": Bidirectional}

for kind, make in LAYERS.items():
    # A half of a Bidirectional goes backwards in any case.
    options = ("plain", "relu", "states", *([] if make is Bidirectional else ["backwards"]))
    relation(*options, "last", one=made_into(make, right_padded), name=f"ragged{kind}")(ragged)
    relation(*options, one=made_into(make, padded_with_zeros), name=f"ragged_sequences{kind}")(ragged_sequences)


def asked_two_ways():
    for each in RELATIONS:
        for options in each.options:
            yield pytest.param(each, OPTIONS[options], id=f"{each.name}-{options}")


@pytest.mark.parametrize(("relation", "case"), list(asked_two_ways()))
def test_relation(subject, request, relation, case):
    case = replace(relation.one(case), id=request.node.name)
    if subject.unsupported(case):
        pytest.skip(subject.unsupported(case))
    ask = Asking(subject, case, draw(case))
    # First the way that this Keras may not have.
    other, one = relation.other(ask, ask.question), ask(ask.question)
    assert [(a.shape, a.dtype) for a in one] == [(b.shape, b.dtype) for b in other]
    for (name, estimate), a, b in zip(expected_outputs(subject.promised(case), ask.data).items(), one, other):
        comparison = compare(name, replace(estimate, value=b), a)
        worst = comparison.worst
        assert np.array_equal(a, b) if relation.exact else comparison.agrees, (
            f"not so: {relation.sentence} {name} at {worst} is {a[worst]} one way and {b[worst]} the other, "
            f"ratio {comparison.ratio:.3g}"
        )


@pytest.mark.parametrize("returns", ["sequences", "last"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=["LSTM", "RNN", "StackedRNNCells", "Bidirectional"])
def test_shape_with_the_steps_first(subject, make, returns):
    """``compute_output_shape`` of a layer that takes the steps first answers with the steps first, if with any."""
    description = make(OPTIONS[returns].model.layers[0])
    layer = having_further(subject, description, "float32", time_major=True)
    rows, *steps, width = description.output_shapes((BATCH, STEPS, FEATURES))["output"]
    assert tuple(layer.compute_output_shape((STEPS, BATCH, FEATURES))) == (*steps, rows, width)
