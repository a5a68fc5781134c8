"""The numbers of a case, drawn from its id alone.

The streams of ``numpy.random.RandomState`` are frozen, so a case has the same bytes on every NumPy, in every order and
in every process. Nothing is constant or symmetric: no two gates, units, rows or steps are alike and h0 differs from c0,
since weights that are all equal cannot tell one gate order from another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import List, Optional

import numpy as np

from conformance.case import Case
from reference_impl import LSTM, Bidirectional
from reference_impl.types import Array, Shape

#: Largest magnitude of an input, an initial state and a bias.
INPUT_LIMIT, STATE_LIMIT, BIAS_LIMIT = 1.0, 1.0, 0.25


@dataclass(frozen=True)
class Data:
    """Inputs and weights in the case's dtype.

    x is (batch, T, d); ``weights`` are in the order of ``get_weights()``; ``initial_state`` is empty or holds the
    first layer's h and c, each (batch, u), for both halves of a Bidirectional.
    """

    x: Array
    weights: List[Array]
    initial_state: List[Array]


def seed(text: str) -> int:
    """A 32-bit seed from a case id."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def draw(case: Case) -> Data:
    """Draw the data of a case."""
    random = np.random.RandomState(seed(case.id))

    def uniform(shape: Shape, limit: float) -> Array:
        values = limit * (2.0 * random.random_sample(shape) - 1.0)
        return values.astype(case.dtype)

    return Data(
        x=uniform(case.input_shape, INPUT_LIMIT),
        weights=[
            uniform(shape, case.weight_scale * _weight_limit(shape))
            for layer in case.model.weight_shapes(case.features)
            for shape in layer.values()
        ],
        initial_state=[uniform(shape, STATE_LIMIT) for shape in state_shapes(case, case.batch)],
    )


def state_shapes(case: Case, batch: Optional[int]) -> List[Shape]:
    """Shapes of the initial states the case gives its first layer."""
    first = case.model.layers[0]
    if not case.initial_state:
        return []
    if isinstance(first, Bidirectional):
        return [(batch, first.layer.units)] * 4
    if isinstance(first, LSTM):
        return [(batch, first.units)] * 2
    raise ValueError(f"{case.id}: {type(first).__name__} takes no initial state")


def _weight_limit(shape: Shape) -> float:
    """1/√(1 + fan-in) for a matrix, so that x·W is no larger than x whatever the width."""
    fan_in, *rest = shape
    return float(1.0 / np.sqrt(1.0 + (fan_in or 0))) if rest else BIAS_LIMIT
