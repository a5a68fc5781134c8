"""Layers as descriptions that evaluate themselves.

A layer is a frozen dataclass with Keras's argument names and defaults. It holds no weights: ``layer(x, weights)``
takes them in the order of Keras's ``get_weights()`` and returns a tuple of arrays, because an LSTM may return several.
All arrays are float64; x is (batch, T, d).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from reference_impl import activations
from reference_impl.activations import Activation
from reference_impl.rounding import Rounding, exact
from reference_impl.scan import initial_states, scan
from reference_impl.step import lstm_step
from reference_impl.types import Array, Shape
from reference_impl.weights import dense_shapes, lstm_shapes

Arrays = Tuple[Array, ...]


@dataclass(frozen=True)
class LSTM:
    """An LSTM layer; the arguments are those of ``keras.layers.LSTM``."""

    units: int
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    zero_output_for_mask: bool = False

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return lstm_shapes(features, self.units, self.use_bias)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        """Name and shape of each array the layer returns for an input (batch, T, d); None where a size is open."""
        batch, steps, _ = input_shape
        state = (batch, self.units)
        output = (batch, steps, self.units) if self.return_sequences else state
        return {"output": output, "h": state, "c": state} if self.return_state else {"output": output}

    def __call__(
        self,
        x: Array,
        weights: Sequence[Array],
        initial_state: Sequence[Array] = (),
        mask: Optional[Array] = None,
        fl: Rounding = exact,
    ) -> Arrays:
        """The output, (batch, T, u) or (batch, u), and with ``return_state`` h and c, each (batch, u).

        ``initial_state`` is (h, c) or empty for zeros; ``mask`` is (batch, T), true where a step counts.
        """
        act = activations.get(self.activation)
        recurrent_act = activations.get(self.recurrent_activation)

        def step(x_t: Array, h: Array, c: Array) -> Tuple[Array, Array]:
            return lstm_step(x_t, h, c, weights, act, recurrent_act, fl)

        state = initial_states(initial_state, x.shape[0], self.units)
        outputs, state = scan(step, x, state, mask, self.go_backwards, self.zero_output_for_mask)
        output = outputs if self.return_sequences else outputs[:, -1]
        return (output, *state) if self.return_state else (output,)


#: How Bidirectional joins the outputs of its halves; ``None`` returns both.
MERGE_MODES: Dict[Optional[str], Callable[[Array, Array, Rounding], Arrays]] = {
    "concat": lambda forward, backward, fl: (np.concatenate([forward, backward], axis=-1),),
    "sum": lambda forward, backward, fl: (fl(forward + backward),),
    "mul": lambda forward, backward, fl: (fl(forward * backward),),
    "ave": lambda forward, backward, fl: (fl(0.5 * fl(forward + backward)),),
    None: lambda forward, backward, fl: (forward, backward),
}


@dataclass(frozen=True)
class Bidirectional:
    """Two LSTMs reading forwards and backwards (Schuster and Paliwal, 1997), as ``keras.layers.Bidirectional``.

    The second half is ``layer`` with ``go_backwards`` turned round. Returning sequences, its outputs are flipped
    back to the order of x before they are merged, and masked outputs of both halves are zero.
    """

    layer: LSTM
    merge_mode: Optional[str] = "concat"

    @property
    def halves(self) -> Tuple[LSTM, LSTM]:
        """The forward and the backward layer."""
        forward = replace(self.layer, zero_output_for_mask=self.layer.return_sequences)
        return forward, replace(forward, go_backwards=not self.layer.go_backwards)

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        shapes = self.layer.weight_shapes(features)
        return {f"{half}_{name}": shape for half in ("forward", "backward") for name, shape in shapes.items()}

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        """Name and shape of each array the layer returns for an input (batch, T, d); None where a size is open."""
        shapes = self.layer.output_shapes(input_shape)
        output = shapes.pop("output")
        states = {f"{half}_{name}": shape for half in ("forward", "backward") for name, shape in shapes.items()}
        if self.merge_mode is None:
            return {"forward_output": output, "backward_output": output, **states}
        width = 2 * self.layer.units if self.merge_mode == "concat" else self.layer.units
        return {"output": (*output[:-1], width), **states}

    def __call__(
        self,
        x: Array,
        weights: Sequence[Array],
        initial_state: Sequence[Array] = (),
        mask: Optional[Array] = None,
        fl: Rounding = exact,
    ) -> Arrays:
        """The merged output (or both, with ``merge_mode=None``), then with ``return_state`` h and c of each half.

        ``weights`` and ``initial_state`` hold the forward half's, then the backward half's.
        """
        forward_layer, backward_layer = self.halves
        w, s = len(weights) // 2, len(initial_state) // 2
        forward, *forward_state = forward_layer(x, weights[:w], initial_state[:s], mask, fl)
        backward, *backward_state = backward_layer(x, weights[w:], initial_state[s:], mask, fl)
        if self.layer.return_sequences:
            backward = backward[:, ::-1]
        return (*MERGE_MODES[self.merge_mode](forward, backward, fl), *forward_state, *backward_state)


@dataclass(frozen=True)
class Dense:
    """act(x·W + b) over the last axis, as ``keras.layers.Dense``."""

    units: int
    activation: Activation = None
    use_bias: bool = True

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return dense_shapes(features, self.units, self.use_bias)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        """Name and shape of the one array the layer returns."""
        return {"output": (*input_shape[:-1], self.units)}

    def __call__(self, x: Array, weights: Sequence[Array], fl: Rounding = exact) -> Arrays:
        """The one array returned is (batch, ..., units) for x (batch, ..., d)."""
        kernel, *bias = weights
        z = fl.matmul(x, kernel)
        for b in bias:
            z = fl(z + b)
        return (activations.get(self.activation)(z, fl),)


@dataclass(frozen=True)
class TimeDistributed:
    """A dense layer applied to each time step by itself, as ``keras.layers.TimeDistributed``."""

    layer: Dense

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return self.layer.weight_shapes(features)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        """Name and shape of the one array the layer returns."""
        return self.layer.output_shapes(input_shape)

    def __call__(self, x: Array, weights: Sequence[Array], fl: Rounding = exact) -> Arrays:
        """The one array returned is (batch, T, units) for x (batch, T, d)."""
        steps = [self.layer(x[:, t], weights, fl)[0] for t in range(x.shape[1])]
        return (np.stack(steps, axis=1),)
