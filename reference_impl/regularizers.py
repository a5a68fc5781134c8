"""Regularizers: what is added to the loss for the weights' or the outputs' own sake, and its gradient.

Arrays are float64, ``(runs, *shape)``: the first axis holds the exact run and its perturbed copies (see ``rounding``),
and has size 1 where there is one run. Source: ``keras/src/regularizers/regularizers.py`` at v3.15.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

import numpy as np

from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array


class Regularizer:
    """R(w) of a kernel, a recurrent kernel, a bias or an output."""

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        """R of each run, (runs,), for w (runs, *shape)."""
        raise NotImplementedError

    def gradient(self, w: Array, fl: Rounding = exact) -> Array:
        """∂R/∂w, of the shape of w; 0 where R has a kink."""
        raise NotImplementedError


@dataclass(frozen=True)
class L1L2(Regularizer):
    """R = l1·Σ|w| + l2·Σw²,  ∂R/∂w = l1·sign(w) + 2·l2·w. The function ``l1_l2()`` of Keras 2 makes both 0.01."""

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        flat = w.reshape((len(w), -1))
        absolute, squared = fl(np.abs(flat).sum(axis=1)), fl(fl(np.square(flat)).sum(axis=1))
        return fl(fl(self.l1 * absolute) + fl(self.l2 * squared))

    def gradient(self, w: Array, fl: Rounding = exact) -> Array:
        return fl(fl(self.l1 * np.sign(w)) + fl(2.0 * self.l2 * w))


@dataclass(frozen=True)
class L1(L1L2):
    l1: float = 0.01
    l2: float = field(default=0.0, init=False)


@dataclass(frozen=True)
class L2(L1L2):
    l1: float = field(default=0.0, init=False)
    l2: float = 0.01


@dataclass(frozen=True)
class OrthogonalRegularizer(Regularizer):
    """R = f·Σ|yᵢ·yⱼ|/(n·(n - 1)) over i ≠ j, the mean |cosine| of two of the n rows, yᵢ = xᵢ/‖xᵢ‖, of a matrix, n ≥ 2.

    ∂R/∂xᵢ = (gᵢ - yᵢ·(yᵢ·gᵢ))/‖xᵢ‖ with gᵢ = 2·f·Σⱼ sign(yᵢ·yⱼ)·yⱼ/(n·(n - 1)): the part of gᵢ along xᵢ has no effect.
    ``mode`` "columns" compares columns. The same in Keras 2.10 to 3.15; 2.9 forgets | |, and older ones have none.
    """

    factor: float = 0.01
    mode: str = "rows"

    def __call__(self, w: Array, fl: Rounding = exact) -> Array:
        y, _ = self._normalized(w, fl)
        products = _products(y, fl)
        absolute = self._signs(products) * products
        return fl(self.factor / (y.shape[1] ** 2 - y.shape[1]) * fl(absolute.sum(axis=(1, 2))))

    def gradient(self, w: Array, fl: Rounding = exact) -> Array:
        y, norm = self._normalized(w, fl)
        g = fl(2.0 * self.factor / (y.shape[1] ** 2 - y.shape[1]) * fl(self._signs(_products(y, fl)) @ y))
        x = fl(fl(g - fl(y * fl((y * g).sum(axis=2, keepdims=True)))) / norm)
        return x if self.mode == "rows" else x.swapaxes(1, 2)

    def _signs(self, products: Array) -> Array:
        """|p| = sign(p)·p, of products (runs, n, n)."""
        return np.sign(products)

    def _normalized(self, w: Array, fl: Rounding) -> Tuple[Array, Array]:
        """The rows or columns of w (runs, n, m), each a row of norm 1, and their norms (runs, n, 1)."""
        x = w if self.mode == "rows" else w.swapaxes(1, 2)
        norm = fl(np.sqrt(fl(fl(np.square(x)).sum(axis=2, keepdims=True))))
        return fl(x / norm), norm


def _products(y: Array, fl: Rounding) -> Array:
    """yᵢ·yⱼ, (runs, n, n), and 0 where i = j."""
    products = fl(fl(y[:, :, np.newaxis] * y[:, np.newaxis]).sum(axis=3))
    return products * (1.0 - np.eye(y.shape[1]))


def activity(
    regularizer: Regularizer, output: Array, fl: Rounding = exact, *, per_sample: bool = True
) -> Tuple[Array, Array]:
    """R(output)/batch, (runs,), and its gradient for each array a layer returns, (runs, batch, ...), masked or not.

    Measured on Keras 2.4, 2.10, 2.15, 3.15. 3.0 to 3.13 (``keras/src/layers/layer.py``) do not divide: not per_sample.
    """
    batch = output.shape[1] if per_sample else 1
    return fl(regularizer(output, fl) / batch), fl(regularizer.gradient(output, fl) / batch)
