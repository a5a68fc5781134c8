"""Patterns of masks: which time steps of which batch rows count."""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np

from reference_impl.types import Array

#: From the row and step of every element, and the numbers of both, whether it counts. Rows differ in how many do.
Pattern = Callable[[Array, Array, int, int], Array]

PATTERNS: Dict[str, Pattern] = {
    "right_padding": lambda row, step, rows, steps: step < np.maximum(1, steps - 1 - row),
    "left_padding": lambda row, step, rows, steps: step >= np.minimum(steps - 1, 1 + row),
    "gaps": lambda row, step, rows, steps: (step + row) % 3 != 1,
    "first_step": lambda row, step, rows, steps: step > 0,
    "last_step": lambda row, step, rows, steps: step < steps - 1,
    "masked_row": lambda row, step, rows, steps: (row != rows - 1) & (step + 1 < steps),
    "all_masked": lambda row, step, rows, steps: step < 0,
}


def pattern(name: str, batch: int, steps: int) -> Array:
    """The mask of this name, bool of shape (batch, T), true where a step counts."""
    row, step = np.indices((batch, steps))
    return PATTERNS[name](row, step, batch, steps)
