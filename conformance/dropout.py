"""Dropout made visible: weights with which the output of an LSTM tells what was dropped, and what chance allows.

A *reader* is an LSTM without activations that reads ones. Its biases make the gates i and o and the candidate 1 and f
0, so that h = c = 1 after a step that adds nothing to them. Each of its units then adds to one gate a number below 1
whose octal digits are entries of that gate's mask, and the next h is 1 + that number, whichever gate it is. All of it
is exact in float32 where 1/(1 - rate) is an integer below 8 and a number has at most seven digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import ceil, exp, lgamma, log
from typing import Any, Callable, List, Optional, Sequence, Set

import numpy as np

from conformance.compare import compare
from reference_impl import GATES, LSTM, DropoutMasks, Estimate, estimate
from reference_impl.rounding import Rounding, copies_for
from reference_impl.types import Array

#: What dropout is applied to: the fields of ``DropoutMasks``, in the order of the kernels their entries meet.
KINDS = ("inputs", "recurrent")

#: A digit has room for every entry of a mask, 0 or 1/(1 - rate).
BASE = 8.0


def constant_weights(features: int, units: int) -> List[Array]:
    """Weights with which an LSTM without activations returns ones, whatever it reads."""
    bias = np.repeat([1.0, 0.0, 1.0, 1.0], units)
    return [np.zeros((features, 4 * units)), np.zeros((units, 4 * units)), bias]


def candidate_weights(kind: str, features: int, units: int) -> List[Array]:
    """Weights whose second output is one more than the candidate gate's mask; as many features as units."""
    weights = constant_weights(features, units)
    weights[KINDS.index(kind)][:, 2 * units : 3 * units] = np.eye(units)
    return weights


@dataclass(frozen=True)
class Reader:
    """An LSTM of four blocks of units, whose second output tells the masks of one kind: a block for each gate."""

    kind: str
    features: int
    units: int

    @property
    def layer(self) -> LSTM:
        """The LSTM, dropping nothing."""
        return LSTM(self.units, activation=None, recurrent_activation=None, return_sequences=True)

    @property
    def weights(self) -> List[Array]:
        """In block g a unit has 1/8, 1/64, ... for its entries in gate g, and zeros in the other gates."""
        weights = constant_weights(self.features, self.units)
        kernel = np.zeros((self._entries, 4, 4, self._block))
        for entry in range(self._entries):
            digit, unit = divmod(entry, self._block)
            for gate in range(4):
                kernel[entry, gate, gate, unit] = BASE ** -(digit + 1)
        weights[KINDS.index(self.kind)] = kernel.reshape(self._entries, 4 * self.units)
        return weights

    def masks(self, second: Array) -> Array:
        """The masks (batch, 4, entries) that the second output (batch, units) tells."""
        numbers = second.astype(np.float64).reshape(-1, 4, 1, self._block) - 1.0
        powers = BASE ** np.arange(1, 1 + ceil(self._entries / self._block)).reshape(-1, 1)
        digits = np.floor(numbers * powers) % BASE
        masks: Array = digits.reshape(len(second), 4, -1)[..., : self._entries]
        return masks

    def complaint(self, outputs: Array, rate: float, shared: bool, mask: Optional[Array] = None) -> str:
        """What is wrong with the outputs (batch, T, units) for ones, or an empty string.

        ``shared`` says whether the gates have one mask in common or each its own; ``mask`` is that of the time steps,
        all true in the first two.
        """
        masks = self.masks(outputs[:, 1])
        return (
            wrong_entries(masks, rate)
            or (wrong_sharing(masks, shared) if 0.0 < rate < 1.0 else "")
            or self._wrong_steps(outputs, masks, mask)
        )

    def _wrong_steps(self, outputs: Array, masks: Array, mask: Optional[Array]) -> str:
        ones = np.ones((*outputs.shape[:2], self.features))
        (expected,) = outputs_given(self.layer, ones, self.weights, [DropoutMasks(**{self.kind: masks})], mask)
        comparison = compare("output", expected, outputs)
        return "" if comparison.agrees else f"step {comparison.first[1] + 1} does not have the masks of step 2"

    @property
    def _entries(self) -> int:
        return {"inputs": self.features, "recurrent": self.units}[self.kind]

    @property
    def _block(self) -> int:
        return self.units // 4


def wrong_entries(masks: Array, rate: float) -> str:
    """The values of the entries where they are not those due at the rate, or an empty string."""
    found, due = _values(masks), due_entries(rate)
    return "" if found == due else f"the entries of a mask are {sorted(found)}, not {sorted(due)}"


def due_entries(rate: float) -> Set[float]:
    """0 and 1/(1 - rate), or the one of them that a rate of 1 or 0 leaves."""
    kept = set() if rate == 1.0 else {1.0 / (1.0 - rate)}
    return kept if rate == 0.0 else {0.0, *kept}


def wrong_sharing(masks: Array, shared: bool) -> str:
    """Which gates share a mask where each has its own, or do not where all share one, or that all rows do."""
    for first, second in combinations(range(4), 2):
        if np.array_equal(masks[:, first], masks[:, second]) != shared:
            verb = "have different masks" if shared else "share a mask"
            return f"gates {GATES[first]} and {GATES[second]} {verb}"
    return "all rows of the batch share a mask" if (masks == masks[0]).all() else ""


def _values(masks: Array) -> Set[float]:
    return {float(value) for value in np.unique(masks)}


def outputs_given(
    layer: Any, x: Array, weights: Sequence[Array], dropout: Sequence[DropoutMasks], mask: Optional[Array] = None
) -> List[Estimate]:
    """What an LSTM or RNN returns for x, given the masks that were drawn for each of its cells."""

    def compute(tile: Callable[[Array], Array], fl: Rounding) -> List[Array]:
        tiled = [DropoutMasks(_tiled(tile, own.inputs), _tiled(tile, own.recurrent)) for own in dropout]
        return list(layer(tile(x.astype(np.float64)), weights, (), _tiled(tile, mask), fl, tiled))

    units = len(weights[1])
    return estimate(compute, "float32", seed=0, copies=copies_for(len(x) * units))


def _tiled(tile: Callable[[Array], Array], array: Optional[Array]) -> Optional[Array]:
    return None if array is None else tile(array)


def probability(kept: int, entries: int, share: float) -> float:
    """How often chance keeps so few of the entries or fewer, or so many or more, each of them with chance ``share``."""
    chances = [exp(_logarithm(count, entries, share)) for count in range(entries + 1)]
    return min(1.0, 2.0 * min(sum(chances[: kept + 1]), sum(chances[kept:])))


def _logarithm(count: int, entries: int, share: float) -> float:
    """Of the binomial distribution; its factors by themselves are too large or too small for a float."""
    ways = lgamma(entries + 1) - lgamma(count + 1) - lgamma(entries - count + 1)
    return ways + count * log(share) + (entries - count) * log(1.0 - share)
