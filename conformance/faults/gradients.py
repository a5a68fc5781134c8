"""Faults of gradients: outputs are right, what is propagated back is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Sequence, Tuple

import numpy as np

from conformance.case import Case
from conformance.faults.fault import ChangeOfCase, everywhere, in_every_cell, in_layers, made_with, same_case
from conformance.faults.loops import given_states, masked
from reference_impl import LSTM, RNN, LSTMCell, reorder_gates
from reference_impl.gradients import Differentiated, ModelGradients, differentiate
from reference_impl.layer import Given
from reference_impl.rounding import Rounding
from reference_impl.through_time import Step, StepGradients, differentiate_step
from reference_impl.types import Array, Arrays
from reference_impl.weights import GATES, split_gates

#: From the gradients of a step, the cell's weights and the rounding, those a wrong step hands back.
AroundPullback = Callable[[StepGradients, Sequence[Array], Rounding], StepGradients]

#: From a case and its right gradients, wrong ones.
ChangeOfGradients = Callable[[Case, ModelGradients], ModelGradients]


def _as_they_are(case: Case, gradients: ModelGradients) -> ModelGradients:
    return gradients


@dataclass(frozen=True)
class GradientFault:
    """Wrong gradients: what is wrong, in a sentence, in the cells of a case or in what becomes of all gradients."""

    sentence: str
    of_case: ChangeOfCase = same_case
    of_gradients: ChangeOfGradients = _as_they_are
    where: Callable[[Case], bool] = everywhere


NO_FAULT = GradientFault("")


@dataclass(frozen=True)
class FaultyBackwards(LSTMCell):
    """A cell that steps as it should and is gone back through wrongly."""

    back: Tuple[AroundPullback, ...] = ()


@differentiate_step.register(FaultyBackwards)
def _faulty(cell: FaultyBackwards, x: Array, weights: Sequence[Array], given: Given) -> Step:
    stepped, pullback = differentiate_step.dispatch(LSTMCell)(cell, x, weights, given)

    def faulty(d_output: Array, d_states: Arrays) -> StepGradients:
        step: StepGradients = pullback(d_output, d_states)
        for around in cell.back:
            step = around(step, weights, given.fl)
        return step

    return stepped, faulty


def in_steps(around: AroundPullback) -> ChangeOfCase:
    """Put something around the way back through the step of every LSTM cell."""
    return in_every_cell(FaultyBackwards, "back", around)


def handing_back(h: float, c: float) -> ChangeOfCase:
    """Gradients of the states before a step that are so much of the right ones."""
    return in_steps(lambda step, weights, fl: step._replace(states=(h * step.states[0], c * step.states[1])))


def without_gate(gate: str) -> ChangeOfCase:
    """A gate whose sum is taken for a constant."""

    def around(step: StepGradients, weights: Sequence[Array], fl: Rounding) -> StepGradients:
        ((x, h, d_z),) = step.factors
        parts = zip(GATES, split_gates(d_z))
        d_z = np.concatenate([np.zeros_like(own) if name == gate else own for name, own in parts], axis=-1)
        d_h = fl.matmul(d_z, weights[1].T)
        return StepGradients(fl.matmul(d_z, weights[0].T), (d_h, step.states[1]), ((x, h, d_z),))

    return in_steps(around)


@dataclass(frozen=True)
class UnmaskedBackwards(RNN):
    """A loop that is gone back through as if it had no mask."""


@differentiate.register(UnmaskedBackwards)
def _unmasked(layer: UnmaskedBackwards, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    right = RNN(**made_with(layer))
    _, pullback = differentiate(right, x, weights, given._replace(mask=None))
    return right.run(x, weights, given), pullback


def _unmasked_backwards(layer: Any) -> Any:
    rnn = layer.rnn if isinstance(layer, LSTM) else layer
    return UnmaskedBackwards(**made_with(rnn)) if isinstance(rnn, RNN) else layer


def of_weights(change: Callable[[Case, Array], Array], ndim: Sequence[int] = (2, 3)) -> ChangeOfGradients:
    """A change of the gradients of biases, (batch, 4u), of kernels, (batch, rows, 4u), or of both."""

    def changed(case: Case, gradients: ModelGradients) -> ModelGradients:
        weights = tuple(change(case, own) if own.ndim in ndim else own for own in gradients.weights)
        return gradients._replace(weights=weights)

    return changed


def no_inputs(case: Case, gradients: ModelGradients) -> ModelGradients:
    return gradients._replace(inputs=tuple(np.zeros_like(own) for own in gradients.inputs))


def no_states(case: Case, gradients: ModelGradients) -> ModelGradients:
    return gradients._replace(states=tuple(tuple(np.zeros_like(own) for own in layer) for layer in gradients.states))


def with_bias(case: Case) -> bool:
    return case.has({"use_bias": "True"})


def in_batches(case: Case) -> bool:
    return case.batch > 1


def _interleaved(case: Case, gradient: Array) -> Array:
    interleaved: Array = gradient.reshape(len(gradient), -1, 4).swapaxes(1, 2).reshape(gradient.shape)
    return interleaved


def _gates_exchanged(case: Case, gradient: Array) -> Array:
    return reorder_gates(gradient, ("i", "f", "o", "c")) if gradient.shape[-1] % 4 == 0 else gradient


GRADIENT_FAULTS: Dict[str, GradientFault] = {
    "gradients_truncated": GradientFault("no gradient goes from a step to the one before it", handing_back(0.0, 0.0)),
    "gradients_without_carry": GradientFault("no gradient goes back through the carry", handing_back(1.0, 0.0)),
    "gradients_without_h": GradientFault("no gradient goes back through h", handing_back(0.0, 1.0)),
    **{
        f"gradients_without_gate_{gate}": GradientFault(
            f"the sum of gate {gate} is taken for a constant", without_gate(gate)
        )
        for gate in GATES
    },
    "gradients_gates_exchanged": GradientFault(
        "the gradients of candidate and output gate are exchanged", of_gradients=of_weights(_gates_exchanged)
    ),
    "gradients_no_inputs": GradientFault("the inputs have no gradient", of_gradients=no_inputs),
    "gradients_no_states": GradientFault(
        "the initial states have no gradient", of_gradients=no_states, where=given_states
    ),
    "gradients_no_bias": GradientFault(
        "the bias has no gradient",
        of_gradients=of_weights(lambda case, own: np.zeros_like(own), ndim=[2]),
        where=with_bias,
    ),
    "gradients_bias_interleaved": GradientFault(
        "the bias's gradient is summed along the wrong axis: units and gates are exchanged",
        of_gradients=of_weights(_interleaved, ndim=[2]),
        where=with_bias,
    ),
    "gradients_averaged": GradientFault(
        "the gradients of weights are averaged over the batch and not added up",
        of_gradients=of_weights(lambda case, own: own / case.batch),
        where=in_batches,
    ),
    "gradients_through_masked_steps": GradientFault(
        "gradients go back as if there were no mask", in_layers(_unmasked_backwards), where=masked
    ),
}
