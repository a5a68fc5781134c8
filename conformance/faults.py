"""Faults: named wrong LSTMs, each a small change of what the reference is asked."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple, Type

import numpy as np

from conformance.case import Case, map_layers
from conformance.data import Data, Inputs
from reference_impl import LSTM, RNN, Layer, LSTMCell, Model
from reference_impl.activations import Activation
from reference_impl.layer import NOTHING, Arrays, Given, Run
from reference_impl.rounding import round_to
from reference_impl.types import Array, Shape
from reference_impl.weights import split_gates


def _same_case(case: Case) -> Case:
    return case


def _same_data(case: Case, data: Data) -> Data:
    return data


@dataclass(frozen=True)
class Fault:
    """A wrong LSTM: what it does, in a sentence, and how a case or its data look to a subject that has it."""

    sentence: str
    of_case: Callable[[Case], Case] = _same_case
    of_data: Callable[[Case, Data], Data] = _same_data


def applied(names: Iterable[str], case: Case, data: Data) -> Tuple[Case, Data]:
    """The case and its data as a subject with all these faults evaluates them."""
    for name in names:
        case, data = FAULTS[name].of_case(case), FAULTS[name].of_data(case, data)
    return case, data


def sparsemax_of_summed_sums(x: Array) -> Array:
    """Sparsemax whose threshold is taken from the sum of all cumulative sums in the support, not from the last."""
    descending = -np.sort(-x, axis=-1)
    sums = np.cumsum(descending, axis=-1)
    support = 1.0 + np.arange(1, x.shape[-1] + 1) * descending > sums
    size = support.sum(axis=-1, keepdims=True)
    threshold = ((sums * support).sum(axis=-1, keepdims=True) - 1.0) / size
    projected: Array = np.maximum(x - threshold, 0.0)
    return projected


def with_activation(name: str, other: Activation) -> Callable[[Case], Case]:
    """A change that puts ``other`` in the place of the activation called ``name``."""

    def change(layer: Any) -> Any:
        used = {argument: getattr(layer, argument, None) for argument in ("activation", "recurrent_activation")}
        return replace(layer, **{argument: other for argument, value in used.items() if value == name})

    return lambda case: replace(case, model=map_layers(case.model, change))


@dataclass(frozen=True)
class Unmasked(Layer):
    """A layer that hands its mask on without heeding it."""

    layer: Layer

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        return self.layer.stateful

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return self.layer.weight_shapes(features)

    def state_shapes(self, input_shape: Shape) -> Tuple[Shape, ...]:
        return self.layer.state_shapes(input_shape)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        return self.layer.output_shapes(input_shape)

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        handed_on = self.layer.run(x, weights, given).mask
        return self.layer.run(x, weights, given._replace(mask=None))._replace(mask=handed_on)


def unmasked_with_states(case: Case) -> Case:
    """The layer that is given initial states does not heed a mask that comes with its input."""
    if not case.initial_state or case.mask_dtype:
        return case
    layers = list(case.model.layers)
    first = next(number for number, shapes in enumerate(case.model.state_shapes(case.input_shape)) if shapes)
    layers[first] = Unmasked(layers[first])
    return replace(case, model=Model(tuple(layers)))


@dataclass(frozen=True)
class ZeroedInReverse(RNN):
    """An RNN that, unrolled and reading backwards, zeroes the outputs of masked steps counted from the other end."""

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        concerned = self.unroll and self.go_backwards and self.return_sequences and self.zero_output_for_mask
        if given.mask is None or not concerned:
            return super().run(x, weights, given)
        run = replace(self, zero_output_for_mask=False).run(x, weights, given)
        return run._replace(outputs=(np.where(given.mask[..., np.newaxis], run.outputs[0], 0.0), *run.outputs[1:]))


@dataclass(frozen=True)
class MaskNotReversed(RNN):
    """An RNN that, reading backwards, hands its mask on in the order of its inputs."""

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        return super().run(x, weights, given)._replace(mask=given.mask if self.return_sequences else None)


@dataclass(frozen=True)
class LastZeroed(RNN):
    """An RNN that zeroes the one output of a layer without ``return_sequences`` where the last step is masked."""

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        run = super().run(x, weights, given)
        if given.mask is None or self.return_sequences or not self.zero_output_for_mask:
            return run
        last = given.mask[:, 0 if self.go_backwards else -1, np.newaxis]
        return run._replace(outputs=(np.where(last, run.outputs[0], 0.0), *run.outputs[1:]))


def with_rnn(wrong: Type[RNN]) -> Callable[[Case], Case]:
    """A change that puts ``wrong`` in the place of RNN, and of LSTM, which is one; what was wrong before remains."""

    def change(layer: Any) -> Any:
        rnn = layer.rnn if isinstance(layer, LSTM) else layer
        if not isinstance(rnn, RNN):
            return layer
        kind = wrong if type(rnn) is RNN else type("Both", (wrong, type(rnn)), {})
        return kind(**_arguments(rnn))

    return lambda case: replace(case, model=map_layers(case.model, change))


@dataclass(frozen=True)
class InputGateForCandidate(LSTMCell):
    """A cell whose candidate, where no activation sets it apart, is what the input gate's activation is applied to."""

    def step(self, x: Array, weights: Sequence[Array], given: Given) -> Tuple[Array, Arrays]:
        fused = self.implementation == 2 and not self.recurrent_dropout
        if fused and self.activation is None and self.recurrent_activation == "sigmoid":
            weights = [np.concatenate([i, f, i, o], axis=-1) for i, f, _, o in map(split_gates, weights)]
        return super().step(x, weights, given)


def with_cell(wrong: Type[LSTMCell]) -> Callable[[Case], Case]:
    """A change that puts ``wrong`` in the place of LSTMCell, and of the one in an LSTM."""

    def change(layer: Any) -> Any:
        if isinstance(layer, LSTM):
            return map_layers(layer.rnn, change)
        return wrong(**_arguments(layer)) if type(layer) is LSTMCell else layer

    return lambda case: replace(case, model=map_layers(case.model, change))


def _arguments(layer: Any) -> Dict[str, Any]:
    return {field.name: getattr(layer, field.name) for field in fields(layer)}


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


FAULTS: Dict[str, Fault] = {
    "sparsemax_of_summed_sums": Fault(
        "sparsemax takes its threshold from the sum of all cumulative sums in the support",
        with_activation("sparsemax", sparsemax_of_summed_sums),
    ),
    "unmasked_with_states": Fault(
        "a mask that comes with the input is lost beside initial states", unmasked_with_states
    ),
    "zeroed_in_reverse": Fault("unrolled and backwards, the wrong outputs are zeroed", with_rnn(ZeroedInReverse)),
    "mask_not_reversed": Fault("a layer that reads backwards hands on its mask as it came", with_rnn(MaskNotReversed)),
    "last_zeroed": Fault("the last output is zeroed where the last step is masked", with_rnn(LastZeroed)),
    "input_gate_for_candidate": Fault(
        "without an activation the candidate is the input gate's sum", with_cell(InputGateForCandidate)
    ),
    "inputs_in_float32": Fault("float64 inputs are rounded to float32", of_data=inputs_in_float32),
    "carried_before_given": Fault("states carried over take precedence of states given", of_data=carried_before_given),
}
