"""What the reference expects of a case."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from conformance.case import Call, Case
from conformance.data import Data, Inputs, draw, seed
from reference_impl import DropoutMasks, Estimate, estimate
from reference_impl.model import States
from reference_impl.rounding import Rounding, copies_for, exact, round_to
from reference_impl.types import Array, Arrays


def expected_outputs(case: Case, data: Data) -> Dict[str, Estimate]:
    """By name, each tensor the model returns in each call and the tolerance around it."""
    shapes = case.model.returned_shapes(case.shapes_of_inputs(case.steps))
    units = min(shape[-1] or 1 for shape in shapes.values())
    names = [_name(name, number) for number in range(len(case.calls)) for name in shapes]
    compute = partial(returned, case, data)
    return dict(zip(names, estimate(compute, case.compute_dtype, seed(case.id), copies_for(case.batch * units))))


def returned(
    case: Case, data: Data, tile: Callable[[Array], Array] = lambda array: array, fl: Rounding = exact
) -> List[Array]:
    """What the model returns in each call, all in a row."""
    weights = [round_to(weight, case.compute_dtype) for weight in data.weights]
    arrays: List[Array] = []
    ends: States = ()
    for call, inputs in zip(case.calls, data.calls):
        x, starts, masks = prepared(case, call, inputs, ends, tile)
        dropout = [_of_copies(masks, len(x[0])) for masks in inputs.dropout]
        outputs, ends = case.model.run(x, weights, starts, masks, fl, dropout)
        arrays += outputs
    return arrays


def prepared(
    case: Case, call: Call, inputs: Inputs, ends: States, tile: Callable[[Array], Array]
) -> Tuple[List[Array], List[Arrays], List[Optional[Array]]]:
    """What a call gives the model: x, the states each layer starts from, and masks."""
    given = tuple(tile(round_to(state, case.compute_dtype)) for state in inputs.states)
    x = [tile(round_to(array, case.compute_dtype)) for array in inputs.x]
    return x, _starts(case, call, given, ends), [None if mask is None else tile(mask) for mask in inputs.masks]


def sees(case: Case) -> bool:
    """Whether the weights make a difference to the case: not where every step is masked or every number is NaN."""
    data = draw(case)
    others = (replace(data, weights=[factor * weight for weight in data.weights]) for factor in (-1.0, 0.5))
    expected = returned(case, data)
    pairs = (pair for other in others for pair in zip(expected, returned(case, other)))
    return not all(np.array_equal(np.nan_to_num(one), np.nan_to_num(other)) for one, other in pairs)


def _starts(case: Case, call: Call, given: Arrays, ends: States) -> List[Arrays]:
    """The states each layer starts a call from: those given, those it ended in if it is stateful, or none."""
    layers = case.model.layers
    starts: List[Arrays] = [()] * len(layers)
    for number, layer in enumerate(layers):
        if layer.stateful and ends and not call.reset:
            starts[number] = tuple(ends[number])
    if given:
        shapes = case.model.state_shapes(case.input_shape)
        starts[next(number for number, own in enumerate(shapes) if own)] = given
    return starts


def _of_copies(masks: DropoutMasks, rows: int) -> DropoutMasks:
    """The dropout masks of a batch, as often as there are copies of it in so many rows."""
    both = (masks.inputs, masks.recurrent)
    return DropoutMasks(*(None if mask is None else np.resize(mask, (rows, *mask.shape[1:])) for mask in both))


def _name(name: str, call: int) -> str:
    return name if call == 0 else f"{name} of call {call + 1}"
