"""What is wrong: the faults whose numbers the subject returned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from conformance.case import SEQUENCES, Case, layers_within
from conformance.compare import largest_ratio
from conformance.data import Data, Inputs
from conformance.expected import expected_outputs, returned
from conformance.faults import ARITHMETIC, CAUSAL, FAULTS, GATE_ORDERS, applied
from conformance.faults.gradients import GRADIENT_FAULTS
from conformance.faults.second_order import SECOND_ORDER_FAULTS
from conformance.faults.training import TRAINING_FAULTS
from reference_impl import LSTM, Bidirectional, Estimate, Layer, LSTMCell, Model, TimeDistributed
from reference_impl.rounding import FORMATS
from reference_impl.types import Array

#: How far from a fault's exact numbers, in tolerances, an observation may lie to be looked at closer.
NEAR = 1000.0

#: Of sequences of more steps than this the first step is looked at before all of them for single faults too.
LONG = 100

#: How many of the nearest are looked at closer; in half precision many lie near.
MOST = 8

#: Pairs of faults are tried as long as they take no more steps of cells than this, which is less than half a second.
#: What else a call does with a cell takes as long as a step; that is saved where the first step tells beforehand.
STEPS_FOR_PAIRS = 5_500

#: How many times closer to a fault's numbers than to the right ones an observation is that has the fault. In half
#: precision, where a fault may make a difference of two tolerances, mere rounding would be named else.
CLOSER = 3.0

#: How many explanations are put into words; more say no more.
SHOWN = 3

Names = Tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """The faults, or pairs of faults, that each explain all that a case returned; none where nothing does.

    Several are as good as each other: the case cannot tell them apart. ``tried`` is how many there were.
    """

    explanations: Tuple[Names, ...]
    tried: int

    @property
    def sentence(self) -> str:
        """The diagnosis in words."""
        if not self.tried:
            return "not to be told: all that was returned is zero or not finite"
        if not self.explanations:
            return f"none of the {self.tried} wrong LSTMs that were tried returns these numbers"
        more = len(self.explanations) - SHOWN
        shown = "; or ".join(map(in_words, self.explanations[:SHOWN]))
        return shown + (f"; or {more} more that this case cannot tell apart" if more > 0 else "")


def in_words(names: Sequence[str]) -> str:
    """What faults do, in their sentences, and what they are called; a name of another version is left as it is."""
    catalogues: Sequence[Mapping[str, Any]] = (FAULTS, GRADIENT_FAULTS, SECOND_ORDER_FAULTS, TRAINING_FAULTS)
    known = {name: fault.sentence for faults in catalogues for name, fault in faults.items()}
    sentences = [known[name] for name in names if name in known]
    return f"{' and '.join(sentences)} ({' and '.join(names)})".lstrip()


def diagnose(case: Case, data: Data, outputs: Sequence[Array], right: Sequence[Estimate]) -> Diagnosis:
    """Find the faults that return ``outputs``, what the subject returned for the data of a case that it got wrong.

    ``right`` is what the reference returns. A name is given only where all numbers agree to the tolerance of the faulty
    LSTM itself. Pairs are tried where no single fault explains the outputs and the case is small.
    """
    with np.errstate(all="ignore"):  # a wrong LSTM may well overflow
        return _diagnosed(Search(case, data, outputs, right))


def _diagnosed(search: Search) -> Diagnosis:
    if not any((np.isfinite(output) & (output != 0)).any() for output in search.outputs):
        return Diagnosis((), 0)
    names = [name for name, fault in FAULTS.items() if fault.where(search.case)]
    tried = [name for name in names if search.case.steps <= LONG or search.begins_as((name,))]
    single: Dict[Names, List[Array]] = {(name,): search.numbers((name,)) for name in tried}
    told = {names: numbers for names, numbers in single.items() if largest_ratio(search.right, numbers) > 1.0}
    explanations = search.explanations(told)
    if explanations:
        return Diagnosis(explanations, len(names))
    pairs = search.pairs([name for (name,) in told])
    near = {names: search.numbers(names) for names in pairs if search.begins_as(names)}
    return Diagnosis(search.explanations(near), len(names) + len(pairs))


@dataclass(frozen=True)
class Search:
    """The numbers that a subject returned for a case and the right ones, for those of faults to be held to."""

    case: Case
    data: Data
    outputs: Sequence[Array]
    right: Sequence[Estimate]
    known: Dict[str, Tuple[Case, Data]] = field(default_factory=dict)

    @cached_property
    def beginning(self) -> Optional[Search]:
        """The first step of a sequence that does not depend on later ones; of two directions the forward one."""
        *below, top = self.case.model.layers
        weights = self.data.weights
        if type(self.case.model) is not Model or self.outputs[0].shape != self.right[0].value.shape:
            return None
        if isinstance(top, Bidirectional) and top.merge_mode in ("concat", None):
            weights = weights[: -len(top.weight_shapes(1)) // 2]
            top, _ = top.halves
        forwards = all(isinstance(layer, LSTM) and not layer.go_backwards for layer in (*below, top))
        if not (forwards and isinstance(top, LSTM) and top.return_sequences and self.case.steps > 1):
            return None
        model = replace(self.case.model, layers=(*below, replace(top, return_state=False)))
        case, (inputs, *_) = replace(self.case, model=model, steps=1), self.data.calls
        masks = [None if mask is None else mask[:, :1] for mask in inputs.masks]
        states = tuple(inputs.states)[: len(top.state_shapes((1, 1, 1)))]
        data = Data((Inputs([x[:, :1] for x in inputs.x], masks, states),), weights)
        shown = np.s_[:, :1, : top.units]
        right = [Estimate(self.right[0].value[shown], self.right[0].tolerance[shown])]
        return Search(case, data, [self.outputs[0][shown]], right)

    @property
    def like(self) -> List[Estimate]:
        """What was returned, where it has the right shapes, for faults that do something by chance."""
        if [own.shape for own in self.outputs] != [one.value.shape for one in self.right]:
            return []
        return [Estimate(own.astype(np.float64), one.tolerance) for own, one in zip(self.outputs, self.right)]

    def begins_as(self, names: Names) -> bool:
        """Whether the subject may have these faults as far as the first step tells."""
        beginning = self.beginning if CAUSAL.issuperset(names) else None
        return beginning is None or beginning._distance(beginning.numbers(names)) <= NEAR

    def pairs(self, names: Sequence[str]) -> List[Names]:
        """Pairs of these faults that leave nothing to chance; two orders of gates are a third one.

        Arithmetic of too few bits is told alone: next to another fault it is that fault which is to be repaired first.
        """
        certain = [name for name in names if not FAULTS[name].found and name not in ARITHMETIC]
        pairs: List[Names] = [pair for pair in combinations(certain, 2) if not GATE_ORDERS.keys() >= set(pair)]
        steps = sum(call.steps + (not self.beginning) for call in self.case.calls)
        cells = sum(map(_cells, self.case.model.layers)) * self.case.model.inputs
        return pairs if len(pairs) * steps * cells <= STEPS_FOR_PAIRS else []

    def numbers(self, names: Names) -> List[Array]:
        """What the reference with these faults returns, exactly."""
        return returned(*self._having(names))

    def _having(self, names: Names) -> Tuple[Case, Data]:
        """The case and its data as a subject with these faults evaluates them; a fault is the first of many pairs."""
        first, *others = names
        if first not in self.known:
            self.known[first] = applied([first], self.case, self.data, self.like)
        return applied(others, *self.known[first])

    def explanations(self, candidates: Mapping[Names, Sequence[Array]]) -> Tuple[Names, ...]:
        """Of faults and their numbers, the closest that return those of the subject."""
        limit = min(1.0, largest_ratio(self.right, self.outputs) / CLOSER)
        distances = {names: self._distance(numbers) for names, numbers in candidates.items()}
        near = sorted((names for names in distances if distances[names] <= NEAR), key=distances.__getitem__)
        return tuple(names for names in near[:MOST] if self._ratio_to(names) <= limit)

    def _ratio_to(self, names: Names) -> float:
        """How far the subject is from faults, in the tolerances of their own numbers."""
        return largest_ratio(list(expected_outputs(*self._having(names)).values()), self.outputs)

    def _distance(self, numbers: Sequence[Array]) -> float:
        """About how many tolerances exact numbers are from those of the subject."""
        if [one.shape for one in numbers] != [one.shape for one in self.outputs]:
            return np.inf
        unit_roundoff = FORMATS[self.case.compute_dtype].unit_roundoff
        distance = 0.0
        for tolerance, own, actual in zip(self._tolerances, numbers, self.outputs):
            error = _largest(actual - own)
            if error:
                distance = max(distance, error / max(tolerance, unit_roundoff * _largest(own)))
            if distance > NEAR:
                break
        return distance

    @cached_property
    def _tolerances(self) -> List[float]:
        return [_largest(one.tolerance) for one in self.right]


def _cells(layer: Layer) -> int:
    """How many cells take a step at each time step of a layer."""
    cells = sum(isinstance(inner, (LSTM, LSTMCell)) for inner in layers_within(layer))
    if isinstance(layer, Bidirectional) and not layer.backward_layer:
        cells *= 2
    return cells * (SEQUENCES if isinstance(layer, TimeDistributed) else 1)


def _largest(numbers: Array) -> float:
    """The largest finite magnitude; what is infinite or NaN is for the comparison itself."""
    finite = np.abs(numbers[np.isfinite(numbers)])
    return float(finite.max()) if finite.size else 0.0
