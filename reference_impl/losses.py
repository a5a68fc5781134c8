"""Losses, as Keras's ``compile`` takes them by name."""

from __future__ import annotations

import numpy as np

from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array


def mean_squared_error(y_true: Array, y_pred: Array, fl: Rounding = exact) -> Array:
    """The mean over the last axis of (y_pred - y_true)², for arrays (batch, ..., d): (batch, ...)."""
    squares = fl(np.square(fl(y_pred - y_true)))
    return fl(squares.mean(axis=-1))
