"""Comparing one tensor with its expected values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Mapping, Sequence, Tuple

import numpy as np

from reference_impl import Estimate
from reference_impl.types import Array


@dataclass(frozen=True)
class Comparison:
    """A returned tensor beside its expected value; both have the same shape, (batch, ...)."""

    name: str
    expected: Array
    actual: Array
    tolerance: Array

    @cached_property
    def error(self) -> Array:
        """|actual - expected|; 0 where both are the same infinity or both NaN, infinite where only one is finite."""
        with np.errstate(invalid="ignore"):
            error = np.abs(self.actual.astype(np.float64) - self.expected)
        same = (self.actual == self.expected) | (np.isnan(self.actual) & np.isnan(self.expected))
        error[same] = 0.0
        return np.where(np.isnan(error), np.inf, error)

    @cached_property
    def ratios(self) -> Array:
        """Error / tolerance."""
        return self.error / self.tolerance

    @cached_property
    def ratio(self) -> float:
        """The largest ratio; above 1 the tensor diverges."""
        return float(self.ratios.max()) if self.expected.size else 0.0

    @property
    def agrees(self) -> bool:
        return self.ratio <= 1.0

    @property
    def worst(self) -> Tuple[int, ...]:
        """Index of the largest ratio."""
        return _index(int(self.ratios.argmax()), self.expected.shape)

    @property
    def first(self) -> Tuple[int, ...]:
        """Index of the first element over tolerance: of the first time step, then batch row, then unit."""
        over = np.argwhere(self.ratios > 1.0)
        time = over[:, -2] if self.expected.ndim > 2 else np.zeros(len(over))
        return tuple(int(i) for i in over[np.lexsort((over[:, -1], over[:, 0], time))[0]])

    @property
    def count(self) -> int:
        """How many elements are over tolerance."""
        return int((self.ratios > 1.0).sum())


def compare(name: str, estimate: Estimate, actual: Array) -> Comparison:
    """Raises ValueError where the shapes differ, another question than the values, or where nothing can be told."""
    if not np.isfinite(estimate.tolerance).all():
        raise ValueError(f"{name}: the tolerance is not finite: the case cannot tell right from wrong")
    if actual.shape != estimate.value.shape:
        raise ValueError(f"{name}: shape {actual.shape} against {estimate.value.shape}")
    return Comparison(name, estimate.value, actual, estimate.tolerance)


def compared(expected: Mapping[str, Estimate], outputs: Sequence[Array]) -> Tuple[Comparison, ...]:
    """Each output beside its expected value, where they have the same shape."""
    return tuple(
        compare(name, estimate, actual)
        for (name, estimate), actual in zip(expected.items(), outputs)
        if actual.shape == estimate.value.shape
    )


def agree(expected: Mapping[str, Estimate], outputs: Sequence[Array]) -> bool:
    """Whether outputs have the expected shapes and values."""
    comparisons = compared(expected, outputs)
    return len(comparisons) == len(expected) and all(comparison.agrees for comparison in comparisons)


def largest_ratio(expected: Sequence[Estimate], actual: Sequence[Array]) -> float:
    """The largest ratio of all tensors; infinite where a shape differs or a tolerance is not finite."""
    if [one.value.shape for one in expected] != [own.shape for own in actual]:
        return np.inf
    if not all(np.isfinite(one.tolerance).all() for one in expected):
        return np.inf
    return max(Comparison("", one.value, own, one.tolerance).ratio for one, own in zip(expected, actual))


def _index(flat: int, shape: Tuple[int, ...]) -> Tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))
