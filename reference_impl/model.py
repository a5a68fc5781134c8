"""Models: layers, and what each of them reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from reference_impl.layer import Given, Layer
from reference_impl.rounding import Rounding, exact
from reference_impl.step import DropoutMasks
from reference_impl.types import Array, Arrays, Shape

#: For each layer its states.
States = Sequence[Sequence[Array]]
Masks = Sequence[Optional[Array]]
#: Those drawn for each LSTM cell, in the order in which they run, or none where nothing is dropped.
Dropout = Sequence[DropoutMasks]


@dataclass(frozen=True)
class Model:
    """Layers in a row, each reading what the one before it returns first and the mask that one hands on.

    ``inputs`` says how many inputs a model has; given to ``run`` in a list, with a mask or None for each.
    """

    layers: Tuple[Layer, ...]

    inputs = 1

    def input_shapes(self, input_shape: Shape) -> List[Shape]:
        """The shape of what each layer reads, for an input of this shape."""
        shapes = [input_shape]
        for layer in self.layers[:-1]:
            shapes.append(_first(layer.output_shapes(shapes[-1])))
        return shapes

    def weight_shapes(self, input_shape: Shape) -> List[Dict[str, Shape]]:
        """For each layer its weights' shapes by name."""
        return [layer.weight_shapes(shape[-1]) for layer, shape in zip(self.layers, self.input_shapes(input_shape))]

    def output_shapes(self, input_shape: Shape) -> List[Dict[str, Shape]]:
        """For each layer the shapes of what it returns, by name; None where a size is open."""
        return [layer.output_shapes(shape) for layer, shape in zip(self.layers, self.input_shapes(input_shape))]

    def state_shapes(self, input_shape: Shape) -> List[Tuple[Shape, ...]]:
        """For each layer the shapes of its states."""
        return [layer.state_shapes(shape) for layer, shape in zip(self.layers, self.input_shapes(input_shape))]

    def returned_shapes(self, input_shapes: Sequence[Shape]) -> Dict[str, Shape]:
        """Name and shape of each array the model returns, for inputs of these shapes."""
        return self.output_shapes(input_shapes[-1])[-1]

    def run(
        self,
        inputs: Sequence[Array],
        weights: Sequence[Array],
        states: States = (),
        masks: Masks = (None,),
        fl: Rounding = exact,
        dropout: Dropout = (),
    ) -> Tuple[Arrays, List[Arrays]]:
        """What the last layer returns, and the states each layer ends in.

        ``weights`` and ``dropout`` are all layers' in a row; ``states`` those each layer starts from, none meaning
        zeros. The one mask comes with the input, and reaches every layer that a layer below hands it on to.
        """
        outputs: Arrays = tuple(inputs)
        mask, ends = masks[0], []
        own_dropout = self._dropout(inputs[0].shape, dropout)
        for number, (layer, own) in enumerate(zip(self.layers, self._weights(inputs[0].shape, weights))):
            given = Given(tuple(states[number]) if states else (), mask, fl, own_dropout[number])
            outputs, end, mask = layer.run(outputs[0], own, given)
            ends.append(end)
        return outputs, ends

    def __call__(
        self,
        x: Array,
        weights: Sequence[Array],
        initial_state: Sequence[Array] = (),
        mask: Optional[Array] = None,
        fl: Rounding = exact,
    ) -> Arrays:
        """What a model of one input returns for x; ``initial_state`` is the first layer's."""
        states = [initial_state, *[()] * (len(self.layers) - 1)]
        return self.run([x], weights, states, [mask], fl)[0]

    def _weights(self, input_shape: Shape, weights: Sequence[Array]) -> List[Sequence[Array]]:
        """The weights of each layer."""
        return _split(weights, [len(shapes) for shapes in self.weight_shapes(input_shape)])

    def _dropout(self, input_shape: Shape, dropout: Dropout) -> List[Tuple[DropoutMasks, ...]]:
        """The dropout masks of each layer, whose LSTM cells have two states each."""
        if not dropout:
            return [()] * len(self.layers)
        return _split(tuple(dropout), [len(shapes) // 2 for shapes in self.state_shapes(input_shape)])


class EncoderDecoder(Model):
    """Two layers with an input each; the second starts from the states the first returns (Sutskever, 2014)."""

    inputs = 2

    def input_shapes(self, input_shape: Shape) -> List[Shape]:
        return [input_shape, input_shape]

    def run(
        self,
        inputs: Sequence[Array],
        weights: Sequence[Array],
        states: States = (),
        masks: Masks = (None, None),
        fl: Rounding = exact,
        dropout: Dropout = (),
    ) -> Tuple[Arrays, List[Arrays]]:
        encoder, decoder = self.layers
        first, second = self._weights(inputs[0].shape, weights)
        of_first, of_second = self._dropout(inputs[0].shape, dropout)
        encoded = encoder.run(inputs[0], first, Given(tuple(states[0]) if states else (), masks[0], fl, of_first))
        handed_over = encoded.outputs[len(encoded.outputs) - len(encoded.states) :]
        decoded = decoder.run(inputs[1], second, Given(handed_over, masks[1], fl, of_second))
        return decoded.outputs, [encoded.states, decoded.states]


class Shared(Model):
    """One layer with one set of weights that reads two inputs."""

    inputs = 2

    def returned_shapes(self, input_shapes: Sequence[Shape]) -> Dict[str, Shape]:
        first, second = (self.layers[0].output_shapes(shape) for shape in input_shapes)
        return {f"{which}_{name}": own[name] for which, own in (("first", first), ("second", second)) for name in own}

    def run(
        self,
        inputs: Sequence[Array],
        weights: Sequence[Array],
        states: States = (),
        masks: Masks = (None, None),
        fl: Rounding = exact,
        dropout: Dropout = (),
    ) -> Tuple[Arrays, List[Arrays]]:
        (layer,) = self.layers
        start, half = tuple(states[0]) if states else (), len(dropout) // 2
        halves = (tuple(dropout[:half]), tuple(dropout[half:]))
        first, second = (
            layer.run(x, weights, Given(start, mask, fl, own)) for x, mask, own in zip(inputs, masks, halves)
        )
        return first.outputs + second.outputs, [()]


def _split(items: Any, counts: Sequence[int]) -> List[Any]:
    """Slices of so many items each, one after another."""
    ends = [sum(counts[: number + 1]) for number in range(len(counts))]
    return [items[end - count : end] for count, end in zip(counts, ends)]


def _first(shapes: Dict[str, Shape]) -> Shape:
    return next(iter(shapes.values()))
