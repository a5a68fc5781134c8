"""The activation functions Keras accepts by name, written with their equations.

Each takes an array and ``fl`` (see ``rounding``) and returns an array of the same shape. What a library computes as one
elementary function (tanh, exp, σ, ...) is one operation; a formula is rounded after each of its operations.
Sources: ``keras/src/activations/activations.py`` at v3.15.0 and ``keras/activations.py`` at v2.15.0.
"""

from __future__ import annotations

from math import erf, sqrt
from typing import Callable, Dict, Union

import numpy as np

from reference_impl.rounding import Rounding
from reference_impl.types import Array

Function = Callable[[Array, Rounding], Array]

#: What the arguments ``activation`` and ``recurrent_activation`` take: a name, None (linear) or a function of an array.
Activation = Union[str, None, Callable[[Array], Array]]


def linear(x: Array, fl: Rounding) -> Array:
    return x


def sigmoid(x: Array, fl: Rounding) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ) = (1 + tanh(x/2)) / 2.

    The second form is how Eigen and XLA evaluate it, and why a small σ is off by a rounding of 1, not of itself.
    """
    return fl(0.5 * fl(1.0 + fl.elementary(np.tanh(0.5 * x))))


def tanh(x: Array, fl: Rounding) -> Array:
    return fl.elementary(np.tanh(x))


def hard_sigmoid(x: Array, fl: Rounding) -> Array:
    """min(max(x/6 + 1/2, 0), 1), as Keras 3 documents it."""
    return np.clip(fl(fl(x / 6.0) + 0.5), 0.0, 1.0)


def hard_sigmoid_keras2(x: Array, fl: Rounding) -> Array:
    """min(max(0.2·x + 1/2, 0), 1), as Keras 1 and 2 document it."""
    return np.clip(fl(fl(0.2 * x) + 0.5), 0.0, 1.0)


def exponential(x: Array, fl: Rounding) -> Array:
    return fl.elementary(np.exp(x))


def softplus(x: Array, fl: Rounding) -> Array:
    """log(1 + eˣ)."""
    return fl.elementary(np.logaddexp(0.0, x))


def softsign(x: Array, fl: Rounding) -> Array:
    """x / (1 + |x|)."""
    with np.errstate(invalid="ignore"):  # ∞ / ∞ is NaN here as in Keras
        return fl(x / fl(1.0 + np.abs(x)))


def softmax(x: Array, fl: Rounding) -> Array:
    """eˣ / Σ eˣ over the last axis, the units."""
    powers = fl.elementary(np.exp(fl(x - x.max(axis=-1, keepdims=True))))
    return fl(powers / fl(powers.sum(axis=-1, keepdims=True)))


def log_softmax(x: Array, fl: Rounding) -> Array:
    """x - log Σ eˣ over the last axis, the units."""
    shifted = fl(x - x.max(axis=-1, keepdims=True))
    return fl(shifted - fl.elementary(np.log(fl.elementary(np.exp(shifted).sum(axis=-1, keepdims=True)))))


def sparsemax(x: Array, fl: Rounding) -> Array:
    """The Euclidean projection of x onto the probability simplex (Martins and Astudillo, 2016), over the units."""
    descending = -np.sort(-x, axis=-1)
    rank = np.arange(1, x.shape[-1] + 1)
    sums = fl(np.cumsum(descending, axis=-1))
    support = (1.0 + rank * descending > sums).sum(axis=-1, keepdims=True)
    threshold = fl(fl(np.take_along_axis(sums, support - 1, axis=-1) - 1.0) / support)
    return np.maximum(fl(x - threshold), 0.0)


def relu(x: Array, fl: Rounding) -> Array:
    return np.maximum(x, 0.0)


def relu6(x: Array, fl: Rounding) -> Array:
    return np.clip(x, 0.0, 6.0)


def leaky_relu(x: Array, fl: Rounding) -> Array:
    """x, or 0.2·x where x < 0."""
    return np.where(x < 0.0, fl(0.2 * x), x)


def elu(x: Array, fl: Rounding) -> Array:
    """x, or eˣ - 1 where x < 0; celu with α = 1 is the same function."""
    return np.where(x < 0.0, _exp_minus_one(x, fl), x)


def _exp_minus_one(x: Array, fl: Rounding) -> Array:
    return fl(fl.elementary(np.exp(np.minimum(x, 0.0))) - 1.0)


#: Klambauer et al., "Self-Normalizing Neural Networks", 2017.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def selu(x: Array, fl: Rounding) -> Array:
    """1.0507·x, or 1.0507·1.6733·(eˣ - 1) where x < 0."""
    return fl(SELU_SCALE * np.where(x < 0.0, fl(SELU_ALPHA * _exp_minus_one(x, fl)), x))


def silu(x: Array, fl: Rounding) -> Array:
    """x·σ(x), also called swish."""
    return fl(x * sigmoid(x, fl))


def hard_silu(x: Array, fl: Rounding) -> Array:
    """x·hard_sigmoid(x), also called hard_swish."""
    return fl(x * hard_sigmoid(x, fl))


def gelu(x: Array, fl: Rounding) -> Array:
    """x·Φ(x) with the normal distribution function Φ (Hendrycks and Gimpel, 2016), not its tanh approximation."""
    return fl(x * normal_distribution(x, fl))


def normal_distribution(x: Array, fl: Rounding) -> Array:
    """Φ(x) = (1 + erf(x/√2)) / 2."""
    return fl(0.5 * fl(1.0 + fl.elementary(_erf(fl(x / sqrt(2.0))))))


_erf = np.vectorize(erf, otypes=[np.float64])  # NumPy has none


def mish(x: Array, fl: Rounding) -> Array:
    """x·tanh(log(1 + eˣ))."""
    return fl(x * tanh(softplus(x, fl), fl))


def log_sigmoid(x: Array, fl: Rounding) -> Array:
    """log σ(x) = -log(1 + e⁻ˣ)."""
    return -softplus(-x, fl)


def squareplus(x: Array, fl: Rounding) -> Array:
    """(x + √(x² + 4)) / 2."""
    return fl(0.5 * fl(x + fl(np.sqrt(fl(fl(np.square(x)) + 4.0)))))


def sparse_plus(x: Array, fl: Rounding) -> Array:
    """0 for x ≤ -1, x for x ≥ 1, (x + 1)² / 4 between."""
    between = fl(0.25 * fl(np.square(fl(x + 1.0))))
    return np.where(x <= -1.0, 0.0, np.where(x >= 1.0, x, between))


def sparse_sigmoid(x: Array, fl: Rounding) -> Array:
    """0 for x ≤ -1, 1 for x ≥ 1, (x + 1) / 2 between."""
    return np.clip(fl(0.5 * fl(x + 1.0)), 0.0, 1.0)


def hard_tanh(x: Array, fl: Rounding) -> Array:
    return np.clip(x, -1.0, 1.0)


def tanh_shrink(x: Array, fl: Rounding) -> Array:
    """x - tanh(x)."""
    return fl(x - tanh(x, fl))


def hard_shrink(x: Array, fl: Rounding) -> Array:
    """x where |x| > 1/2, else 0."""
    return np.where(np.abs(x) > 0.5, x, 0.0)


def soft_shrink(x: Array, fl: Rounding) -> Array:
    """x moved towards 0 by 1/2, and 0 where |x| ≤ 1/2."""
    return np.where(np.abs(x) > 0.5, fl(x - 0.5 * np.sign(x)), 0.0)


FUNCTIONS: Dict[str, Function] = {
    function.__name__: function
    for function in (
        linear, sigmoid, tanh, hard_sigmoid, hard_sigmoid_keras2, exponential, softplus, softsign, softmax,
        log_softmax, sparsemax, relu, relu6, leaky_relu, elu, selu, silu, hard_silu, gelu, mish, log_sigmoid,
        squareplus, sparse_plus, sparse_sigmoid, hard_tanh, tanh_shrink, hard_shrink, soft_shrink,
    )
}  # fmt: skip
FUNCTIONS.update(swish=silu, hard_swish=hard_silu, celu=elu)


def get(activation: Activation) -> Function:
    """The function behind an argument. ``None`` is linear; a callable of one array counts as one operation."""
    if activation is None:
        return linear
    if callable(activation):
        return lambda x, fl: fl.elementary(np.array(activation(x), dtype=np.float64))
    if activation not in FUNCTIONS:
        raise ValueError(f"unknown activation {activation!r}; known are {', '.join(sorted(FUNCTIONS))}")
    return FUNCTIONS[activation]
