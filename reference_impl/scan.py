"""The LSTM over time: initial states, direction and masks."""

from __future__ import annotations

from typing import Callable, Optional, Sequence, Tuple

import numpy as np

from reference_impl.types import Array

State = Tuple[Array, Array]
Step = Callable[[Array, Array, Array], State]


def scan(
    step: Step,
    x: Array,
    state: State,
    mask: Optional[Array] = None,
    go_backwards: bool = False,
    zero_output_for_mask: bool = False,
) -> Tuple[Array, State]:
    """Run ``step(x_t, h, c) -> (h, c)`` over the time axis of x.

    x is (batch, T, d), each state (batch, u), ``mask`` (batch, T) and true where a step counts. A masked step
    leaves h and c as they were; its output repeats the previous output (zeros before the first step that counts,
    whatever h was), or is zero with ``zero_output_for_mask``. With ``go_backwards`` x and mask are read from the last
    step to the first, and outputs stay in the order of reading.

    Returns the outputs (batch, T, u) and the last state (h, c).
    """
    h, c = state
    steps = range(x.shape[1])
    output = np.zeros_like(h)
    outputs = np.zeros((h.shape[0], x.shape[1], h.shape[1]))
    for position, t in enumerate(reversed(steps) if go_backwards else steps):
        new_h, new_c = step(x[:, t], h, c)
        if mask is None:
            h, c, output = new_h, new_c, new_h
        else:
            counts = mask[:, t, np.newaxis].astype(bool)
            h, c = np.where(counts, new_h, h), np.where(counts, new_c, c)
            output = np.where(counts, new_h, 0.0 if zero_output_for_mask else output)
        outputs[:, position] = output
    return outputs, (h, c)


def initial_states(states: Sequence[Array], batch: int, units: int) -> State:
    """The pair (h, c), each (batch, units), an LSTM starts from: ``states`` as given, or zeros where there are none."""
    if not states:
        return np.zeros((batch, units)), np.zeros((batch, units))
    h, c = states
    return h, c
