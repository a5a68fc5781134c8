"""Two ways of asking, of which one is a form that Keras 3 takes no more: the steps first, and ragged input."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from asking import Asking, each_of, entering, having_further, hold_both_ways, one_cell, two_cells
from by_hand import agree

from conformance.data import draw
from conformance.gradients import cotangents, expected_gradients
from conformance.relations import BATCH, FEATURES, MASKED, OPTIONS, STEPS, having, instead, masked, right_padded
from conformance.subject.build import Built, flat
from conformance.subject.gradients import gradients
from conformance.subject.layers import reset_states
from conformance.subject.modes import jit_argument
from conformance.subject.unsupported import unable_to_differentiate
from reference_impl import Bidirectional

RELATIONS = []
relation = entering(RELATIONS)


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
    first, second = (steps_first(piece) for piece in question.having(stateful=True).pieces())
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


@each_of(RELATIONS)
def test_relation(subject, request, relation, case):
    hold_both_ways(subject, relation, replace(relation.one(case), id=request.node.name))


each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=["LSTM", "RNN", "StackedRNNCells", "Bidirectional"])


@pytest.mark.parametrize("returns", ["sequences", "last"])
@each_layer
def test_shape_with_the_steps_first(subject, make, returns):
    """``compute_output_shape`` of a layer that takes the steps first answers with the steps first, if with any."""
    description = make(OPTIONS[returns].model.layers[0])
    layer = having_further(subject, description, "float32", time_major=True)
    rows, *steps, width = description.output_shapes((BATCH, STEPS, FEATURES))["output"]
    assert tuple(layer.compute_output_shape((STEPS, BATCH, FEATURES))) == (*steps, rows, width)


@each_layer
def test_unrolled_with_the_steps_first(subject, make):
    """The first axis tells how many steps there are to unroll; the batch may be open."""
    description = make(replace(OPTIONS["sequences"].model.layers[0], unroll=True))
    layer = having_further(subject, description, "float32", time_major=True)
    outputs = layer(subject.keras.layers.Input(batch_shape=(STEPS, None, FEATURES)))
    *_, width = description.output_shapes((BATCH, STEPS, FEATURES))["output"]
    assert tuple(outputs.shape) == (STEPS, None, width)


def read_steps_first(ask, layer, given):
    x, *states = given
    transposed = partial(ask.subject.tensorflow.transpose, perm=[1, 0, 2])
    mask = None if ask.question.mask is None else ask.subject.tensors(ask.question.mask.T)
    output, *ends = flat(layer(transposed(x), mask=mask, initial_state=states or None))
    return [transposed(output) if len(output.shape) == 3 else output, *ends]


def read_ragged(ask, layer, given):
    x, *states = given
    x = ask.subject.tensorflow.RaggedTensor.from_tensor(x, lengths=ask.question.mask.sum(axis=1))
    return flat(layer(x, initial_state=states or None))


#: By form, what it makes of a case, the arguments it takes, and how a layer reads rows that are given first and padded.
FORMS = {
    "time_major": (lambda case: case, {"time_major": True}, read_steps_first),
    "ragged": (right_padded, {}, read_ragged),
}


@pytest.mark.parametrize("options", ["plain", "backwards", "relu", "masked_states"])
@pytest.mark.parametrize("form", FORMS)
def test_gradients(subject, request, form, options):
    """They are those of the case, with respect to x, initial states and weights."""
    if unable_to_differentiate(subject) or subject.generation >= 3:
        pytest.skip(unable_to_differentiate(subject) or "this Keras takes neither the steps first nor ragged tensors")
    change, further, read = FORMS[form]
    case = replace(change(OPTIONS[options]), id=request.node.name)
    ask = Asking(subject, case, draw(case))
    layer = ask.build(ask.question, **further)
    built = Built(partial(read, ask, layer), [layer], ())
    given, outer = ([*map(subject.tensors, own)] for own in ((ask.question.x, *ask.question.states), cotangents(case)))
    found = [subject.to_numpy(one) for one in gradients(subject.tensorflow, built, "call", given, outer)]
    agree(found, list(expected_gradients(subject.promised(case), ask.data).values()))
