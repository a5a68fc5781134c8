"""Back-propagation through time: a step, and the steps of a sequence, from the last to the first (Werbos, 1990).

``d_v`` stands for ∂L/∂v. To *differentiate* something is to run it and to return, beside what it did, its *pullback*:
the function that takes the gradient of what was returned to that of what was read, from the values met on the way.
"""

from __future__ import annotations

from functools import reduce, singledispatch
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from reference_impl import derivatives, tangents
from reference_impl.cells import LSTMCell
from reference_impl.derivatives import Derivative
from reference_impl.layer import NOTHING, Given
from reference_impl.rounding import Rounding
from reference_impl.step import NO_DROPOUT, DropoutMasks, lstm_values
from reference_impl.types import Array, Arrays
from reference_impl.weights import split_gates

#: What a cell's weights multiply in a step, x (batch, d) and h (batch, u), and the gradient d_z (batch, 4u) of the sum.
Factors = Tuple[Array, Array, Array]


class StepGradients(NamedTuple):
    """d_x (batch, d), the gradients of the states before the step, (batch, u), and the factors of each cell."""

    inputs: Array
    states: Arrays
    factors: Tuple[Factors, ...]


#: From the gradients of a step's output and of the states after it.
StepPullback = Callable[[Array, Arrays], StepGradients]


#: What a step of a cell returns, and its pullback.
Step = Tuple[Tuple[Array, Arrays], StepPullback]


class Recorded:
    """A cell or layer in all but this: it keeps what each of its steps or runs did, and the pullback."""

    def __init__(self, inner: Any, differentiate: Callable[..., Tuple[Any, Any]]) -> None:
        self._inner, self._differentiate = inner, differentiate
        self.kept: List[Tuple[Any, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Any:
        self.kept.append(self._differentiate(self._inner, x, weights, given))
        return self.kept[-1][0]

    step = run


@singledispatch
def differentiate_step(cell: LSTMCell, x: Array, weights: Sequence[Array], given: Given) -> Step:
    """What ``cell.step`` returns, and its pullback: ``lstm_step`` from its last equation to the first.

    ::

        h' = o ∘ act(c')              d_o = d_h' ∘ act(c')    d_c' += act'(c') ∘ (d_h' ∘ o)
        c' = f ∘ c  +  i ∘ act(z_c)   d_f = d_c' ∘ c          d_c = d_c' ∘ f
                                      d_i = d_c' ∘ act(z_c)   d_z_c = act'(z_c) ∘ (d_c' ∘ i)
        i = σ(z_i), ...               d_z_i = σ'(z_i) ∘ d_i, ...
        z = x·W + h·U + b             d_x = d_z·Wᵀ            d_h = d_z·Uᵀ

    Hochreiter and Schmidhuber (1997) left some of it out; this is all of it, as Graves and Schmidhuber (2005) have it.
    Raises TypeError for another cell.
    """
    if type(cell).step is not LSTMCell.step:
        raise TypeError(f"the derivative of {type(cell).__name__} is not known")
    slopes = derivatives.get(cell.activation), derivatives.get(cell.recurrent_activation)
    return differentiate_with(slopes, cell, x, weights, given)


def differentiate_with(
    slopes: Tuple[Derivative, Derivative], cell: LSTMCell, x: Array, weights: Sequence[Array], given: Given
) -> Step:
    """``differentiate_step`` with these for the derivatives of the cell's activation and of its gates'."""
    fl, (h, c), (dropout,) = given.fl, given.states, given.dropout or (NO_DROPOUT,)
    act, gate = tangents.activation(cell.activation), tangents.activation(cell.recurrent_activation)
    act_back, gate_back = slopes
    v = lstm_values(x, h, c, weights, act, gate, fl, dropout)
    i, f, o = v.gates[:, 0], v.gates[:, 1], v.gates[:, 2]

    def pullback(d_output: Array, d_states: Arrays) -> StepGradients:
        d_h = fl(d_output + d_states[0])
        d_c = fl(d_states[1] + act_back(v.c, v.activated, fl(d_h * o), fl))
        d_gates = np.stack([fl(d_c * v.candidate), fl(d_c * c), fl(d_h * v.activated)], axis=1)
        d_sums = gate_back(v.sums, v.gates, d_gates, fl)
        d_z_c = act_back(v.z_c, v.candidate, fl(d_c * i), fl)
        d_z = np.concatenate([d_sums[:, 0], d_sums[:, 1], d_z_c, d_sums[:, 2]], axis=-1)
        d_x = _through_product(d_z, weights[0], dropout.inputs, fl)
        d_old_h = _through_product(d_z, weights[1], dropout.recurrent, fl)
        return StepGradients(d_x, (d_old_h, fl(d_c * f)), ((x, h, d_z),))

    return (v.h, (v.h, v.c)), pullback


def scan_back(
    cells: Sequence[Recorded], d_outputs: Array, d_states: Arrays, mask: Optional[Array], zero: bool, fl: Rounding
) -> Tuple[Array, Arrays, List[Tuple[Factors, ...]]]:
    """The way back through ``scan`` of LSTM cells on top of each other, with ``zero`` for its zero_output_for_mask.

    ``d_outputs`` (batch, T, u) and ``mask`` (batch, T) are in the order of reading, ``d_states`` those after the last
    step. A masked step hands the states' gradients on as they are, and its output's to the step whose output it
    repeats. Returns d_x (batch, T, d), the first states' gradients and the factors of each step.
    """
    steps: List[StepGradients] = []
    d_repeated = np.zeros_like(d_outputs[:, 0])
    for t in reversed(range(d_outputs.shape[1])):
        pullbacks = [cell.kept[t][1] for cell in cells]
        if mask is None:
            step = _stack_back(pullbacks, d_outputs[:, t], d_states)
        else:
            counts = mask[:, t, np.newaxis].astype(bool)
            d_output = fl(d_outputs[:, t] + d_repeated)
            d_x, d_counting, factors = _stack_back(pullbacks, d_output, d_states)
            step = StepGradients(
                np.where(counts, d_x, 0.0),
                tuple(np.where(counts, d_old, d) for d_old, d in zip(d_counting, d_states)),
                tuple((x, h, np.where(counts, d_z, 0.0)) for x, h, d_z in factors),
            )
            d_repeated = np.where(counts | zero, 0.0, d_output)
        d_states = step.states
        steps.insert(0, step)
    return np.stack([step.inputs for step in steps], axis=1), d_states, [step.factors for step in steps]


def _stack_back(pullbacks: Sequence[StepPullback], d_output: Array, d_states: Arrays) -> StepGradients:
    """A step of cells on top of each other, from the topmost down: d_x of a cell is d_output of the one below."""
    below = StepGradients(d_output, (), ())
    for level in reversed(range(len(pullbacks))):
        step = pullbacks[level](below.inputs, d_states[2 * level : 2 * level + 2])
        below = StepGradients(step.inputs, step.states + below.states, step.factors + below.factors)
    return below


def cell_gradients(factors: Sequence[Factors], use_bias: bool, dropout: DropoutMasks, fl: Rounding) -> Arrays:
    """The gradients of an LSTM cell's weights, (batch, *weight.shape), from its factors in every step."""
    x, h, d_z = (np.stack(arrays, axis=1) for arrays in zip(*factors))
    d_kernel, d_bias = product_gradients(x, d_z, fl, dropout.inputs)
    d_recurrent_kernel, _ = product_gradients(h, d_z, fl, dropout.recurrent)
    return (d_kernel, d_recurrent_kernel, d_bias) if use_bias else (d_kernel, d_recurrent_kernel)


def product_gradients(value: Array, d_z: Array, fl: Rounding, masks: Optional[Array] = None) -> Tuple[Array, Array]:
    """d_W = Σ valueᵀ·d_z (batch, i, j) and d_b = Σ d_z (batch, j) of z = value·W + b.

    value is (batch, T, i), d_z (batch, T, j); dropout's ``masks`` (batch, 4, i) are the same in all T steps.
    """
    d_weight = fl.outer(value, d_z)
    if masks is not None:
        d_weight = fl(d_weight * np.repeat(np.swapaxes(masks, 1, 2), d_z.shape[-1] // 4, axis=-1))
    return d_weight, fl.outer(np.ones((*d_z.shape[:2], 1)), d_z)[:, 0]


def sums(gradients: Sequence[Arrays], fl: Rounding) -> Arrays:
    """The gradients of what is used several times, from those of each use."""
    return tuple(reduce(lambda a, b: fl(a + b), own) for own in zip(*gradients))


def _through_product(d_z: Array, weight: Array, masks: Optional[Array], fl: Rounding) -> Array:
    """d_value = d_z·Wᵀ of z = value·W, for each gate after its dropout mask where there is one."""
    if masks is None:
        return fl.matmul(d_z, weight.T)
    gates = enumerate(zip(split_gates(d_z), split_gates(weight)))
    return sums([(fl(fl.matmul(d, own.T) * masks[:, gate]),) for gate, (d, own) in gates], fl)[0]
