"""Faults in the step of a cell: its weights, its activations, what it reads."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from conformance.faults.fault import AroundStep, ChangeOfCase, Fault, Stepping, in_cells, in_layers
from reference_impl import LSTMCell, activations
from reference_impl.activations import Activation, Function
from reference_impl.layer import Given
from reference_impl.step import NO_DROPOUT, lstm_gates
from reference_impl.types import Array, Arrays
from reference_impl.weights import GATES, split_gates

Weights = Sequence[Array]


def with_weights(change: Callable[..., List[Array]]) -> ChangeOfCase:
    """A change of the weights a cell computes with: its kernel, its recurrent kernel and its bias, if it has one."""

    def around(step: Stepping, cell: LSTMCell, x: Array, weights: Weights, given: Given) -> Tuple[Array, Arrays]:
        return step(cell, x, change(*weights), given)

    return in_cells(around)


def gates_taken_in(order: Sequence[str]) -> ChangeOfCase:
    """The slices of every weight are taken for the gates in this order."""

    def reordered(array: Array) -> Array:
        slices = split_gates(array)
        return np.concatenate([slices[order.index(gate)] for gate in GATES], axis=-1)

    return with_weights(lambda *weights: [reordered(weight) for weight in weights])


def of_each_gate(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A change of each gate's slice of a weight."""
    return lambda weight: np.concatenate([change(gate) for gate in split_gates(weight)], axis=-1)


def of_the_forget_gate(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A change of the forget gate's slice of a weight."""

    def changed(weight: Array) -> Array:
        i, f, c, o = split_gates(weight)
        return np.concatenate([i, change(f), c, o], axis=-1)

    return changed


def in_the_kernel(change: Callable[[Array], Array]) -> ChangeOfCase:
    return with_weights(lambda kernel, *others: [change(kernel), *others])


def in_the_recurrent_kernel(change: Callable[[Array], Array]) -> ChangeOfCase:
    return with_weights(lambda kernel, recurrent, *bias: [kernel, change(recurrent), *bias])


def in_the_bias(change: Callable[[Array], Array]) -> ChangeOfCase:
    return with_weights(lambda kernel, recurrent, *bias: [kernel, recurrent, *map(change, bias)])


def transposed(gate: Array) -> Array:
    """A gate's matrix read column by column as if it lay row by row; a square one is transposed."""
    columns: Array = gate.reshape(gate.shape[::-1]).T
    return columns


def activated(candidate: Optional[Activation] = "", output: Optional[Activation] = "") -> AroundStep:
    """A step whose candidate or output has another activation than the layer's; "σ" is the recurrent one."""

    def around(step: Stepping, cell: LSTMCell, x: Array, weights: Weights, given: Given) -> Tuple[Array, Arrays]:
        def of(other: Optional[Activation]) -> Function:
            name = cell.activation if other == "" else cell.recurrent_activation if other == "σ" else other
            return activations.get(name)

        (dropout,), fl, (h, c) = given.dropout or (NO_DROPOUT,), given.fl, given.states
        gate = activations.get(cell.recurrent_activation)
        i, f, z_c, o = lstm_gates(x, h, weights, gate, fl, dropout)
        c = fl(fl(f * c) + fl(i * of(candidate)(z_c, fl)))
        h = fl(o * of(output)(c, fl))
        return h, (h, c)

    return around


def with_activation(name: str, other: Activation) -> ChangeOfCase:
    """A change that puts ``other`` in the place of the activation called ``name``."""

    def change(layer: Any) -> Any:
        used = {argument: getattr(layer, argument, None) for argument in ("activation", "recurrent_activation")}
        return replace(layer, **{argument: other for argument, value in used.items() if value == name})

    return in_layers(change)


def activations_exchanged(layer: Any) -> Any:
    """The layer with each of its two activations in the place of the other."""
    if not hasattr(layer, "recurrent_activation"):
        return layer
    return replace(layer, activation=layer.recurrent_activation, recurrent_activation=layer.activation)


def sparsemax_of_summed_sums(x: Array) -> Array:
    """Sparsemax whose threshold is taken from the sum of all cumulative sums in the support, not from the last."""
    descending = -np.sort(-x, axis=-1)
    sums = np.cumsum(descending, axis=-1)
    support = 1.0 + np.arange(1, x.shape[-1] + 1) * descending > sums
    size = support.sum(axis=-1, keepdims=True)
    threshold = ((sums * support).sum(axis=-1, keepdims=True) - 1.0) / size
    projected: Array = np.maximum(x - threshold, 0.0)
    return projected


def input_gate_for_candidate(
    step: Stepping, cell: LSTMCell, x: Array, weights: Weights, given: Given
) -> Tuple[Array, Arrays]:
    """A candidate that no activation sets apart is what the input gate's activation is applied to."""
    fused = cell.implementation == 2 and not cell.recurrent_dropout
    if fused and cell.activation is None and cell.recurrent_activation == "sigmoid":
        weights = [np.concatenate([i, f, i, o], axis=-1) for i, f, _, o in map(split_gates, weights)]
    return step(cell, x, weights, given)


def scaled_by_keep_rates(inputs: bool = False, states: bool = False) -> AroundStep:
    """A step that reads x or h times what dropout keeps on average in training, as dropout once was meant."""

    def around(step: Stepping, cell: LSTMCell, x: Array, weights: Weights, given: Given) -> Tuple[Array, Arrays]:
        h, c = given.states
        x = (1.0 - cell.dropout) * x if inputs else x
        h = (1.0 - cell.recurrent_dropout) * h if states else h
        return step(cell, x, weights, given._replace(states=(h, c)))

    return around


GATE_ORDERS: Dict[str, Fault] = {
    f"gates_{''.join(order)}": Fault(f"the gates are taken in the order {', '.join(order)}", gates_taken_in(order))
    for order in permutations(GATES)
    if order != GATES
}

OF_CELLS: Dict[str, Fault] = {
    # First, so that in pairs what else is wrong with a cell lies around them: they do not ask the step below.
    "candidate_not_activated": Fault("the candidate has no activation", in_cells(activated(candidate=None))),
    "candidate_activated_as_gate": Fault("the candidate has the gates' activation", in_cells(activated(candidate="σ"))),
    "output_not_activated": Fault(
        "the carry goes into the output without its activation", in_cells(activated(output=None))
    ),
    **GATE_ORDERS,
    "kernel_transposed": Fault("each gate's kernel is transposed", in_the_kernel(of_each_gate(transposed))),
    "recurrent_kernel_transposed": Fault(
        "each gate's recurrent kernel is transposed", in_the_recurrent_kernel(of_each_gate(transposed))
    ),
    "kernel_rows_reversed": Fault("the rows of the kernel are reversed", in_the_kernel(lambda w: w[::-1])),
    "recurrent_kernel_rows_reversed": Fault(
        "the rows of the recurrent kernel are reversed", in_the_recurrent_kernel(lambda w: w[::-1])
    ),
    "recurrent_kernel_ignored": Fault("the recurrent kernel is ignored", in_the_recurrent_kernel(np.zeros_like)),
    "bias_missing": Fault("the bias is not added", in_the_bias(np.zeros_like)),
    "bias_twice": Fault("the bias is added twice", in_the_bias(lambda b: 2.0 * b)),
    "forget_bias_again": Fault(
        "1 is added to the forget gate's bias", in_the_bias(of_the_forget_gate(lambda b: b + 1.0))
    ),
    "forget_bias_missing": Fault("the forget gate has no bias", in_the_bias(of_the_forget_gate(np.zeros_like))),
    "hard_sigmoid_keras2_for_sigmoid": Fault(
        "Keras 2's hard_sigmoid is used for sigmoid", with_activation("sigmoid", "hard_sigmoid_keras2")
    ),
    "hard_sigmoid_keras3_for_sigmoid": Fault(
        "Keras 3's hard_sigmoid is used for sigmoid", with_activation("sigmoid", "hard_sigmoid")
    ),
    "hard_sigmoid_keras2_for_keras3": Fault(
        "Keras 2's hard_sigmoid is used for Keras 3's", with_activation("hard_sigmoid", "hard_sigmoid_keras2")
    ),
    "hard_sigmoid_keras3_for_keras2": Fault(
        "Keras 3's hard_sigmoid is used for Keras 2's", with_activation("hard_sigmoid_keras2", "hard_sigmoid")
    ),
    "sigmoid_for_hard_sigmoid": Fault("sigmoid is used for hard_sigmoid", with_activation("hard_sigmoid", "sigmoid")),
    "sigmoid_for_hard_sigmoid_keras2": Fault(
        "sigmoid is used for hard_sigmoid", with_activation("hard_sigmoid_keras2", "sigmoid")
    ),
    "activations_exchanged": Fault(
        "activation and recurrent_activation are exchanged", in_layers(activations_exchanged)
    ),
    "sparsemax_of_summed_sums": Fault(
        "sparsemax takes its threshold from the sum of all cumulative sums in the support",
        with_activation("sparsemax", sparsemax_of_summed_sums),
    ),
    "input_gate_for_candidate": Fault(
        "without an activation the candidate is the input gate's sum", in_cells(input_gate_for_candidate)
    ),
    "inputs_scaled_by_keep_rate": Fault(
        "with dropout the inputs are multiplied by 1 - rate at inference",
        in_cells(scaled_by_keep_rates(inputs=True)),
    ),
    "states_scaled_by_keep_rate": Fault(
        "with recurrent_dropout h is multiplied by 1 - rate at inference",
        in_cells(scaled_by_keep_rates(states=True)),
    ),
}
