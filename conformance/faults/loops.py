"""Faults in the loop over time: masks, direction, states, what is returned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, Sequence

import numpy as np

from conformance.case import Case, map_layers
from conformance.data import Data
from conformance.faults.fault import AroundRun, Fault, Running, change_of_loop, in_loops, only
from reference_impl import RNN
from reference_impl.layer import Given, Run
from reference_impl.types import Array, Arrays

Weights = Sequence[Array]


def with_mask(change: Callable[[RNN, Array], Any]) -> AroundRun:
    """A loop that heeds another mask; it hands on the one it was given."""

    def around(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
        if given.mask is None:
            return run(rnn, x, weights, given)
        heeding = run(rnn, x, weights, given._replace(mask=change(rnn, given.mask)))
        return heeding._replace(mask=rnn.handed_on(given.mask))

    return around


def with_x(change: Callable[[Array], Array]) -> AroundRun:
    """A loop that reads another x."""
    return lambda run, rnn, x, weights, given: run(rnn, change(x), weights, given)


def with_arguments(change: Callable[[RNN], Dict[str, Any]]) -> AroundRun:
    """A loop with other arguments than it was made with."""
    return lambda run, rnn, x, weights, given: run(replace(rnn, **change(rnn)), x, weights, given)


def with_initial_states(change: Callable[[Arrays], Arrays]) -> Callable[[Case, Data], Data]:
    """Initial states other than those given."""

    def changed(case: Case, data: Data) -> Data:
        return replace(data, calls=tuple(replace(call, states=change(tuple(call.states))) for call in data.calls))

    return changed


def returning_states(change: Callable[[Arrays], Arrays]) -> AroundRun:
    """A loop that returns other states than those it ends in."""

    def around(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
        done = run(rnn, x, weights, given)
        return done._replace(outputs=(done.outputs[0], *change(done.outputs[1:])))

    return around


def returning(change: Callable[[RNN, Array, Given], Array]) -> AroundRun:
    """A loop that returns something else made of its outputs (batch, T, u), which come in the order of reading."""

    def around(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
        done = run(rnn, x, weights, given)
        zero = rnn.zero_output_for_mask and rnn.return_sequences  # of no use without
        every = replace(rnn, return_sequences=True, zero_output_for_mask=zero)
        outputs = run(every, x, weights, given).outputs[0]
        return done._replace(outputs=(change(rnn, outputs, given), *done.outputs[1:]))

    return around


def _late(array: Array) -> Array:
    """One step later, the first step twice."""
    return np.concatenate([array[:, :1], array[:, :-1]], axis=1)


def _early(array: Array) -> Array:
    """One step earlier, the last step twice."""
    return np.concatenate([array[:, 1:], array[:, -1:]], axis=1)


def _exchanged(states: Arrays) -> Arrays:
    """h and c of each cell in each other's place."""
    return tuple(states[number ^ 1] for number in range(len(states)))


def _without(*which: int) -> Callable[[Arrays], Arrays]:
    """Zeros for h (0), c (1) or both of each cell."""
    return lambda states: tuple(
        np.zeros_like(state) if number % 2 in which else state for number, state in enumerate(states)
    )


def _of_the_next_row(states: Arrays) -> Arrays:
    return tuple(np.roll(state, -1, axis=0) for state in states)


def _last_or_all(rnn: RNN, outputs: Array) -> Array:
    return outputs if rnn.return_sequences else outputs[:, -1]


def _in_time(rnn: RNN, outputs: Array, given: Given) -> Array:
    """Outputs in the order of x, whichever the order of reading was; a single one is the last of that order."""
    return _last_or_all(rnn, outputs[:, ::-1] if rnn.go_backwards else outputs)


def mask_updates_states(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
    """Outputs as they should be, of states that masked steps do change."""
    if given.mask is None:
        return run(rnn, x, weights, given)
    every = run(replace(rnn, return_sequences=True), x, weights, given._replace(mask=None))
    outputs, states = every.outputs[0], every.states
    mask = given.mask[:, ::-1] if rnn.go_backwards else given.mask
    zero = rnn.zero_output_for_mask and rnn.return_sequences
    kept = [np.zeros_like(outputs[:, 0])]
    for t in range(outputs.shape[1]):
        counts = mask[:, t, np.newaxis].astype(bool)
        kept.append(np.where(counts, outputs[:, t], np.zeros_like(kept[0]) if zero else kept[-1]))
    output = _last_or_all(rnn, np.stack(kept[1:], axis=1))
    return Run((output, *states) if rnn.return_state else (output,), states, rnn.handed_on(given.mask))


def first_output_repeats_h0(rnn: RNN, outputs: Array, given: Given) -> Array:
    """Before the first step that counts the output is h0, where it should be zero."""
    if given.mask is None or not given.states or (rnn.zero_output_for_mask and rnn.return_sequences):
        return _last_or_all(rnn, outputs)
    mask = given.mask[:, ::-1] if rnn.go_backwards else given.mask
    begun = np.logical_or.accumulate(mask.astype(bool), axis=1)[..., np.newaxis]
    return _last_or_all(rnn, np.where(begun, outputs, given.states[-2][:, np.newaxis]))


def last_by_index(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
    """The one output is what the last step computes, though it be masked."""
    done = run(rnn, x, weights, given)
    if given.mask is None or rnn.return_sequences:
        return done
    mask = np.array(given.mask, dtype=bool)
    mask[:, 0 if rnn.go_backwards else -1] = True
    output = run(rnn, x, weights, given._replace(mask=mask)).outputs[0]
    return done._replace(outputs=(output, *done.outputs[1:]))


def zeroed_in_reverse(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
    """Unrolled and reading backwards, the outputs of masked steps counted from the other end are zeroed."""
    concerned = rnn.unroll and rnn.go_backwards and rnn.return_sequences and rnn.zero_output_for_mask
    if given.mask is None or not concerned:
        return run(rnn, x, weights, given)
    done = run(replace(rnn, zero_output_for_mask=False), x, weights, given)
    return done._replace(outputs=(np.where(given.mask[..., np.newaxis], done.outputs[0], 0.0), *done.outputs[1:]))


def last_zeroed(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
    """The one output of a layer without ``return_sequences`` is zeroed where the last step is masked."""
    done = run(rnn, x, weights, given)
    if given.mask is None or rnn.return_sequences or not rnn.zero_output_for_mask:
        return done
    last = given.mask[:, 0 if rnn.go_backwards else -1, np.newaxis]
    return done._replace(outputs=(np.where(last, done.outputs[0], 0.0), *done.outputs[1:]))


def mask_not_reversed(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
    """Reading backwards, the mask is handed on in the order of the inputs."""
    return run(rnn, x, weights, given)._replace(mask=given.mask if rnn.return_sequences else None)


def mask_not_handed_on(run: Running, rnn: RNN, x: Array, weights: Weights, given: Given) -> Run:
    return run(rnn, x, weights, given)._replace(mask=None)


def unmasked_with_states(case: Case) -> Case:
    """The layer that is given initial states does not heed a mask that comes with its input."""
    if not case.initial_state or case.mask_dtype:
        return case
    layers = list(case.model.layers)
    first = next(number for number, shapes in enumerate(case.model.state_shapes(case.input_shape)) if shapes)
    layers[first] = map_layers(layers[first], change_of_loop(with_mask(lambda rnn, mask: None)))
    return replace(case, model=replace(case.model, layers=tuple(layers)))


def rows_mixed(case: Case) -> Case:
    """Each row of the batch reads the inputs of the next one, and its own mask."""

    def of_next_row(x: Array) -> Array:
        batches = x.reshape((-1, case.batch, *x.shape[1:]))  # one, or the perturbed copies of one
        return np.roll(batches, -1, axis=1).reshape(x.shape)

    return in_loops(with_x(of_next_row))(case)


def masked(case: Case) -> bool:
    return bool(case.mask)


def given_states(case: Case) -> bool:
    return case.initial_state


OF_MASKS: Dict[str, Fault] = {
    "mask_ignored": Fault("the mask is ignored", in_loops(with_mask(lambda rnn, mask: None))),
    "mask_inverted": Fault(
        "the steps that count are taken for masked ones", in_loops(with_mask(lambda rnn, mask: ~mask))
    ),
    "mask_late": Fault("the mask is read one step late", in_loops(with_mask(lambda rnn, mask: _late(mask)))),
    "mask_early": Fault("the mask is read one step early", in_loops(with_mask(lambda rnn, mask: _early(mask)))),
    "mask_not_read_backwards": Fault(
        "with go_backwards the mask is still read forwards",
        in_loops(with_mask(lambda rnn, mask: mask[:, ::-1] if rnn.go_backwards else mask)),
    ),
    "mask_not_reversed": Fault(
        "a layer that reads backwards hands on its mask as it came", in_loops(mask_not_reversed)
    ),
    "mask_not_handed_on": Fault("the mask is not handed on to the next layer", in_loops(mask_not_handed_on)),
    "mask_updates_states": Fault("masked steps change the states", in_loops(mask_updates_states)),
    "unmasked_with_states": Fault(
        "a mask that comes with the input is lost beside initial states", unmasked_with_states
    ),
    "masked_output_zero": Fault(
        "the outputs of masked steps are zero and not the output before",
        in_loops(with_arguments(lambda rnn: {"zero_output_for_mask": True})),
    ),
    "masked_output_repeated": Fault(
        "the outputs of masked steps repeat the output before and are not zero",
        in_loops(with_arguments(lambda rnn: {"zero_output_for_mask": False})),
    ),
    "first_output_repeats_h0": Fault(
        "before the first step that counts the output is h0 and not zero", in_loops(returning(first_output_repeats_h0))
    ),
    "zeroed_in_reverse": Fault("unrolled and backwards, the wrong outputs are zeroed", in_loops(zeroed_in_reverse)),
    "last_zeroed": Fault("the last output is zeroed where the last step is masked", in_loops(last_zeroed)),
    "last_by_index": Fault("the last output is that of the last step, though it be masked", in_loops(last_by_index)),
}

OF_STATES: Dict[str, Fault] = {
    "h_c_exchanged_given": Fault("the initial states h and c are exchanged", of_data=with_initial_states(_exchanged)),
    "h0_ignored": Fault("h starts from zero and not from h0", of_data=with_initial_states(_without(0))),
    "c0_ignored": Fault("c starts from zero and not from c0", of_data=with_initial_states(_without(1))),
    "initial_state_ignored": Fault("the initial states are ignored", of_data=with_initial_states(_without(0, 1))),
    "states_of_the_next_row": Fault(
        "each row starts from the initial states of the next one", of_data=with_initial_states(_of_the_next_row)
    ),
}


def read_backwards(case: Case) -> bool:
    return case.has({"go_backwards": "True"}) or case.has({"layer": "Bidirectional"})


def last_returned(case: Case) -> bool:
    return case.has({"return_sequences": "False"})


OF_DIRECTION: Dict[str, Fault] = {
    "go_backwards_ignored": Fault(
        "go_backwards is ignored", in_loops(with_arguments(lambda rnn: {"go_backwards": False}))
    ),
    "outputs_in_the_order_of_time": Fault(
        "with go_backwards the outputs are put back in the order of x", in_loops(returning(_in_time))
    ),
}

OF_THE_LAST: Dict[str, Fault] = {
    "first_for_last": Fault(
        "the first output is returned for the last",
        in_loops(returning(lambda rnn, outputs, given: outputs if rnn.return_sequences else outputs[:, 0])),
    ),
    "last_but_one_for_last": Fault(
        "the output before the last is returned for the last",
        in_loops(returning(lambda rnn, outputs, given: outputs if rnn.return_sequences else outputs[:, -2:][:, 0])),
    ),
}

OF_LOOPS: Dict[str, Fault] = {
    **only(masked, OF_MASKS),
    **only(given_states, OF_STATES),
    **only(read_backwards, OF_DIRECTION),
    **only(last_returned, OF_THE_LAST),
    "go_backwards_always": Fault(
        "the steps are read from the last to the first", in_loops(with_arguments(lambda rnn: {"go_backwards": True}))
    ),
    "inputs_late": Fault("each step reads the input of the step before", in_loops(with_x(_late))),
    "inputs_early": Fault("each step reads the input of the step behind", in_loops(with_x(_early))),
    "rows_mixed": Fault("each row of the batch reads the inputs of the next one", rows_mixed),
    "outputs_late": Fault(
        "each step returns the output of the step before",
        in_loops(returning(lambda rnn, outputs, given: _last_or_all(rnn, _late(outputs)))),
    ),
    "h_c_exchanged_returned": Fault(
        "the returned states h and c are exchanged", in_loops(returning_states(_exchanged))
    ),
}
