"""Where a case goes wrong whose cause is not known: in how it is run, in which layer, in which part of a step.

The subject is asked again: the case called eagerly, models of its lower layers, sequences cut short. The states that it
returns itself are what the reference takes its next step from, so that a step that is wrong is told from one that goes
on from what was wrong before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, List, Optional

import numpy as np

from conformance.case import Case, map_layers
from conformance.compare import agree, compared, largest_ratio
from conformance.data import Data, Inputs, seed
from conformance.expected import expected_outputs
from conformance.expression import expression
from conformance.subject import Subject
from reference_impl import LSTM, Estimate, Model, activations, estimate
from reference_impl.rounding import Rounding
from reference_impl.step import lstm_gates
from reference_impl.types import Array


def locate(case: Case, data: Data, subject: Subject) -> str:
    """What can be told of where a case goes wrong, in a sentence, or nothing. No question raises."""
    try:
        with np.errstate(all="ignore"):
            return "; ".join(_told(Probe(case, data, subject)))
    except Exception:  # a subject that is wrong may fail in whatever else it is asked
        return ""


#: A step that is computed from the states before it as it should be.
RIGHT = "h and c are right by themselves"

#: How often a case is asked that may drop something: of six numbers one mask in 64 is the one before.
CALLS = 8


@dataclass(frozen=True)
class Probe:
    """A case that a subject can be asked."""

    case: Case
    data: Data
    subject: Subject

    @property
    def outputs(self) -> List[Array]:
        return self.subject.observe(self.case, self.data).outputs

    @property
    def agrees(self) -> bool:
        return agree(expected_outputs(self.subject.promised(self.case), self.data), self.outputs)

    def of(self, data: Optional[Data] = None, **how: Any) -> Probe:
        """Another case with these fields, and its data."""
        return replace(self, case=replace(self.case, **how), data=data or self.data)


def _told(probe: Probe) -> List[str]:
    if probe.case.mode != "call":
        called = probe.of(mode="call")
        if called.agrees:
            return ["called eagerly, the same model is right"]
        probe = called
    undropped = probe.of(model=map_layers(probe.case.model, _undropped))
    if undropped.case.model != probe.case.model and undropped.agrees:
        first, *others = (probe.outputs for _ in range(CALLS))
        drops = any(not np.array_equal(one, other) for outputs in others for one, other in zip(first, outputs))
        found = ", and calls do not return the same: something is dropped at inference" if drops else ""
        return [f"without dropout= and recurrent_dropout= the same model is right{found}"]
    layers = probe.case.model.layers
    if type(probe.case.model) is Model and len(layers) > 1:
        number = _first_wrong_layer(probe)
        mask = " (or is handed a wrong mask)" if number and probe.case.mask else ""
        which = f"layer {number + 1} of {len(layers)}, {expression(layers[number])},"
        return [f"{which} is the first whose outputs are wrong{mask}"]
    return _told_of_steps(probe)


def _undropped(layer: Any) -> Any:
    """A layer that was told to drop nothing."""
    return replace(layer, dropout=0.0, recurrent_dropout=0.0) if hasattr(layer, "recurrent_dropout") else layer


def _first_wrong_layer(probe: Probe) -> int:
    """The number of the first layer with which the model of the layers up to it is wrong."""
    layers = probe.case.model.layers
    for number in range(len(layers) - 1):
        model = Model(layers[: number + 1])
        count = sum(map(len, model.weight_shapes(probe.case.input_shape)))
        data = replace(probe.data, weights=probe.data.weights[:count])
        stateless = not any(model.state_shapes(probe.case.input_shape))
        if stateless:
            data = replace(data, calls=tuple(replace(call, states=()) for call in data.calls))
        if not probe.of(data, model=model, initial_state=probe.case.initial_state and not stateless).agrees:
            return number
    return len(layers) - 1


def _told_of_steps(probe: Probe) -> List[str]:
    """Of one LSTM that returns its sequence: whether its first wrong step and its last one are wrong by themselves."""
    (layer,) = probe.case.model.layers
    once = len(probe.case.calls) == 1
    if not (isinstance(layer, LSTM) and layer.return_sequences and once and not probe.case.mask):
        return []
    expected = expected_outputs(probe.subject.promised(probe.case), probe.data)
    outputs = probe.outputs
    wrong = next((c for c in compared(expected, outputs) if c.name == "output" and not c.agrees), None)
    if wrong is None:
        return ["the sequence is right, the states are not"]
    first, last = wrong.first[-2], probe.case.steps - 1
    told = [f"step {first} is the first that is wrong: {_of_step(probe, first, outputs[0])}"]
    if last > first:
        of_last = _of_step(probe, last, outputs[0])
        told.append(f"of the last step {of_last}" + (": it goes on from wrong states" if of_last == RIGHT else ""))
    return told


def _of_step(probe: Probe, step: int, sequence: Array) -> str:
    """Which part of a step is wrong by itself, given the subject's own states before it."""
    _, h, c = _after(probe, step + 1)
    carry, output = _one_step(probe, step, c)
    right_c, right_h = agree({"c": carry}, [c]), agree({"h": output}, [h])
    if right_c and right_h:
        returned = largest_ratio([Estimate(h.astype(np.float64), output.tolerance)], [sequence[:, step]]) <= 1.0
        return RIGHT if returned else "h and c are right, but the sequence has something else in the place of h"
    if right_h:
        return "c is wrong (input gate, forget gate or candidate), h follows from it"
    return "h is wrong (output gate or activation)" + ("" if right_c else ", and so is c")


def _after(probe: Probe, steps: int) -> List[Array]:
    """What the subject returns after so many steps: the output, h and c."""
    layer = replace(_lstm(probe.case), return_sequences=False, return_state=True)
    inputs = Inputs([_read(probe, steps)], [None], probe.data.initial_state)
    return probe.of(Data((inputs,), probe.data.weights), steps=steps, model=Model((layer,))).outputs


def _read(probe: Probe, steps: int) -> Array:
    """The first so many steps of x in the order of reading, as they lie in x."""
    x = probe.data.x
    return x[:, -steps:] if _lstm(probe.case).go_backwards else x[:, :steps]


def _lstm(case: Case) -> LSTM:
    (layer,) = case.model.layers
    assert isinstance(layer, LSTM)
    return layer


def _one_step(probe: Probe, step: int, c: Array) -> List[Estimate]:
    """The carry that a step makes of the subject's own states before it, and the output of a carry ``c``."""
    layer = _lstm(probe.subject.promised(probe.case))
    act, gate = activations.get(layer.activation), activations.get(layer.recurrent_activation)
    zeros = tuple(np.zeros(shape) for shape in layer.state_shapes(probe.case.input_shape))
    states = _after(probe, step)[1:] if step else probe.data.initial_state or zeros
    x = _read(probe, step + 1)[:, 0 if layer.go_backwards else -1]
    weights = [weight.astype(np.float64) for weight in probe.data.weights]

    def compute(tile: Callable[[Array], Array], fl: Rounding) -> List[Array]:
        own_x, own_h, own_c, new_c = (tile(array.astype(np.float64)) for array in (x, *states, c))
        i, f, z_c, o = lstm_gates(own_x, own_h, weights, gate, fl)
        return [fl(fl(f * own_c) + fl(i * act(z_c, fl))), fl(o * act(new_c, fl))]

    return estimate(compute, probe.case.compute_dtype, seed(probe.case.id))
