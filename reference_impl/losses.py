"""Losses and their gradients, as ``keras.losses``.

A loss is a number for each sample, ``(batch, ...)`` for float64 arrays y and ŷ ``(batch, ..., d)``; ``reduction`` makes
one number of them. Sources: ``keras/src/losses/losses.py`` and ``keras/src/backend/tensorflow/nn.py`` at v3.15.0,
``keras/losses.py`` and ``keras/backend.py`` at v2.15.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from reference_impl.activations import log_softmax, sigmoid, softmax
from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array

#: ``keras.backend.epsilon()``: probabilities are clipped to [ε, 1 - ε].
EPSILON = 1e-7


class Loss:
    """ℓ(y, ŷ) of each sample; y and ŷ are (batch, ..., d) both. Names and defaults are Keras's."""

    def __call__(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        """ℓ, (batch, ...)."""
        raise NotImplementedError

    def gradient(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        """∂ℓ/∂ŷ, (batch, ..., d): each sample's ℓ depends on its own ŷ alone. Where ℓ has a kink it is 0."""
        raise NotImplementedError


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """ℓ = Σ(ŷ - y)²/d,  ∂ℓ/∂ŷ = 2·(ŷ - y)/d."""

    def __call__(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        squares = fl(np.square(fl(y_pred - y_true)))
        return fl(squares.mean(axis=-1))

    def gradient(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        return fl(2.0 * fl(y_pred - y_true) / y_pred.shape[-1])


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """ℓ = Σ|ŷ - y|/d,  ∂ℓ/∂ŷ = sign(ŷ - y)/d."""

    def __call__(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        return fl(np.abs(fl(y_pred - y_true)).mean(axis=-1))

    def gradient(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        return fl(np.sign(y_pred - y_true) / y_pred.shape[-1])


@dataclass(frozen=True)
class Huber(Loss):
    """ℓ = Σh(ŷ - y)/d with h(e) = e²/2 where |e| ≤ δ, else δ·|e| - δ²/2;  ∂ℓ/∂ŷ = max(-δ, min(ŷ - y, δ))/d.

    Huber, "Robust Estimation of a Location Parameter", 1964.
    """

    delta: float = 1.0

    def __call__(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        error = fl(y_pred - y_true)
        near = fl(0.5 * np.square(error))
        far = fl(fl(self.delta * np.abs(error)) - 0.5 * self.delta**2)
        return fl(np.where(np.abs(error) <= self.delta, near, far).mean(axis=-1))

    def gradient(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        return fl(np.clip(fl(y_pred - y_true), -self.delta, self.delta) / y_pred.shape[-1])


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """ℓ = -Σ(y·log p + (1 - y)·log(1 - p))/d with p = ŷ clipped to [ε, 1 - ε], or p = σ(ŷ) for logits ŷ.

    ∂ℓ/∂ŷ = ((1 - y)/(1 - p) - y/p)/d, and 0 where ŷ is clipped; for logits (σ(ŷ) - y)/d.

    ``epsilon_added`` adds ε to each logarithm's argument, to p and to 1 - p, as Keras 2 (measured: 2.4, 2.10, 2.15)
    does and Keras 3 (3.15) does not: an ŷ of 0 costs 15.4 in the one and 16.1 in the other. Every one of them takes
    the logits instead where the model's last operation is a sigmoid.
    """

    from_logits: bool = False
    epsilon_added: bool = False

    def __call__(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        if self.from_logits:  # -log σ(z) = log(1 + e⁻ᶻ) and -log(1 - σ(z)) = z + log(1 + e⁻ᶻ), free of overflow
            rest = fl.elementary(np.log1p(np.exp(-np.abs(y_pred))))
            return fl(fl(fl(np.maximum(y_pred, 0.0) - fl(y_pred * y_true)) + rest).mean(axis=-1))
        for_one, for_zero = self._arguments(y_pred, fl)
        ones = fl(y_true * fl.elementary(np.log(for_one)))
        zeros = fl(fl(1.0 - y_true) * fl.elementary(np.log(for_zero)))
        return fl(-fl(ones + zeros).mean(axis=-1))

    def gradient(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        if self.from_logits:
            return fl(fl(sigmoid(y_pred, fl) - y_true) / y_pred.shape[-1])
        for_one, for_zero = self._arguments(y_pred, fl)
        slope = fl(fl(fl(1.0 - y_true) / for_zero) - fl(y_true / for_one))
        return fl(np.where(_unclipped(y_pred), slope, 0.0) / y_pred.shape[-1])

    def _arguments(self, y_pred: Array, fl: Rounding) -> Tuple[Array, Array]:
        """What the logarithms are taken of, where y is 1 and where it is 0."""
        p, added = _clipped(y_pred, fl), EPSILON if self.epsilon_added else 0.0
        return fl(p + added), fl(fl(1.0 - p) + added)


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """ℓ = -Σ y·log p with p = q clipped to [ε, 1 - ε] and q = ŷ/Σŷ, or p = softmax(ŷ) for logits ŷ.

    ∂ℓ/∂ŷ = (g - Σg·q)/Σŷ with g = -y/q, and 0 where q is clipped; for logits p·Σy - y. Keras's own is p - y there:
    TensorFlow takes it for granted that Σy = 1. Every version takes the logits where a model ends in a softmax.
    """

    from_logits: bool = False

    def __call__(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        if self.from_logits:
            return -fl(fl(y_true * log_softmax(y_pred, fl)).sum(axis=-1))
        q = fl(y_pred / fl(y_pred.sum(axis=-1, keepdims=True)))
        return -fl(fl(y_true * fl.elementary(np.log(_clipped(q, fl)))).sum(axis=-1))

    def gradient(self, y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
        if self.from_logits:
            return fl(fl(softmax(y_pred, fl) * y_true.sum(axis=-1, keepdims=True)) - y_true)
        total = fl(y_pred.sum(axis=-1, keepdims=True))
        q = fl(y_pred / total)
        g = np.where(_unclipped(q), fl(-y_true / np.maximum(q, EPSILON)), 0.0)
        return fl(fl(g - fl(fl(g * q).sum(axis=-1, keepdims=True))) / total)


def _clipped(p: Array, fl: Rounding) -> Array:
    """P within [ε, 1 - ε], whose upper end is rounded: in float32 it is 1 - 1.2e-7."""
    return np.clip(p, EPSILON, fl(np.full(p.shape, 1.0 - EPSILON)))


def _unclipped(p: Array) -> Array:
    return (p >= EPSILON) & (p <= 1.0 - EPSILON)
