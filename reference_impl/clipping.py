"""Clipping gradients: to a value, or to a norm.

Gradients are float64 arrays ``(runs, *shape)`` whose first axis holds the exact run and its perturbed copies (see
``rounding``), of size 1 where there is one run: a norm is taken over all axes but the first.
"""

from __future__ import annotations

from typing import List, Optional, Sequence

import numpy as np

from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array

#: The arguments of an optimizer that clip.
BOUNDS = ("clipvalue", "clipnorm", "global_clipnorm")


def clipped(
    gradients: Sequence[Array],
    clipnorm: Optional[float] = None,
    clipvalue: Optional[float] = None,
    global_clipnorm: Optional[float] = None,
    fl: Rounding = exact,
) -> List[Array]:
    """The gradients of all weights, clipped in one way or none. Raises ValueError where two are asked for.

    ``clipvalue`` c: each g to [-c, c]. ``clipnorm``: each weight's g·c/max(‖g‖, c). ``global_clipnorm``: the same with
    ‖g‖ of all weights together. Given two of these, Keras 3 raises ValueError; 2.4 to 2.10 clip to the value and then
    to the norm; 2.15 obeys the first of clipnorm, global_clipnorm and clipvalue. The two norms together are a
    ValueError everywhere.
    """
    if sum(bound is not None for bound in (clipnorm, clipvalue, global_clipnorm)) > 1:
        raise ValueError("only one of clipnorm, clipvalue and global_clipnorm can be set")
    if clipvalue is not None:
        bounds = [constant(clipvalue, gradient, fl) for gradient in gradients]
        return [np.clip(gradient, -bound, bound) for gradient, bound in zip(gradients, bounds)]
    if clipnorm is not None:
        return [_shortened(g, fl(np.sqrt(_square_sum(g, fl))), clipnorm, fl) for g in gradients]
    if global_clipnorm is not None:
        norm = fl(np.sqrt(fl(np.sum([_square_sum(g, fl) for g in gradients], axis=0))))
        return [_shortened(g, norm, global_clipnorm, fl) for g in gradients]
    return list(gradients)


def constant(value: float, array: Array, fl: Rounding) -> Array:
    """A number as each run rounds it, to be broadcast against an array (runs, ...)."""
    return fl(np.full((len(array),) + (1,) * (array.ndim - 1), value))


def _square_sum(gradient: Array, fl: Rounding) -> Array:
    """‖g‖² of each run, (runs,)."""
    return fl(fl(np.square(gradient)).reshape((len(gradient), -1)).sum(axis=1))


def _shortened(gradient: Array, norm: Array, bound: float, fl: Rounding) -> Array:
    """g·c/max(‖g‖, c), the norms being (runs,)."""
    limit = constant(bound, gradient, fl)
    return fl(fl(gradient * limit) / np.maximum(norm.reshape(limit.shape), limit))
