"""Numbers that carry a tangent: what a value becomes when all that it is computed from moves in a direction.

Where v moves to v + s·v̇, a value y moves to y + s·ẏ, and ẏ is its *tangent*. Both travel as one complex number
y + i·s·ẏ: with s so small that s² vanishes beside 1, products, quotients and sums of such numbers are the product rule,
the quotient rule and the sum rule, and nothing is subtracted from what it is nearly equal to (Squire and Trapp, "Using
complex variables to estimate derivatives of real functions", 1998). An elementary function is told its derivative.
"""

from __future__ import annotations

from typing import Callable

import numpy as np

from reference_impl import activations, derivatives
from reference_impl.activations import Activation, Function
from reference_impl.rounding import Rounding
from reference_impl.types import Array

#: s, a power of 2 so that multiplying by it is exact.
STEP = 2.0**-100

#: A derivative goes back: it is d times the Jacobian. That of log_softmax is not symmetric, so forwards it is another.
#: The derivatives of the others call functions that NumPy and Python have of real numbers alone.
WITHOUT_TANGENT = (activations.log_softmax, activations.gelu, activations.mish)


def moving(value: Array, tangent: Array) -> Array:
    """Numbers of this value and this tangent, arrays of one shape."""
    return _joined(value, STEP * tangent)


def tangent(numbers: Array) -> Array:
    """Their tangent; zeros where they are real, for those do not move."""
    found: Array = np.imag(numbers) / STEP
    return found


def activation(named: Activation) -> Function:
    """The function behind an argument, for numbers that move too: ẏ = a'(x)·ẋ.

    It is rounded as ``derivatives`` has it. Raises ValueError for numbers that move and one ``WITHOUT_TANGENT``.
    """
    function = activations.get(named)

    def of_moving(x: Array, fl: Rounding) -> Array:
        if np.isrealobj(x):
            return function(x, fl)
        if function in WITHOUT_TANGENT:
            raise ValueError(f"the second derivative of {function.__name__} is not known")
        y = function(x.real, fl)
        return _joined(y, derivatives.get(named)(x.real, y, x.imag, fl))

    return of_moving


class RoundingBoth(Rounding):
    """Rounds the value and the tangent of a result as two results, each by ``fl`` and relative to its own size.

    A library computes them so: in the gradient of a gradient every tangent is a tensor, made by operations of its own.
    """

    def __init__(self, fl: Rounding) -> None:
        self._fl = fl

    def __call__(self, value: Array) -> Array:
        return self._each(self._fl, value)

    def elementary(self, value: Array) -> Array:
        return self._each(self._fl.elementary, value)

    def matmul(self, a: Array, b: Array) -> Array:
        """The tangent is ȧ·b + a·ḃ, two products and their sum."""
        return self._product(self._fl.matmul, a, b)

    def outer(self, a: Array, b: Array) -> Array:
        """The tangent is that of ``matmul``."""
        return self._product(self._fl.outer, a, b)

    def _each(self, fl: Callable[[Array], Array], value: Array) -> Array:
        return fl(value) if np.isrealobj(value) else _joined(fl(value.real), fl(value.imag))

    def _product(self, fl: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
        if np.isrealobj(a) and np.isrealobj(b):
            return fl(a, b)
        return _joined(fl(a.real, b.real), self._fl(fl(a.imag, b.real) + fl(a.real, b.imag)))


def _joined(real: Array, imaginary: Array) -> Array:
    """The complex numbers of these parts; ``real + 1j * imaginary`` would make NaN of an infinity."""
    numbers = np.empty(real.shape, dtype=np.complex128)
    numbers.real, numbers.imag = real, imaginary
    return numbers
