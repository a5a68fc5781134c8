"""Faults of second-order gradients: the gradients are right, but something on the way back is taken for a constant.

A library goes back through its way back; the reference goes it with tangents (``reference_impl.second_order``). Where
the one leaves out entries of the Hessian, the other must leave out the transposed ones. So ∂L/∂h handed back as a
constant is, here, an h that is read without its tangent: what the library hands back to ∂L/∂h is that tangent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Sequence, Tuple

import numpy as np

from conformance.case import Case
from conformance.faults.fault import ChangeOfCase, in_every_cell
from conformance.faults.gradients import GradientFault, in_steps
from reference_impl import LSTMCell, derivatives
from reference_impl.derivatives import Derivative
from reference_impl.gradients import ModelGradients
from reference_impl.layer import Given
from reference_impl.rounding import Rounding
from reference_impl.through_time import Step, StepGradients, differentiate_step, differentiate_with
from reference_impl.types import Array, Arrays

#: The derivatives of a cell's activation and of its gates'.
Slopes = Tuple[Derivative, Derivative]


def _as_they_are(states: Arrays) -> Arrays:
    return states


def _right(slopes: Slopes) -> Slopes:
    return slopes


@dataclass(frozen=True)
class Constants:
    """What a step reads or multiplies with in other tangents than it should."""

    states: Callable[[Arrays], Arrays] = _as_they_are
    slopes: Callable[[Slopes], Slopes] = _right


@dataclass(frozen=True)
class DifferentiableOnce(LSTMCell):
    """A cell whose gradients are right and have wrong gradients."""

    constants: Tuple[Constants, ...] = ()


@differentiate_step.register(DifferentiableOnce)
def _once(cell: DifferentiableOnce, x: Array, weights: Sequence[Array], given: Given) -> Step:
    slopes = derivatives.get(cell.activation), derivatives.get(cell.recurrent_activation)
    for constants in cell.constants:
        slopes, given = constants.slopes(slopes), given._replace(states=constants.states(given.states))
    return differentiate_with(slopes, cell, x, weights, given)


def with_constants(constants: Constants) -> ChangeOfCase:
    """Let the step of every LSTM cell have these."""
    return in_every_cell(DifferentiableOnce, "constants", constants)


def still(array: Array) -> Array:
    """The array without its tangent."""
    return np.real(array)


def constant(derivative: Derivative) -> Derivative:
    """A derivative whose own derivative is left out."""
    return lambda x, y, d, fl: derivative(still(x), still(y), d, fl)


def _still_weights(step: StepGradients, weights: Sequence[Array], fl: Rounding) -> StepGradients:
    ((_, _, d_z),) = step.factors
    d_x, d_h = (fl.matmul(d_z, still(weight).T) for weight in weights[:2])
    return step._replace(inputs=d_x, states=(d_h, step.states[1]))


def _still_factors(step: StepGradients, weights: Sequence[Array], fl: Rounding) -> StepGradients:
    ((x, h, d_z),) = step.factors
    return step._replace(factors=((still(x), still(h), d_z),))


def _nothing(case: Case, products: ModelGradients) -> ModelGradients:
    return ModelGradients(
        tuple(map(np.zeros_like, products.inputs)),
        tuple(map(np.zeros_like, products.weights)),
        tuple(tuple(map(np.zeros_like, own)) for own in products.states),
    )


SECOND_ORDER_FAULTS: Dict[str, GradientFault] = {
    "second_order_none": GradientFault("the gradients are taken for constants", of_gradients=_nothing),
    "second_order_truncated": GradientFault(
        "what a step hands back to the one before it is taken for a constant",
        with_constants(Constants(states=lambda states: (still(states[0]), still(states[1])))),
    ),
    "second_order_without_carry": GradientFault(
        "what a step hands back through the carry is taken for a constant",
        with_constants(Constants(states=lambda states: (states[0], still(states[1])))),
    ),
    "second_order_without_h": GradientFault(
        "what a step hands back through h is taken for a constant",
        with_constants(Constants(states=lambda states: (still(states[0]), states[1]))),
    ),
    "second_order_constant_activation": GradientFault(
        "the derivative of the activation is taken for a constant",
        with_constants(Constants(slopes=lambda slopes: (constant(slopes[0]), slopes[1]))),
    ),
    "second_order_constant_gates": GradientFault(
        "the derivative of the gates' activation is taken for a constant",
        with_constants(Constants(slopes=lambda slopes: (slopes[0], constant(slopes[1])))),
    ),
    "second_order_constant_weights": GradientFault(
        "the way back takes the weights for constants", in_steps(_still_factors)
    ),
    "second_order_constant_factors": GradientFault(
        "the gradients of weights take what these multiply for constants", in_steps(_still_weights)
    ),
}
