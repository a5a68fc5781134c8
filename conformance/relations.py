"""Relations: two ways of asking Keras for the same numbers, which must agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, List, Optional, Sequence, Tuple

from conformance.case import Case
from reference_impl import LSTM, Layer, Model
from reference_impl.types import Array

Change = Callable[[Case], Case]


@dataclass(frozen=True)
class Question:
    """A layer, its weights, and what it is called with."""

    layer: Layer
    weights: Sequence[Array]
    x: Array
    mask: Optional[Array]
    states: Sequence[Array]

    def having(self, **arguments: Any) -> Question:
        """The question to a layer with other arguments."""
        return replace(self, layer=replace(self.layer, **arguments))  # type: ignore[type-var]

    def at(self, index: Any) -> Question:
        """The question about a part of the batch and time, or about another order of them."""
        rows = index[0] if isinstance(index, tuple) else index
        mask = None if self.mask is None else self.mask[index]
        return replace(self, x=self.x[index], mask=mask, states=[state[rows] for state in self.states])

    def pieces(self) -> Tuple[Question, Question]:
        """The question about each of two pieces of the sequence, in the order of reading."""
        first, second = self.at((slice(None), slice(2))), self.at((slice(None), slice(2, None)))
        backwards = getattr(self.layer, "go_backwards", False)
        return (second, first) if backwards else (first, second)

    def halves(self) -> Tuple[Question, Question]:
        """The question with the first halves of weights and states, and with the second."""
        weights, states = len(self.weights) // 2, len(self.states) // 2
        first = replace(self, weights=self.weights[:weights], states=self.states[:states])
        return first, replace(self, weights=self.weights[weights:], states=self.states[states:])


@dataclass(frozen=True)
class Relation:
    """Two ways of asking, and a sentence that says they must agree.

    ``one`` makes the case of a set of options what is asked one way: a layer, called once. ``other`` asks the other
    way, given what answers questions and the question of the case. Where the relation is ``exact`` the same operations
    meet the same numbers, and not a bit may differ.
    """

    name: str
    sentence: str
    options: Sequence[str]
    one: Change
    other: Callable[[Any, Question], List[Array]]
    exact: bool


def instead(make: Callable[[Any], Layer]) -> Change:
    """A change of a case that puts another layer in the place of its own."""
    return lambda case: replace(case, model=Model((make(case.model.layers[0]),)))


def having(**arguments: Any) -> Change:
    """A change of a case that gives its layer other arguments."""
    return instead(lambda layer: replace(layer, **arguments))


def masked(pattern: str) -> Change:
    """A change of a case that masks it."""
    return lambda case: replace(case, mask=pattern, mask_dtype="bool")


def right_padded(case: Case) -> Case:
    """The case of what a layer returns last, masked."""
    return masked("right_padding")(having(return_sequences=False)(case))


BATCH, STEPS, FEATURES, UNITS = 3, 4, 4, 3

_PLAIN = Case("", Model((LSTM(UNITS, return_sequences=True, return_state=True),)), BATCH, STEPS, FEATURES, api="layer")
_MASKED = masked("gaps")(_PLAIN)

#: Sets of options that relations are tried with: cases that lack their id.
OPTIONS = {
    "plain": _PLAIN,
    "no_bias": having(use_bias=False)(_PLAIN),
    "relu": having(activation="relu", recurrent_activation="hard_sigmoid")(_PLAIN),
    "float64": replace(_PLAIN, dtype="float64"),
    "backwards": having(go_backwards=True)(_PLAIN),
    "states": replace(_PLAIN, initial_state=True),
    "last": having(return_sequences=False, return_state=False)(_PLAIN),
    "last_and_states": having(return_sequences=False)(_PLAIN),
    "sequences": having(return_state=False)(_PLAIN),
    "masked": _MASKED,
    "masked_backwards": having(go_backwards=True)(_MASKED),
    "masked_states": replace(_MASKED, initial_state=True),
    "masked_last": having(return_sequences=False, return_state=False)(_MASKED),
    "masked_sequences": having(return_state=False)(_MASKED),
    "masked_unrolled": having(unroll=True)(_MASKED),
}

#: Sets of options that have a mask and do not go without saying.
MASKED = ("masked", "masked_backwards", "masked_states")
