"""Faults around layers: two directions, rows of the batch, states from one call to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from conformance.case import Call, Case
from conformance.data import Data, Inputs
from conformance.faults.fault import (
    ChangeOfCase,
    Fault,
    Halves,
    Running,
    around_bidirectional,
    around_slices,
    faulty_loop,
    in_halves,
    in_layers,
    made_with,
    only,
)
from conformance.faults.loops import Weights
from reference_impl import Bidirectional, TimeDistributed
from reference_impl.layer import Given, Run
from reference_impl.rounding import round_to
from reference_impl.types import Array


def _other_half_first(arrays: Sequence[Any]) -> Tuple[Any, ...]:
    half = len(arrays) // 2
    return (*arrays[half:], *arrays[:half])


def weights_exchanged(run: Running, layer: Bidirectional, x: Array, weights: Weights, given: Given) -> Run:
    exchanged = _other_half_first(weights)
    alike = [own.shape for own in weights] == [other.shape for other in exchanged]
    return run(layer, x, exchanged if alike else weights, given)


def states_exchanged(run: Running, layer: Bidirectional, x: Array, weights: Weights, given: Given) -> Run:
    return run(layer, x, weights, given._replace(states=_other_half_first(given.states)))


def outputs_exchanged(run: Running, layer: Bidirectional, x: Array, weights: Weights, given: Given) -> Run:
    done = run(layer, x, weights, given)
    if layer.merge_mode == "concat":
        joined = np.concatenate(_other_half_first(np.split(done.outputs[0], 2, axis=-1)), axis=-1)
        return done._replace(outputs=(joined, *done.outputs[1:]))
    count = 2 if layer.merge_mode is None else 0
    return done._replace(outputs=(*_other_half_first(done.outputs[:count]), *done.outputs[count:]))


def returned_states_exchanged(run: Running, layer: Bidirectional, x: Array, weights: Weights, given: Given) -> Run:
    done = run(layer, x, weights, given)
    count = 2 if layer.merge_mode is None else 1
    return done._replace(outputs=(*done.outputs[:count], *_other_half_first(done.outputs[count:])))


def _turned(run: Running, rnn: Any, x: Array, weights: Weights, given: Given) -> Run:
    """Outputs from the last to the first."""
    done = run(rnn, x, weights, given)
    return done._replace(outputs=(done.outputs[0][:, ::-1], *done.outputs[1:])) if rnn.return_sequences else done


def not_turned(halves: Halves) -> Halves:
    """The outputs of the second half are merged in the order in which they were read."""
    return halves[0], faulty_loop(halves[1], _turned)


def same_direction(halves: Halves) -> Halves:
    """Both halves read as the first does; the outputs of the second are turned round all the same."""
    return halves[0], replace(halves[1], go_backwards=halves[0].go_backwards)


def merged_by(mode: str) -> ChangeOfCase:
    """The topmost layer merges in another way; below another layer that could not read what comes of it."""

    def change(case: Case) -> Case:
        *below, top = case.model.layers
        if not isinstance(top, Bidirectional):
            return case
        return replace(case, model=replace(case.model, layers=(*below, replace(top, merge_mode=mode))))

    return change


def slices_masked(run: Running, layer: TimeDistributed, x: Array, weights: Weights, given: Given) -> Run:
    """The layer sees no mask; where it is false a slice has the output of the slice before, if it fits the outputs."""
    done = run(layer, x, weights, given._replace(mask=None))
    if given.mask is None:
        return done
    (output,) = done.outputs
    mask = given.mask[..., None] if given.mask.ndim < output.ndim else given.mask
    if any(own not in (1, other) for own, other in zip(mask.shape, output.shape)):
        return run(layer, x, weights, given)
    held = [np.zeros_like(output[:, 0])]
    for number in range(output.shape[1]):
        held.append(np.where(mask[:, number], output[:, number], held[-1]))
    return done._replace(outputs=(np.stack(held[1:], axis=1),))


@dataclass(frozen=True)
class Called(Case):
    """A case with calls of its own."""

    of_calls: Tuple[Call, ...] = ()

    @property
    def calls(self) -> Tuple[Call, ...]:
        return self.of_calls


def called(case: Case, **how: Any) -> Case:
    """The case with all its calls changed."""
    return Called(**{**made_with(case), "of_calls": tuple(replace(call, **how) for call in case.calls)})


def carried_over(case: Case) -> Case:
    """Every layer carries its states from call to call."""
    carrying = called(case)
    change = in_layers(lambda layer: replace(layer, stateful=True) if "stateful" in made_with(layer) else layer)
    return carrying if case.stateful else change(carrying)


def inputs_in_float32(case: Case, data: Data) -> Data:
    """Inputs and initial states are rounded to float32."""

    def rounded(arrays: Sequence[Array]) -> List[Array]:
        return [round_to(array, "float32") for array in arrays]

    calls = (Inputs(rounded(inputs.x), inputs.masks, rounded(inputs.states)) for inputs in data.calls)
    return replace(data, calls=tuple(calls))


def carried_before_given(case: Case, data: Data) -> Data:
    """A stateful layer heeds the states it is given only when it has none of its own."""
    if not case.stateful:
        return data
    first, *others = zip(case.calls, data.calls)
    heeded = (inputs if call.reset else replace(inputs, states=()) for call, inputs in others)
    return replace(data, calls=(first[1], *heeded))


def bidirectional(case: Case) -> bool:
    return case.has({"layer": "Bidirectional"})


def masked_slices(case: Case) -> bool:
    return bool(case.mask) and case.has({"layer": "TimeDistributed"})


def called_again(case: Case) -> bool:
    return len(case.calls) > 1


OF_DIRECTIONS: Dict[str, Fault] = {
    "halves_exchanged": Fault(
        "the forward half has the backward half's weights, and the other way round",
        around_bidirectional(weights_exchanged),
    ),
    "states_of_halves_exchanged": Fault(
        "each half starts from the other's initial states", around_bidirectional(states_exchanged)
    ),
    "outputs_of_halves_exchanged": Fault(
        "the backward half's output comes before the forward half's", around_bidirectional(outputs_exchanged)
    ),
    "returned_states_of_halves_exchanged": Fault(
        "the backward half's states come before the forward half's", around_bidirectional(returned_states_exchanged)
    ),
    "backward_output_not_turned": Fault(
        "the backward half's outputs are merged in the order in which they were read", in_halves(not_turned)
    ),
    "backward_reads_forwards": Fault("the backward half reads as the forward half does", in_halves(same_direction)),
    "merged_by_sum": Fault("the halves are added", merged_by("sum")),
    "merged_by_mul": Fault("the halves are multiplied", merged_by("mul")),
    "merged_by_ave": Fault("the halves are averaged", merged_by("ave")),
    "merged_by_concat": Fault("the halves are put side by side", merged_by("concat")),
}

OF_CALLS: Dict[str, Fault] = {
    "state_not_carried": Fault("no states are carried from call to call", lambda case: called(case, reset=True)),
    "reset_ignored": Fault("states are carried over a reset", lambda case: called(case, reset=False)),
    "state_carried_over": Fault("a layer that is not stateful carries its states to the next call", carried_over),
    "carried_before_given": Fault("states carried over take precedence of states given", of_data=carried_before_given),
}

OF_WRAPPERS: Dict[str, Fault] = {
    **only(bidirectional, OF_DIRECTIONS),
    **only(called_again, OF_CALLS),
    "mask_of_slices": Fault(
        "TimeDistributed takes the mask for one of slices", around_slices(slices_masked), where=masked_slices
    ),
    "inputs_in_float32": Fault("float64 inputs are rounded to float32", of_data=inputs_in_float32),
}
