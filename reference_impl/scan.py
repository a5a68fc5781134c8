"""A cell over time: direction and masks."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

import numpy as np

from reference_impl.types import Array, Arrays

#: From x_t and the states, the output of the step and the states after it.
Step = Callable[[Array, Arrays], Tuple[Array, Arrays]]


def scan(
    step: Step,
    x: Array,
    states: Arrays,
    mask: Optional[Array] = None,
    go_backwards: bool = False,
    zero_output_for_mask: bool = False,
) -> Tuple[Array, Arrays]:
    """Run ``step`` over the time axis of x.

    x is (batch, T, d), each state (batch, u), ``mask`` (batch, T) and true where a step counts. A masked step
    leaves the states as they were; its output repeats the previous output (zeros before the first step that counts,
    whatever h was), or is zero with ``zero_output_for_mask``. With ``go_backwards`` x and mask are read from the last
    step to the first, and outputs stay in the order of reading.

    Returns the outputs (batch, T, u) and the last states.
    """
    steps = range(x.shape[1])
    outputs: List[Array] = []
    for t in reversed(steps) if go_backwards else steps:
        output, new_states = step(x[:, t], states)
        if mask is None:
            states = new_states
        else:
            counts = mask[:, t, np.newaxis].astype(bool)
            repeated = outputs[-1] if outputs and not zero_output_for_mask else np.zeros_like(output)
            output = np.where(counts, output, repeated)
            states = tuple(np.where(counts, new, old) for new, old in zip(new_states, states))
        outputs.append(output)
    return np.stack(outputs, axis=1), states
