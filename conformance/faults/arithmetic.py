"""Faults in the arithmetic of a cell: formats of too few bits, functions of too few terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Sequence, Tuple

import numpy as np

from conformance.faults.cells import with_activation
from conformance.faults.fault import AroundStep, Fault, Stepping, in_cells
from reference_impl import LSTMCell
from reference_impl.layer import Given
from reference_impl.rounding import Rounding, float32_without, round_to
from reference_impl.types import Array, Arrays

#: To the nearest numbers of some format.
Format = Callable[[Array], Array]


def to_tf32(array: Array) -> Array:
    """The nearest numbers with 10 bits behind the point in float32's range."""
    return float32_without(array, 13)


def to_format(dtype: str) -> Format:
    return lambda array: round_to(array, dtype)


def unchanged(array: Array) -> Array:
    return array


@dataclass(frozen=True)
class RoundedProducts(Rounding):
    """Rounding by ``fl`` in which the operands of matrix products, or their sums, are rounded to fewer bits."""

    fl: Rounding
    operands: Format = unchanged
    sums: Format = unchanged

    def __call__(self, value: Array) -> Array:
        return self.fl(value)

    def elementary(self, value: Array) -> Array:
        return self.fl.elementary(value)

    def matmul(self, a: Array, b: Array) -> Array:
        return self.sums(self.fl.matmul(self.operands(a), self.operands(b)))


def products_of(operands: Format = unchanged, sums: Format = unchanged) -> AroundStep:
    """A step whose matrix products have operands or sums in a format of fewer bits."""

    def around(
        step: Stepping, cell: LSTMCell, x: Array, weights: Sequence[Array], given: Given
    ) -> Tuple[Array, Arrays]:
        return step(cell, x, weights, given._replace(fl=RoundedProducts(given.fl, operands, sums)))

    return around


def carry_in(dtype: str) -> AroundStep:
    """A step whose carry is kept in a format of fewer bits."""

    def around(
        step: Stepping, cell: LSTMCell, x: Array, weights: Sequence[Array], given: Given
    ) -> Tuple[Array, Arrays]:
        output, (h, c) = step(cell, x, weights, given)
        return output, (h, round_to(c, dtype))

    return around


def rational_tanh(x: Array) -> Array:
    """x·(27 + x²) / (27 + 9x²), which is ±1 at ±3 and stays so: off by a hundredth at 1, by a thousandth at 1/3."""
    x = np.clip(x, -3.0, 3.0)
    return x * (27.0 + x * x) / (27.0 + 9.0 * x * x)


def rational_sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + rational_tanh(0.5 * x))


OF_ARITHMETIC: Dict[str, Fault] = {
    "tanh_of_low_accuracy": Fault(
        "tanh is approximated by x·(27 + x²) / (27 + 9x²)", with_activation("tanh", rational_tanh)
    ),
    "sigmoid_of_low_accuracy": Fault(
        "sigmoid is (1 + tanh(x/2)) / 2 with tanh approximated by x·(27 + x²) / (27 + 9x²)",
        with_activation("sigmoid", rational_sigmoid),
    ),
    "products_in_bfloat16": Fault(
        "matrix products have bfloat16 operands", in_cells(products_of(to_format("bfloat16")))
    ),
    "products_in_float16": Fault("matrix products have float16 operands", in_cells(products_of(to_format("float16")))),
    "products_in_tf32": Fault("matrix products have TF32 operands", in_cells(products_of(to_tf32))),
    "carry_in_bfloat16": Fault("the carry is kept in bfloat16", in_cells(carry_in("bfloat16"))),
    "carry_in_float16": Fault("the carry is kept in float16", in_cells(carry_in("float16"))),
    "sums_in_bfloat16": Fault(
        "matrix products are added up in bfloat16", in_cells(products_of(sums=to_format("bfloat16")))
    ),
    "sums_in_float16": Fault(
        "matrix products are added up in float16", in_cells(products_of(sums=to_format("float16")))
    ),
}
