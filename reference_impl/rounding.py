"""Floating-point rounding as a hook, and the tolerance it yields by Monte Carlo arithmetic.

Every function of the reference takes ``fl``, the numerical analyst's *fl(x op y)* (Higham, "Accuracy and
Stability of Numerical Algorithms", 2.2), and calls it on the result of each operation. With ``exact`` nothing
happens and the reference runs in float64. With ``MonteCarlo`` each result is multiplied by ``1 + u·ξ``, ξ uniform
in [-1, 1] and u the unit roundoff of the dtype under test, so that the spread of many such runs is the
rounding error an honest implementation in that dtype shows (Parker, "Monte Carlo Arithmetic", 1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

from reference_impl.types import Array

#: Tolerance = TOLERANCE_FACTOR · σ, one constant for the whole suite; docs/tolerances.md has the measurements.
TOLERANCE_FACTOR = 8.0

#: Perturbed copies a spread is estimated from; one σ is then known to 1/√(2·32) = 12 %. The tolerance follows the
#: largest of a time step, so where there are many elements fewer copies do.
COPIES, FEWEST_COPIES, COPIES_TIMES_ELEMENTS = 32, 8, 256


@dataclass(frozen=True)
class Format:
    """A floating-point format: its unit roundoff (half the gap above 1) and the largest error of an underflow."""

    unit_roundoff: float
    underflow: float


#: TensorFlow flushes subnormal float32, float64 and bfloat16 numbers to zero; float16 keeps them on a CPU.
FORMATS: Dict[str, Format] = {
    "float64": Format(2.0**-53, 2.0**-1022),
    "float32": Format(2.0**-24, 2.0**-126),
    "bfloat16": Format(2.0**-8, 2.0**-126),
    "float16": Format(2.0**-11, 2.0**-24),
}


def round_to(array: Array, dtype: str) -> Array:
    """The nearest values of a format, as float64."""
    if array.dtype.name == dtype:  # NumPy knows no bfloat16
        return array.astype(np.float64)
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return array.astype(dtype).astype(np.float64)
    return float32_without(array, 16)


def float32_without(array: Array, bits: int) -> Array:
    """The nearest float32 values whose last bits are zero, ties to even, as float64: 16 for bfloat16, 13 for TF32."""
    number = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    half = np.uint32((1 << (bits - 1)) - 1)
    rounded = (number + half + ((number >> np.uint32(bits)) & np.uint32(1))) & ~np.uint32((1 << bits) - 1)
    return np.where(np.isfinite(array), rounded.view(np.float32), array).astype(np.float64)


class Rounding:
    """The hook. This one rounds nothing: the float64 result is the expected value."""

    def __call__(self, value: Array) -> Array:
        return value

    def elementary(self, value: Array) -> Array:
        """The result of an elementary function (exp, tanh, ...), which libraries give to a unit in the last place."""
        return value

    def matmul(self, a: Array, b: Array) -> Array:
        """``a @ b`` for a ``(..., k)`` and b ``(k, n)``."""
        product: Array = a @ b
        return product

    def outer(self, a: Array, b: Array) -> Array:
        """The sum over T of the outer products of a ``(batch, T, i)`` and b ``(batch, T, j)``: ``(batch, i, j)``."""
        product: Array = np.swapaxes(a, 1, 2) @ b
        return product

    def total(self, rows: Array, runs: int) -> Array:
        """The sums over the batch rows of each run, (runs, ...), of an array whose first axis holds all rows."""
        summed: Array = rows.reshape((runs, -1, *rows.shape[1:])).sum(axis=1)
        return self(summed)


exact = Rounding()


class MonteCarlo(Rounding):
    """Perturbs each result as a format with unit roundoff u would.

    In float64, where 1 + u is not representable, the perturbed results are themselves rounded to neighbours: the
    spread is then right to within a factor of 2.

    The first axis of every array holds the exact run and then its ``copies``, so that all are one evaluation.
    """

    def __init__(self, unit_roundoff: float, copies: int, seed: int) -> None:
        self._u = unit_roundoff
        self._runs = copies + 1
        self._random = np.random.RandomState(seed)
        self._lean = self._uniform((copies,), centre=0.0, limit=unit_roundoff)

    def __call__(self, value: Array) -> Array:
        """Round ``value``, the fresh result of one operation, in place."""
        copies = value[self._copies(value)]
        copies *= self._uniform(copies.shape, centre=1.0, limit=self._u)
        return value

    def elementary(self, value: Array) -> Array:
        """Perturb by 2u·ξ, a unit in the last place, and by u·β, β drawn once for each copy.

        The error of a library's function is a fixed function of the argument: over steps whose arguments are alike
        it leans to one side and does not average out.
        """
        copies = value[self._copies(value)]
        lean = np.repeat(self._lean, len(copies) // len(self._lean)).reshape((-1,) + (1,) * (value.ndim - 1))
        copies *= lean + self._uniform(copies.shape, centre=1.0, limit=2.0 * self._u)
        return value

    def matmul(self, a: Array, b: Array) -> Array:
        """``a @ b`` whose k products and k - 1 partial sums are each rounded.

        A running sum of k products p_j of no common sign grows as √j, so the rounding errors of products and sums
        have together the variance (u²/3)·Σp_j²·(k + 3)/2, whatever cancels in the result.
        """
        product: Array = a @ b
        copies = self._copies(product)
        return self._perturbed(product, np.square(a[copies]) @ np.square(b), b.shape[0])

    def outer(self, a: Array, b: Array) -> Array:
        """As ``matmul``: the sum over T is one of T products."""
        product: Array = np.swapaxes(a, 1, 2) @ b
        copies = self._copies(product)
        squares = np.swapaxes(np.square(a[copies]), 1, 2) @ np.square(b[copies])
        return self._perturbed(product, squares, a.shape[1])

    def _perturbed(self, product: Array, squares: Array, terms: int) -> Array:
        """Perturb sums of so many products in place; ``squares`` are those of the products, added up, of the copies."""
        scale = np.sqrt(0.5 * (terms + 3) * squares)
        scale[~np.isfinite(scale)] = 0.0  # an infinite term is not blurred by rounding
        scale *= self._uniform(scale.shape, centre=0.0, limit=self._u)
        product[self._copies(product)] += scale
        return product

    def _copies(self, value: Array) -> slice:
        return slice(len(value) // self._runs, None)

    def _uniform(self, shape: Tuple[int, ...], centre: float, limit: float) -> Array:
        """Numbers drawn from ``centre`` ± ``limit``."""
        numbers: Array = self._random.random_sample(shape)
        numbers *= 2.0 * limit
        numbers += centre - limit
        return numbers


class OneCopy(MonteCarlo):
    """One perturbed run without the exact one before it: for training, in which the weights of copies differ too."""

    def __init__(self, unit_roundoff: float, seed: int) -> None:
        super().__init__(unit_roundoff, 1, seed)

    def _copies(self, value: Array) -> slice:
        return slice(None)


@dataclass(frozen=True)
class Estimate:
    """An expected value and the tolerance around it, of one shape ``(batch, ...)``, both float64."""

    value: Array
    tolerance: Array


#: A computation on a batch: it passes each array that has a batch axis through ``tile``, gives ``fl`` to the reference,
#: and returns arrays whose first axis is the batch, or a multiple or divisor of it that keeps the copies apart.
Computation = Callable[[Callable[[Array], Array], Rounding], Sequence[Array]]


def copies_for(elements: int) -> int:
    """How many perturbed copies to run where a time step has so many elements (batch rows times units)."""
    return max(FEWEST_COPIES, min(COPIES, COPIES_TIMES_ELEMENTS // max(elements, 1)))


def estimate(compute: Computation, dtype: str, seed: int, copies: int = COPIES) -> List[Estimate]:
    """Expected values of ``compute`` and their tolerances in ``dtype``, a key of ``FORMATS``.

    σ is taken per time step as the maximum over batch rows and units: an element that happens to lie near zero carries
    the absolute error of its neighbours.
    """
    number_format = FORMATS[dtype]

    def tile(array: Array) -> Array:
        return np.concatenate([array] * (copies + 1))

    with np.errstate(over="ignore", invalid="ignore"):  # a case may well overflow, or read an infinity
        results = compute(tile, MonteCarlo(number_format.unit_roundoff, copies, seed))
    return [_estimate(result.reshape((copies + 1, -1, *result.shape[1:])), number_format) for result in results]


def _estimate(runs: Array, number_format: Format) -> Estimate:
    """From (1 + copies, batch, ...), the exact run first."""
    value = runs[0]
    with np.errstate(invalid="ignore"):  # inf - inf: a value that is not finite is compared exactly
        deviations = np.where(np.isfinite(value), runs[1:] - value, 0.0)
    sigma = np.sqrt(np.mean(np.square(deviations), axis=0))
    if sigma.size:
        time = sigma.ndim - 2
        all_but_time = tuple(axis for axis in range(sigma.ndim) if axis != time) if sigma.ndim > 2 else None
        sigma = np.broadcast_to(sigma.max(axis=all_but_time, keepdims=True), value.shape)
    return Estimate(value, TOLERANCE_FACTOR * sigma + number_format.underflow)
