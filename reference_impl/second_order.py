"""Second-order gradients: the Hessian of L times a vector.

L is the sum of ⟨∂L/∂output, output⟩ over all outputs, as in ``gradients``, and θ all that its gradient is with respect
to. H·v = d/ds ∇L(θ + s·v) at s = 0, the tangent of the gradient where θ moves in the direction v (Pearlmutter, "Fast
exact multiplication by the Hessian", 1994). So nothing new is differentiated here: the way back is gone with numbers
that carry a tangent.

Automatic differentiation that goes back through its own way back computes the same tangents in another order: what
is handed back to ∂L/∂y there is ẏ, and what is handed back to y is the tangent of ∂L/∂y.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from reference_impl.gradients import ModelGradients, model_gradients
from reference_impl.model import Masks, Model, States
from reference_impl.rounding import Rounding, exact
from reference_impl.tangents import RoundingBoth, moving, tangent
from reference_impl.types import Array, Arrays


def hessian_product(
    direction: ModelGradients,
    model: Model,
    inputs: Sequence[Array],
    weights: Sequence[Array],
    states: States,
    masks: Masks,
    d_outputs: Arrays,
    fl: Rounding = exact,
) -> ModelGradients:
    """H·v, laid out as ``model_gradients`` lays out the gradients for the arguments behind the first.

    The ``direction`` v has for each input, each weight and each state that is given an array of its shape; tokens,
    which cannot move, have zeros. Raises ValueError as ``tangents.activation`` does.
    """
    moved = model_gradients(
        model,
        _all_moving(inputs, direction.inputs),
        _all_moving(weights, direction.weights),
        [_all_moving(*own) for own in zip(states, direction.states)],
        masks,
        d_outputs,
        RoundingBoth(fl),
    )
    return ModelGradients(
        tuple(map(tangent, moved.inputs)),
        tuple(map(tangent, moved.weights)),
        tuple(tuple(map(tangent, own)) for own in moved.states),
    )


def _all_moving(values: Sequence[Array], tangents: Sequence[Array]) -> Arrays:
    """What does not move stays real: tokens must, which say where to look."""
    return tuple(moving(*pair) if np.any(pair[1]) else pair[0] for pair in zip(values, tangents))
