"""Two ways of asking Keras for the same numbers, which must agree: a judge that needs no reference.

One way is a case: a layer called once. The other asks otherwise. The reference lends the case's tolerance, no values.
"""

from dataclasses import dataclass, replace
from typing import Any, Callable, Sequence

import numpy as np
import pytest
from by_hand import tensor

from conformance.case import Case
from conformance.compare import compare
from conformance.data import Data, draw
from conformance.expected import expected_outputs
from conformance.subject import Subject
from conformance.subject.adapter import set_weights
from conformance.subject.build import apply, flat
from reference_impl import LSTM, RNN, Bidirectional, Layer, LSTMCell, Masking, Model, StackedRNNCells, TimeDistributed
from reference_impl.rounding import exact
from reference_impl.types import Array
from reference_impl.weights import split_gates
from reference_impl.wrappers import MERGE_MODES

UNITS = 3


@dataclass(frozen=True)
class Question:
    """A layer, its weights, and what it is called with."""

    layer: Layer
    weights: Sequence[Array]
    x: Array
    mask: Any
    states: Sequence[Array]

    def having(self, **arguments):
        """The same question to a layer with other arguments."""
        return replace(self, layer=replace(self.layer, **arguments))

    def during(self, steps):
        """The same question about some of the time steps."""
        return replace(self, x=self.x[:, steps], mask=None if self.mask is None else self.mask[:, steps])

    def of(self, rows):
        """The same question about some rows of the batch, or the same in another order."""
        mask = None if self.mask is None else self.mask[rows]
        return replace(self, x=self.x[rows], mask=mask, states=[state[rows] for state in self.states])


@dataclass(frozen=True)
class Asking:
    """Keras, asked about a case."""

    subject: Subject
    case: Case
    data: Data

    @property
    def question(self):
        (inputs,) = self.data.calls
        return Question(
            self.case.model.layers[0], self.data.weights, inputs.x[0], inputs.masks[0], self.data.initial_state
        )

    def build(self, question):
        """The Keras layer of a question."""
        layer = self.subject.layer(question.layer, self.case.dtype)
        layer.build(question.x.shape)
        layer.set_weights(question.weights)
        return layer

    def __call__(self, question, layer=None, given=tensor):
        """What a layer returns, in a row; ``given`` makes what it is called with of an array."""
        x, mask, states = (given(self.subject, value) for value in (question.x, question.mask, list(question.states)))
        return self.arrays(apply(question.layer, layer or self.build(question), x, mask, states))

    def arrays(self, tensors):
        return [self.subject.to_numpy(one) for one in tensors]

    def in_mode(self, mode):
        """What a functional model returns that is run in a mode."""
        case = replace(self.case, api="functional", mode=mode)
        built = self.subject.build(case)
        set_weights(built.layers, self.data.weights)
        return self.subject.run(built, case, self.data)
