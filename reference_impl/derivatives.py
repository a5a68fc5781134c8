"""The derivatives of the activation functions, each under the name its function has in ``activations``.

A function y = a(x) is given here as what back-propagation makes of it: from x, y and d = ∂L/∂y, arrays of one shape,
and ``fl`` it returns ∂L/∂x = d·a'(x) or, where a unit depends on the others, d multiplied with the Jacobian. It uses y
where TensorFlow's kernels do (``tensorflow/python/ops/nn_grad.py``, ``math_grad.py``), for the sake of its rounding
errors. At a kink it is what TensorFlow says: 0 for relu at 0, 1/5 for leaky_relu, 1 for elu and for hard_tanh at ±1.

All three may carry tangents (see ``tangents``): the value of such a number is its real part, and decides where it lies.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Callable, Dict

import numpy as np

from reference_impl import activations
from reference_impl.activations import SELU_ALPHA, SELU_SCALE, Activation
from reference_impl.rounding import Rounding
from reference_impl.types import Array

#: From x, y = a(x), ∂L/∂y and ``fl``, ∂L/∂x.
Derivative = Callable[[Array, Array, Array, Rounding], Array]


def linear(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    return d


def sigmoid(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """σ(x)·(1 - σ(x))."""
    return fl(d * fl(y * fl(1.0 - y)))


def tanh(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """1 - tanh²(x)."""
    return fl(d * fl(1.0 - fl(np.square(y))))


def hard_sigmoid(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """1/6 where |x| < 3."""
    return np.where(np.abs(x) < 3.0, fl(d / 6.0), 0.0)


def hard_sigmoid_keras2(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """0.2 where |x| ≤ 2.5."""
    return np.where(np.abs(x) <= 2.5, fl(0.2 * d), 0.0)


def exponential(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    return fl(d * y)


def softplus(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """σ(x)."""
    return fl(d * activations.sigmoid(x, fl))


def softsign(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """1 / (1 + |x|)²."""
    return fl(d / fl(np.square(fl(1.0 + np.where(x.real < 0.0, -x, x)))))


def softmax(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """y_j·(d_j - Σ d·y): the Jacobian is diag(y) - y·yᵀ."""
    return fl(y * fl(d - fl(fl(d * y).sum(axis=-1, keepdims=True))))


def log_softmax(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """d_j - eʸ_j·Σ d: the Jacobian is 1 - softmax(x) in every row."""
    return fl(d - fl(fl.elementary(np.exp(y)) * fl(d.sum(axis=-1, keepdims=True))))


def sparsemax(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """On the support, y > 0, d less its mean there; 0 elsewhere (Martins and Astudillo, 2016)."""
    support = y.real > 0.0
    size = support.sum(axis=-1, keepdims=True)
    mean = fl(fl(np.where(support, d, 0.0).sum(axis=-1, keepdims=True)) / size)
    return np.where(support, fl(d - mean), 0.0)


def relu(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    return np.where(x.real > 0.0, d, 0.0)


def relu6(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    return np.where((x.real > 0.0) & (x.real < 6.0), d, 0.0)


def leaky_relu(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    return np.where(x.real > 0.0, d, fl(0.2 * d))


def elu(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """1, or eˣ = y + 1 where x < 0."""
    return np.where(x.real < 0.0, fl(d * fl(y + 1.0)), d)


def selu(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """1.0507, or 1.0507·1.6733·eˣ = y + 1.0507·1.6733 where x < 0."""
    return fl(d * np.where(x.real < 0.0, fl(y + SELU_SCALE * SELU_ALPHA), SELU_SCALE))


def silu(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """σ(x)·(1 + x·(1 - σ(x)))."""
    gate = activations.sigmoid(x, fl)
    return fl(d * fl(gate * fl(1.0 + fl(x * fl(1.0 - gate)))))


def hard_silu(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """hard_sigmoid(x) + x·hard_sigmoid'(x)."""
    gate = activations.hard_sigmoid(x, fl)
    return fl(fl(d * gate) + hard_sigmoid(x, gate, fl(d * x), fl))


def gelu(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """Φ(x) + x·φ(x) with the normal density φ."""
    below = activations.normal_distribution(x, fl)
    density = fl(fl.elementary(np.exp(fl(-0.5 * fl(np.square(x))))) / sqrt(2.0 * pi))
    return fl(d * fl(below + fl(x * density)))


def mish(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """With t = tanh(log(1 + eˣ)), t + x·(1 - t²)·σ(x)."""
    t = activations.tanh(activations.softplus(x, fl), fl)
    steep = fl(fl(1.0 - fl(np.square(t))) * activations.sigmoid(x, fl))
    return fl(d * fl(t + fl(x * steep)))


def log_sigmoid(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """σ(-x)."""
    return fl(d * activations.sigmoid(-x, fl))


def squareplus(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """(1 + x/√(x² + 4)) / 2."""
    root = fl(np.sqrt(fl(fl(np.square(x)) + 4.0)))
    return fl(0.5 * fl(d * fl(1.0 + fl(x / root))))


def sparse_plus(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """0 for x ≤ -1, 1 for x ≥ 1, (x + 1) / 2 between."""
    return fl(d * np.clip(fl(0.5 * fl(x + 1.0)), 0.0, 1.0))


def sparse_sigmoid(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """1/2 where |x| < 1."""
    return np.where(np.abs(x) < 1.0, 0.5 * d, 0.0)


def hard_tanh(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    return np.where(np.abs(x) <= 1.0, d, 0.0)


def tanh_shrink(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """tanh²(x)."""
    return fl(d * fl(np.square(activations.tanh(x, fl))))


def hard_shrink(x: Array, y: Array, d: Array, fl: Rounding) -> Array:
    """1 where |x| > 1/2; soft_shrink has the same."""
    return np.where(np.abs(x) > 0.5, d, 0.0)


DERIVATIVES: Dict[str, Derivative] = {
    derivative.__name__: derivative
    for derivative in (
        linear, sigmoid, tanh, hard_sigmoid, hard_sigmoid_keras2, exponential, softplus, softsign, softmax,
        log_softmax, sparsemax, relu, relu6, leaky_relu, elu, selu, silu, hard_silu, gelu, mish, log_sigmoid,
        squareplus, sparse_plus, sparse_sigmoid, hard_tanh, tanh_shrink, hard_shrink,
    )
}  # fmt: skip
DERIVATIVES["soft_shrink"] = hard_shrink


def get(activation: Activation) -> Derivative:
    """The derivative of what the argument names. Raises ValueError for a callable, whose derivative is not known."""
    if callable(activation):
        raise ValueError(f"the derivative of {activation!r} is not known; known are those of activations by name")
    return DERIVATIVES[activations.get(activation).__name__]
