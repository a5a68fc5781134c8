"""Constraints: what a weight is projected to after each step, as ``keras.constraints``.

Weights are float64 arrays ``(runs, *shape)``: the first axis holds the exact run and its perturbed copies (see
``rounding``), and has size 1 where there is one run. ``axis`` counts the axes of ``shape``. The same in Keras 2.4,
2.10, 2.15 and 3.15; source: ``keras/src/constraints/constraints.py`` at v3.15.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Union

import numpy as np

from reference_impl.losses import EPSILON
from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array

Axis = Union[int, Sequence[int]]


class Constraint:
    """A projection."""

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        """w projected, of its shape (runs, *shape)."""
        raise NotImplementedError


@dataclass(frozen=True)
class MaxNorm(Constraint):
    """w·min(‖w‖, c)/(ε + ‖w‖), the norms taken along ``axis``: 0 for the weights into each unit (Srivastava, 2014).

    A norm under c shrinks by ε, too.
    """

    max_value: float = 2.0
    axis: Axis = 0

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        norm = _norm(w, self.axis, fl)
        return fl(w * fl(np.minimum(norm, self.max_value) / fl(EPSILON + norm)))


@dataclass(frozen=True)
class MinMaxNorm(Constraint):
    """w·(r·n + (1 - r)·‖w‖)/(ε + ‖w‖), n = ‖w‖ clipped to [a, b] and r the rate, the norms taken along ``axis``."""

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Axis = 0

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        norm = _norm(w, self.axis, fl)
        clipped = np.clip(norm, self.min_value, self.max_value)
        desired = fl(fl(self.rate * clipped) + fl((1.0 - self.rate) * norm))
        return fl(w * fl(desired / fl(EPSILON + norm)))


@dataclass(frozen=True)
class UnitNorm(Constraint):
    """w/(ε + ‖w‖), the norms taken along ``axis``."""

    axis: Axis = 0

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        return fl(w / fl(EPSILON + _norm(w, self.axis, fl)))


@dataclass(frozen=True)
class NonNeg(Constraint):
    """max(w, 0)."""

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        return np.maximum(w, 0.0)


def _norm(w: Array, axis: Axis, fl: Rounding) -> Array:
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    return fl(np.sqrt(fl(fl(np.square(w)).sum(axis=tuple(a + 1 if a >= 0 else a for a in axes), keepdims=True))))
