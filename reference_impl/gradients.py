"""Gradients of layers and models: with respect to their inputs, weights and the states they start from.

L is the sum of ⟨∂L/∂output, output⟩ over all outputs, and ``d_v`` stands for ∂L/∂v. ``through_time`` has the equations
of the LSTM and says what a pullback is; with ``backward`` and ``model_gradients`` one never meets it.

The rows of a batch do not mix here either: a weight's gradient comes for each row, (batch, *weight.shape), and whoever
wants that of the batch adds them up. So the copies of ``rounding`` stay apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from reference_impl import derivatives, tangents
from reference_impl.cells import Cell, StackedRNNCells
from reference_impl.layer import Given, Layer, Run
from reference_impl.layers import Dense, Embedding, Masking
from reference_impl.model import EncoderDecoder, Masks, Model, Shared, States
from reference_impl.recurrent import LSTM, RNN
from reference_impl.rounding import Rounding, exact
from reference_impl.step import NO_DROPOUT
from reference_impl.through_time import Recorded, cell_gradients, differentiate_step, product_gradients, scan_back, sums
from reference_impl.types import Array, Arrays
from reference_impl.wrappers import Bidirectional, TimeDistributed


class Gradients(NamedTuple):
    """Of what a layer reads: x, each weight as (batch, *weight.shape), each state it starts from, given or zeros."""

    inputs: Array
    weights: Arrays = ()
    states: Arrays = ()


class ModelGradients(NamedTuple):
    """Of each input of a model, each weight as (batch, *weight.shape), and for each layer its states, if given any."""

    inputs: Arrays
    weights: Arrays
    states: Tuple[Arrays, ...]


#: From the gradient of each array that a layer returns.
Pullback = Callable[[Arrays], Gradients]
#: What ``Layer.run`` returns, and its pullback.
Differentiated = Tuple[Run, Pullback]
#: For each layer of a model its runs.
Runs = Sequence[Sequence[Differentiated]]


def backward(layer: Layer, x: Array, weights: Sequence[Array], given: Given, d_outputs: Arrays) -> Gradients:
    """The gradients, given ∂L/∂ each array that ``layer.run(x, weights, given)`` returns."""
    _, pullback = differentiate(layer, x, weights, given)
    return pullback(d_outputs)


def model_gradients(
    model: Model,
    inputs: Sequence[Array],
    weights: Sequence[Array],
    states: States,
    masks: Masks,
    d_outputs: Arrays,
    fl: Rounding = exact,
) -> ModelGradients:
    """The gradients, given ∂L/∂ each array that ``model.run`` returns for the other arguments."""
    return differentiate_model(model, inputs, weights, states, masks, fl).pullback(d_outputs)


@singledispatch
def differentiate(layer: Layer, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """What ``layer.run`` returns, and its pullback. Raises TypeError for a layer that is not known here."""
    raise TypeError(f"the derivative of {type(layer).__name__} is not known")


@differentiate.register(Dense)
def _dense(layer: Dense, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """From y = act(z), d_z = act'(z) ∘ d_y; from z = x·W + b, d_x = d_z·Wᵀ."""
    fl, derivative = given.fl, derivatives.get(layer.activation)
    (z,), _, mask = replace(layer, activation=None).run(x, weights, given)
    y = tangents.activation(layer.activation)(z, fl)

    def pullback(d_outputs: Arrays) -> Gradients:
        d_z = derivative(z, y, d_outputs[0], fl)
        d_weights = product_gradients(_as_steps(x), _as_steps(d_z), fl)
        return Gradients(fl.matmul(d_z, weights[0].T), d_weights[: len(weights)])

    return Run((y,), mask=mask), pullback


@differentiate.register(Masking)
def _masking(layer: Masking, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """Where a step is masked, 0."""
    counts = (x.real != layer.mask_value).any(axis=-1, keepdims=True)
    return layer.run(x, weights, given), lambda d_outputs: Gradients(np.where(counts, d_outputs[0], 0.0))


@differentiate.register(Embedding)
def _embedding(layer: Embedding, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """A product of the unit matrix's rows, one for each token, with the table; x has no gradient, here zeros."""
    tokens = _as_steps(np.eye(layer.input_dim)[x.astype(int)])

    def pullback(d_outputs: Arrays) -> Gradients:
        table, _ = product_gradients(tokens, _as_steps(d_outputs[0]), given.fl)
        return Gradients(np.zeros(x.shape), (table,))

    return layer.run(x, weights, given), pullback


@differentiate.register(Cell)
def _cell(layer: Cell, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """The one step of a sequence."""
    run, pullback = differentiate(RNN(layer, return_state=True), x[:, np.newaxis], weights, given)

    def first_step(d_outputs: Arrays) -> Gradients:
        d_x, *others = pullback(d_outputs)
        return Gradients(d_x[:, 0], *others)

    return run, first_step


@differentiate.register(LSTM)
def _lstm(layer: LSTM, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    return differentiate(layer.rnn, x, weights, given)


@differentiate.register(RNN)
def _rnn(layer: RNN, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """Through the steps; what x holds in masked ones, NaN even, has no part in it, 0·NaN though it would be."""
    if given.mask is not None:
        x = np.where(given.mask.astype(bool)[..., np.newaxis], x, 0.0)
    cell: Any = layer.cell
    stack = cell if isinstance(cell, StackedRNNCells) else StackedRNNCells((cell,))
    cells: Any = tuple(Recorded(own, differentiate_step) for own in stack.cells)
    run = replace(layer, cell=replace(stack, cells=cells)).run(x, weights, given)
    reading = slice(None, None, -1 if layer.go_backwards else 1)
    mask = None if given.mask is None else given.mask[:, reading]

    def pullback(d_outputs: Arrays) -> Gradients:
        d_output, *d_ends = d_outputs
        if not layer.return_sequences:
            d_output, d_last = np.zeros((*x.shape[:2], stack.output_size), d_output.dtype), d_output
            d_output[:, -1] = d_last
        d_states = tuple(d_ends) or tuple(np.zeros_like(state) for state in run.states)
        zero = layer.zero_output_for_mask and layer.return_sequences
        d_x, d_states, factors = scan_back(cells, d_output, d_states, mask, zero, given.fl)
        of_cells = zip(zip(*factors), stack.cells, given.dropout or (NO_DROPOUT,) * len(cells))
        d_weights = [cell_gradients(own, cell.use_bias, masks, given.fl) for own, cell, masks in of_cells]
        return Gradients(d_x[:, reading], sum(d_weights, ()), d_states)

    return run, pullback


#: From ∂L/∂ what Bidirectional makes of the outputs of its halves, forward and backward, those of the outputs.
MERGE_PULLBACKS: Dict[Optional[str], Callable[[Arrays, Array, Array, Rounding], Arrays]] = {
    "concat": lambda d, forward, backward, fl: tuple(np.split(d[0], [forward.shape[-1]], axis=-1)),
    "sum": lambda d, forward, backward, fl: (d[0], d[0]),
    "mul": lambda d, forward, backward, fl: (fl(d[0] * backward), fl(d[0] * forward)),
    "ave": lambda d, forward, backward, fl: (0.5 * d[0], 0.5 * d[0]),
    None: lambda d, forward, backward, fl: d,
}


@differentiate.register(Bidirectional)
def _bidirectional(layer: Bidirectional, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """Through the merge and both halves, which read the same x."""
    halves = zip(layer.halves, layer.split(weights, given))
    (forward, to_first), (back, to_second) = (differentiate(half, x, *own) for half, own in halves)
    ends, merged = len(forward.outputs) - 1, 2 if layer.merge_mode is None else 1

    def pullback(d_outputs: Arrays) -> Gradients:
        d_merged, d_ends, outputs = d_outputs[:merged], d_outputs[merged:], layer.flipped(back.outputs[0])
        d_forward, d_back = MERGE_PULLBACKS[layer.merge_mode](d_merged, forward.outputs[0], outputs, given.fl)
        first = to_first((d_forward, *d_ends[:ends]))
        second = to_second((layer.flipped(d_back), *d_ends[ends:]))
        d_x = given.fl(first.inputs + second.inputs)
        return Gradients(d_x, first.weights + second.weights, first.states + second.states)

    return layer.merged(forward, back, given.fl), pullback


@differentiate.register(TimeDistributed)
def _time_distributed(layer: TimeDistributed, x: Array, weights: Sequence[Array], given: Given) -> Differentiated:
    """Through every slice by itself; they share the weights and the states they start from."""
    inner: Any = Recorded(layer.layer, differentiate)
    run = replace(layer, layer=inner).run(x, weights, given)

    def pullback(d_outputs: Arrays) -> Gradients:
        slices = [own(tuple(d[:, i] for d in d_outputs)) for i, (_, own) in enumerate(inner.kept)]
        d_x, d_weights, d_states = zip(*slices)
        return Gradients(np.stack(d_x, axis=1), sums(d_weights, given.fl), sums(d_states, given.fl))

    return run, pullback


@dataclass(frozen=True)
class DifferentiatedModel:
    """What ``model.run`` returns, its outputs and the states each layer ends in, and the runs of its layers."""

    model: Model
    outputs: Arrays
    states: List[Arrays]
    runs: Runs
    fl: Rounding

    def pullback(self, d_outputs: Arrays, d_layers: Sequence[Optional[Array]] = ()) -> ModelGradients:
        """From the gradients of the outputs, and of what each layer returns first where L depends on that by itself."""
        return _model_back(self.model, self.runs, d_outputs, self.fl, d_layers)


def differentiate_model(
    model: Model,
    inputs: Sequence[Array],
    weights: Sequence[Array],
    states: States = (),
    masks: Masks = (None,),
    fl: Rounding = exact,
) -> DifferentiatedModel:
    """Run a model, ready to go back through it."""
    layers: Any = tuple(Recorded(layer, differentiate) for layer in model.layers)
    outputs, ends = replace(model, layers=layers).run(inputs, weights, states, masks, fl)
    return DifferentiatedModel(model, outputs, ends, [layer.kept for layer in layers], fl)


@singledispatch
def _model_back(
    model: Model, runs: Runs, d_outputs: Arrays, fl: Rounding, d_layers: Sequence[Optional[Array]]
) -> ModelGradients:
    """Down through the layers; of what a layer returns, the one above it reads the first."""
    layers: List[Gradients] = []
    for ((run, pullback),), d_own in zip(reversed(runs), reversed(d_layers or [None] * len(runs))):
        d_first = d_outputs[0] if d_own is None else fl(d_outputs[0] + d_own)
        unread = map(np.zeros_like, run.outputs[len(d_outputs) :])
        layers.insert(0, pullback((d_first, *d_outputs[1:], *unread)))
        d_outputs = (layers[0].inputs,)
    return ModelGradients(
        d_outputs, sum((layer.weights for layer in layers), ()), tuple(layer.states for layer in layers)
    )


@_model_back.register(EncoderDecoder)
def _encoder_decoder_back(
    model: EncoderDecoder, runs: Runs, d_outputs: Arrays, fl: Rounding, *_: Any
) -> ModelGradients:
    """The decoder starts from the states that the encoder returns last; what that returns before is not read."""
    ((encoded, to_encoder),), ((_, to_decoder),) = runs
    decoder = to_decoder(d_outputs)
    unread = encoded.outputs[: len(encoded.outputs) - len(decoder.states)]
    encoder = to_encoder((*map(np.zeros_like, unread), *decoder.states))
    return ModelGradients((encoder.inputs, decoder.inputs), encoder.weights + decoder.weights, (encoder.states, ()))


@_model_back.register(Shared)
def _shared_back(model: Shared, runs: Runs, d_outputs: Arrays, fl: Rounding, *_: Any) -> ModelGradients:
    """The layer has the same weights and starts from the same states both times."""
    (((run, to_first), (_, to_second)),) = runs
    returned = len(run.outputs)
    first, second = to_first(d_outputs[:returned]), to_second(d_outputs[returned:])
    d_weights, d_states = sums([first.weights, second.weights], fl), sums([first.states, second.states], fl)
    return ModelGradients((first.inputs, second.inputs), d_weights, (d_states,))


def _as_steps(array: Array) -> Array:
    """(batch, ..., k) as (batch, T, k)."""
    return array.reshape((len(array), -1, array.shape[-1]))
