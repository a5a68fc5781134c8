"""Layers around a layer: two directions, and an axis in front of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Callable, Dict, Optional, Sequence, Tuple, Union

import numpy as np

from reference_impl.layer import NOTHING, Given, Layer, Run
from reference_impl.recurrent import LSTM, RNN
from reference_impl.rounding import Rounding
from reference_impl.types import Array, Arrays, Shape

#: How Bidirectional joins the outputs of its halves; ``None`` returns both.
MERGE_MODES: Dict[Optional[str], Callable[[Array, Array, Rounding], Arrays]] = {
    "concat": lambda forward, backward, fl: (np.concatenate([forward, backward], axis=-1),),
    "sum": lambda forward, backward, fl: (fl(forward + backward),),
    "mul": lambda forward, backward, fl: (fl(forward * backward),),
    "ave": lambda forward, backward, fl: (fl(0.5 * fl(forward + backward)),),
    None: lambda forward, backward, fl: (forward, backward),
}


@dataclass(frozen=True)
class Bidirectional(Layer):
    """Two layers reading forwards and backwards (Schuster and Paliwal, 1997), as ``keras.layers.Bidirectional``.

    The second half is ``backward_layer``, or else ``layer`` with ``go_backwards`` turned round. Returning sequences,
    its outputs are flipped back to the order of x before they are merged, and masked outputs of both halves are zero;
    returning the last, they are not, whatever the layers themselves were told.
    """

    layer: Union[LSTM, RNN]
    merge_mode: Optional[str] = "concat"
    backward_layer: Optional[Union[LSTM, RNN]] = None

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        """As its halves are."""
        return self.layer.stateful

    @cached_property
    def halves(self) -> Tuple[Union[LSTM, RNN], Union[LSTM, RNN]]:
        """The forward and the backward layer."""
        backward = self.backward_layer or replace(self.layer, go_backwards=not self.layer.go_backwards)
        zero = self.layer.return_sequences
        return replace(self.layer, zero_output_for_mask=zero), replace(backward, zero_output_for_mask=zero)

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return _both(*(half.weight_shapes(features) for half in self.halves))

    def state_shapes(self, input_shape: Shape) -> Tuple[Shape, ...]:
        return tuple(shape for half in self.halves for shape in half.state_shapes(input_shape))

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        forward, backward = (half.output_shapes(input_shape) for half in self.halves)
        output, width = forward.pop("output"), backward.pop("output")[-1]
        states = _both(forward, backward)
        if self.merge_mode is None:
            return {"forward_output": output, "backward_output": (*output[:-1], width), **states}
        joined = output[-1] + width if self.merge_mode == "concat" else width
        return {"output": (*output[:-1], joined), **states}

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        """The merged output (or both, with ``merge_mode=None``), then with ``return_state`` the states of each half.

        Weights, states and dropout masks are the forward half's, then the backward half's.
        """
        first, second = self.halves
        to_first, to_second = self.split(weights, given)
        return self.merged(first.run(x, *to_first), second.run(x, *to_second), given.fl)

    def merged(self, forward: Run, backward: Run, fl: Rounding) -> Run:
        """What the runs of the halves are together."""
        merged = MERGE_MODES[self.merge_mode](forward.outputs[0], self.flipped(backward.outputs[0]), fl)
        returned = (*merged, *forward.outputs[1:], *backward.outputs[1:])
        return Run(returned, forward.states + backward.states, forward.mask)

    def flipped(self, output: Array) -> Array:
        """An output of the backward half with its steps, if it has any, in the order of x, and back."""
        return output[:, ::-1] if self.layer.return_sequences else output

    def split(self, weights: Sequence[Array], given: Given) -> Tuple[Tuple[Sequence[Array], Given], ...]:
        """The weights of the forward half and what it is given, and those of the backward half."""
        first, _ = self.halves
        w, s = len(first.weight_shapes(1)), len(first.state_shapes((None, None, None)))
        d = s // 2  # an LSTM cell has two states
        return (
            (weights[:w], given._replace(states=given.states[:s], dropout=given.dropout[:d])),
            (weights[w:], given._replace(states=given.states[s:], dropout=given.dropout[d:])),
        )


@dataclass(frozen=True)
class TimeDistributed(Layer):
    """A layer applied to every slice along the first axis behind the batch, as ``keras.layers.TimeDistributed``."""

    layer: Layer

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return self.layer.weight_shapes(features)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        batch, slices, *rest = input_shape
        shapes = self.layer.output_shapes((batch, *rest))
        return {name: (batch, slices, *shape[1:]) for name, shape in shapes.items()}

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        """x is (batch, slices, ...), the mask (batch, slices, ...); each slice is a run of its own."""
        masks = [None if given.mask is None else given.mask[:, i] for i in range(x.shape[1])]
        runs = [self.layer.run(x[:, i], weights, given._replace(mask=own)) for i, own in enumerate(masks)]
        return Run(tuple(np.stack(arrays, axis=1) for arrays in zip(*(run.outputs for run in runs))), (), given.mask)


def _both(forward: Dict[str, Shape], backward: Dict[str, Shape]) -> Dict[str, Shape]:
    halves = {"forward": forward, "backward": backward}
    return {f"{half}_{name}": shape for half, own in halves.items() for name, shape in own.items()}
