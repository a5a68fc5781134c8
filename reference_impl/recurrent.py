"""Recurrent layers: a cell repeated over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from reference_impl.activations import Activation
from reference_impl.cells import Cell, LSTMCell, state_names
from reference_impl.constraints import Constraint
from reference_impl.layer import NOTHING, Given, Layer, Run
from reference_impl.regularizers import Regularizer
from reference_impl.scan import scan
from reference_impl.types import Array, Arrays, Shape


@dataclass(frozen=True)
class RNN(Layer):
    """A cell over time; the arguments are those of ``keras.layers.RNN``.

    It reads x (batch, T, d) and returns the last output, (batch, u), or with ``return_sequences`` all, (batch, T, u);
    then with ``return_state`` the states behind the last. With ``go_backwards`` it reads from the last step to the
    first, and the mask it hands on is in the order of its outputs. ``zero_output_for_mask`` is, as documented, of no
    use without ``return_sequences``. ``unroll`` says how Keras builds the loop, not what it computes.
    """

    cell: Cell
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    zero_output_for_mask: bool = False
    stateful: bool = False
    unroll: bool = False

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return self.cell.weight_shapes(features)

    def state_shapes(self, input_shape: Shape) -> Tuple[Shape, ...]:
        return self.cell.state_shapes(input_shape)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        batch, steps, _ = input_shape
        width = self.cell.output_size
        shapes: Dict[str, Shape] = {"output": (batch, steps, width) if self.return_sequences else (batch, width)}
        if self.return_state:
            states = self.state_shapes(input_shape)
            shapes.update(zip(state_names(len(states)), states))
        return shapes

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:

        def step(x_t: Array, states: Arrays) -> Tuple[Array, Arrays]:
            return self.cell.step(x_t, weights, given._replace(states=states))

        states = given.states or tuple(np.zeros(shape) for shape in self.state_shapes(x.shape))
        zero = self.zero_output_for_mask and self.return_sequences
        outputs, states = scan(step, x, states, given.mask, self.go_backwards, zero)
        output = outputs if self.return_sequences else outputs[:, -1]
        returned = (output, *states) if self.return_state else (output,)
        return Run(returned, states, self.handed_on(given.mask))

    def handed_on(self, mask: Optional[Array]) -> Optional[Array]:
        """The mask of the outputs; a single one has none."""
        if mask is None or not self.return_sequences:
            return None
        return mask[:, ::-1] if self.go_backwards else mask


@dataclass(frozen=True)
class LSTM(Layer):
    """``RNN(LSTMCell(...))`` in one; the arguments are those of ``keras.layers.LSTM``.

    Regularizers, constraints and ``trainable`` are for ``training`` alone.
    """

    units: int
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    zero_output_for_mask: bool = False
    stateful: bool = False
    unroll: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    implementation: int = 2
    kernel_regularizer: Optional[Regularizer] = None
    recurrent_regularizer: Optional[Regularizer] = None
    bias_regularizer: Optional[Regularizer] = None
    activity_regularizer: Optional[Regularizer] = None
    kernel_constraint: Optional[Constraint] = None
    recurrent_constraint: Optional[Constraint] = None
    bias_constraint: Optional[Constraint] = None
    trainable: bool = True

    @property
    def rnn(self) -> RNN:
        """What this layer is."""
        return RNN(
            LSTMCell(
                self.units,
                self.activation,
                self.recurrent_activation,
                self.use_bias,
                self.dropout,
                self.recurrent_dropout,
                self.implementation,
            ),
            self.return_sequences,
            self.return_state,
            self.go_backwards,
            self.zero_output_for_mask,
            self.stateful,
            self.unroll,
        )

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return self.rnn.weight_shapes(features)

    def state_shapes(self, input_shape: Shape) -> Tuple[Shape, ...]:
        return self.rnn.state_shapes(input_shape)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        return self.rnn.output_shapes(input_shape)

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        return self.rnn.run(x, weights, given)
