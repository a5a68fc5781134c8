"""Asking Keras for the same numbers in two ways, which must agree."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from arguments import takes

from conformance.case import Case
from conformance.compare import compare
from conformance.data import Data, draw
from conformance.expected import expected_outputs
from conformance.relations import OPTIONS, UNITS, Question, Relation
from conformance.subject import Subject
from conformance.subject.build import apply
from conformance.subject.layers import set_weights
from conformance.subject.unsupported import unable_to_run
from reference_impl import Bidirectional, StackedRNNCells


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


def one_cell(lstm):
    """The RNN of a cell that an LSTM is."""
    return lstm.rnn


def two_cells(lstm):
    """An RNN of two cells of different widths."""
    cell = lstm.rnn.cell
    return replace(lstm.rnn, cell=StackedRNNCells((replace(cell, units=UNITS + 1), cell)))


def entering(table):
    """The decorator that enters a function into a table as the other way; its docstring says what must hold."""

    def relation(*options, one=lambda case: case, exact=False, name=""):
        def enter(other):
            table.append(Relation(name or other.__name__, other.__doc__, options, one, other, exact))
            return other

        return enter

    return relation


def each_of(table):
    """Parametrize a test with the relations of a table, each with all its options."""
    rows = [(relation, options) for relation in table for options in relation.options]
    cases = [pytest.param(one, OPTIONS[options], id=f"{one.name}-{options}") for one, options in rows]
    return pytest.mark.parametrize(("relation", "case"), cases)


def hold_both_ways(subject, relation, case):
    """Ask one way what the case asks, and the other way, and hold one to the other."""
    if unable_to_run(subject, case):
        pytest.skip(unable_to_run(subject, case))
    ask = Asking(subject, case, draw(case))
    # First the way that this Keras may not have.
    other, one = relation.other(ask, ask.question), ask(ask.question)
    kinds, expected = ([(array.shape, array.dtype) for array in arrays] for arrays in (one, other))
    assert kinds == expected, f"not so: {relation.sentence} {kinds} one way and {expected} the other"
    for (name, estimate), a, b in zip(expected_outputs(subject.promised(case), ask.data).items(), one, other):
        comparison = compare(name, replace(estimate, value=b), a)
        worst = comparison.worst
        assert np.array_equal(a, b) if relation.exact else comparison.agrees, (
            f"not so: {relation.sentence} {name} at {worst} is {a[worst]} one way and {b[worst]} the other, "
            f"ratio {comparison.ratio:.3g}"
        )
