"""Cells: what happens in one time step, for an RNN to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from reference_impl import activations
from reference_impl.activations import Activation
from reference_impl.layer import NOTHING, Given, Layer, Run
from reference_impl.step import NO_DROPOUT, lstm_step
from reference_impl.types import Array, Arrays, Shape
from reference_impl.weights import lstm_shapes


class Cell(Layer):
    """One time step. Called by itself it reads x (batch, d) and returns the output and then the states."""

    @property
    def state_sizes(self) -> Tuple[int, ...]:
        """The widths of the states."""
        raise NotImplementedError

    @property
    def output_size(self) -> int:
        """The width of the output."""
        raise NotImplementedError

    def step(self, x: Array, weights: Sequence[Array], given: Given) -> Tuple[Array, Arrays]:
        """The output (batch, u) and the states after one step from the states given, for x (batch, d)."""
        raise NotImplementedError

    def state_shapes(self, input_shape: Shape) -> Tuple[Shape, ...]:
        return tuple((input_shape[0], size) for size in self.state_sizes)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        states = self.state_shapes(input_shape)
        return {"output": (input_shape[0], self.output_size), **dict(zip(state_names(len(states)), states))}

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        output, states = self.step(x, weights, given)
        return Run((output, *states), states)


@dataclass(frozen=True)
class LSTMCell(Cell):
    """The cell of an LSTM; the arguments are those of ``keras.layers.LSTMCell``.

    ``implementation`` says how Keras groups the products, not what they are. ``dropout`` and ``recurrent_dropout`` are
    for training: here, as in Keras's inference, nothing is dropped unless the masks are given.
    """

    units: int
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    use_bias: bool = True
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    implementation: int = 2

    @property
    def state_sizes(self) -> Tuple[int, ...]:
        return (self.units, self.units)

    @property
    def output_size(self) -> int:
        return self.units

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return lstm_shapes(features, self.units, self.use_bias)

    def step(self, x: Array, weights: Sequence[Array], given: Given) -> Tuple[Array, Arrays]:
        (dropout,) = given.dropout or (NO_DROPOUT,)
        act, recurrent_act = activations.get(self.activation), activations.get(self.recurrent_activation)
        old_h, old_c = given.states
        h, c = lstm_step(x, old_h, old_c, weights, act, recurrent_act, given.fl, dropout)
        return h, (h, c)


@dataclass(frozen=True)
class StackedRNNCells(Cell):
    """Cells on top of each other, each reading the output of the one below in the same time step."""

    cells: Tuple[LSTMCell, ...]

    @property
    def state_sizes(self) -> Tuple[int, ...]:
        return tuple(size for cell in self.cells for size in cell.state_sizes)

    @property
    def output_size(self) -> int:
        return self.cells[-1].output_size

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return {
            f"{name}_{level}": shape
            for level, (cell, width) in enumerate(zip(self.cells, self.widths(features)), 1)
            for name, shape in cell.weight_shapes(width).items()
        }

    def step(self, x: Array, weights: Sequence[Array], given: Given) -> Tuple[Array, Arrays]:
        new_states: Arrays = ()
        for level, cell in enumerate(self.cells):
            count, size = len(cell.weight_shapes(1)), len(cell.state_sizes)
            own, weights = weights[:count], weights[count:]
            before = given.states[len(new_states) : len(new_states) + size]
            x, after = cell.step(x, own, given._replace(states=before, dropout=given.dropout[level : level + 1]))
            new_states += after
        return x, new_states

    def widths(self, features: int) -> List[int]:
        """The width of what each cell reads."""
        return [features, *(cell.output_size for cell in self.cells[:-1])]


def state_names(count: int) -> List[str]:
    """h and c, numbered from the lowest cell up where there are several."""
    if count == 2:
        return ["h", "c"]
    return [f"{name}_{level}" for level in range(1, count // 2 + 1) for name in ("h", "c")]
