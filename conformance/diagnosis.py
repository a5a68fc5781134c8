"""What is wrong: the faults whose numbers the subject returned."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import List, Sequence, Tuple

import numpy as np

from conformance.case import Case
from conformance.compare import compare
from conformance.data import Data
from conformance.expected import expected_outputs, returned
from conformance.faults import FAULTS, GATE_ORDERS, applied
from reference_impl import Estimate
from reference_impl.types import Array

#: How far from a fault's exact numbers, in tolerances of the right ones, an observation may lie to be looked at closer.
NEAR = 1000.0

#: Pairs of faults are tried as long as they take no more steps of a cell than this, some half a second.
STEPS_FOR_PAIRS = 10_000

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
        if not self.explanations:
            return f"none of the {self.tried} wrong LSTMs that were tried returns these numbers"
        return "; or ".join(map(in_words, self.explanations))


def in_words(names: Sequence[str]) -> str:
    """What faults do, in their sentences, and what they are called."""
    return f"{' and '.join(FAULTS[name].sentence for name in names)} ({' and '.join(names)})"


def diagnose(case: Case, data: Data, outputs: Sequence[Array]) -> Diagnosis:
    """Find the faults that return ``outputs``, what the subject returned for the data of a case that it got wrong.

    A name is given only where all numbers agree to the tolerance of the faulty LSTM itself. Pairs are tried where no
    single fault explains the outputs and the case is small.
    """
    with np.errstate(all="ignore"):  # a wrong LSTM may well overflow
        return _diagnosed(case, data, outputs)


def _diagnosed(case: Case, data: Data, outputs: Sequence[Array]) -> Diagnosis:
    right = list(expected_outputs(case, data).values())
    told: List[str] = []
    single: List[Names] = []
    for name in FAULTS:
        numbers = returned(*applied([name], case, data))
        if not _alike(numbers, [one.value for one in right]):
            told.append(name)
            if _near(numbers, outputs, right) and _equals((name,), case, data, outputs):
                single.append((name,))
    if single:
        return Diagnosis(tuple(single), len(FAULTS))
    pairs = _pairs(told, case)
    near = [names for names in pairs if _near(returned(*applied(names, case, data)), outputs, right)]
    return Diagnosis(tuple(names for names in near if _equals(names, case, data, outputs)), len(FAULTS) + len(pairs))


def _pairs(names: Sequence[str], case: Case) -> List[Names]:
    """Pairs of faults that make a difference; two orders of gates are a third one."""
    pairs: List[Names] = [pair for pair in combinations(names, 2) if not GATE_ORDERS.keys() >= set(pair)]
    steps = sum(call.steps for call in case.calls) * len(case.model.layers)
    return pairs if len(pairs) * steps <= STEPS_FOR_PAIRS else []


def _near(numbers: Sequence[Array], outputs: Sequence[Array], right: Sequence[Estimate]) -> bool:
    """Whether a fault's exact numbers may be those of the outputs, so that a closer look is worth its time."""
    if [one.shape for one in numbers] != [one.shape for one in outputs]:
        return False
    errors = [np.abs(actual - own) for own, actual in zip(numbers, outputs)]
    return all(_largest(error) <= NEAR * one.tolerance.max() for error, one in zip(errors, right))


def _largest(errors: Array) -> float:
    """The largest finite number; what is infinite or NaN is for the comparison itself."""
    finite = errors[np.isfinite(errors)]
    return float(finite.max()) if finite.size else 0.0


def _equals(names: Names, case: Case, data: Data, outputs: Sequence[Array]) -> bool:
    faulty = expected_outputs(*applied(names, case, data))
    if not all(np.isfinite(one.tolerance).all() for one in faulty.values()):
        return False
    return all(compare(name, one, actual).agrees for (name, one), actual in zip(faulty.items(), outputs))


def _alike(one: Sequence[Array], other: Sequence[Array]) -> bool:
    return [array.shape for array in one] == [array.shape for array in other] and all(
        np.array_equal(np.nan_to_num(a), np.nan_to_num(b)) for a, b in zip(one, other)
    )
