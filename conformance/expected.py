"""What the reference expects of a case."""

from __future__ import annotations

from typing import Callable, Dict, List

from conformance.case import Call, Case
from conformance.data import Data, seed
from reference_impl import Estimate, estimate
from reference_impl.layer import Arrays
from reference_impl.model import States
from reference_impl.rounding import Rounding, copies_for, round_to
from reference_impl.types import Array


def expected_outputs(case: Case, data: Data) -> Dict[str, Estimate]:
    """By name, each tensor the model returns in each call and the tolerance around it."""
    weights = [round_to(weight, case.compute_dtype) for weight in data.weights]

    def compute(tile: Callable[[Array], Array], fl: Rounding) -> List[Array]:
        returned: List[Array] = []
        ends: States = ()
        for call, inputs in zip(case.calls, data.calls):
            x = [tile(round_to(array, case.compute_dtype)) for array in inputs.x]
            given = tuple(tile(round_to(state, case.compute_dtype)) for state in inputs.states)
            masks = [None if mask is None else tile(mask) for mask in inputs.masks]
            outputs, ends = case.model.run(x, weights, _starts(case, call, given, ends), masks, fl)
            returned += outputs
        return returned

    shapes = case.model.returned_shapes(case.shapes_of_inputs(case.steps))
    units = min(shape[-1] or 1 for shape in shapes.values())
    names = [_name(name, number) for number in range(len(case.calls)) for name in shapes]
    return dict(zip(names, estimate(compute, case.compute_dtype, seed(case.id), copies_for(case.batch * units))))


def _starts(case: Case, call: Call, given: Arrays, ends: States) -> List[Arrays]:
    """The states each layer starts a call from: those given, those it ended in if it is stateful, or none."""
    layers = case.model.layers
    starts: List[Arrays] = [()] * len(layers)
    for number, layer in enumerate(layers):
        if layer.stateful and ends and not call.reset:
            starts[number] = tuple(ends[number])
    shapes = case.model.state_shapes(case.input_shape)
    first = next((number for number, own in enumerate(shapes) if own), 0)
    starts[first] = given or starts[first]
    return starts


def _name(name: str, call: int) -> str:
    return name if call == 0 else f"{name} of call {call + 1}"
