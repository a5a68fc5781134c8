"""A model: layers in a row, each reading what the one before it returns first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

from reference_impl.layers import LSTM, Arrays, Bidirectional, Dense, TimeDistributed
from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array, Shape

Layer = Union[LSTM, Bidirectional, Dense, TimeDistributed]


@dataclass(frozen=True)
class Model:
    """A row of layers, what Keras builds as Sequential or as a functional model without branches."""

    layers: Tuple[Layer, ...]

    def weight_shapes(self, features: int) -> List[Dict[str, Shape]]:
        """For each layer its weights' shapes by name; ``features`` is the width of the model's input."""
        shapes = []
        for layer in self.layers:
            shapes.append(layer.weight_shapes(features))
            features = _first(layer.output_shapes((None, None, features)))[-1]
        return shapes

    def output_shapes(self, input_shape: Shape) -> List[Dict[str, Shape]]:
        """For each layer the shapes of what it returns, by name; None where a size is open."""
        shapes = []
        for layer in self.layers:
            shapes.append(layer.output_shapes(input_shape))
            input_shape = _first(shapes[-1])
        return shapes

    def __call__(
        self,
        x: Array,
        weights: Sequence[Array],
        initial_state: Sequence[Array] = (),
        mask: Optional[Array] = None,
        fl: Rounding = exact,
    ) -> Arrays:
        """What the last layer returns for x (batch, T, d).

        ``weights`` are all layers' in a row; ``initial_state`` goes to the first layer, ``mask`` to every LSTM.
        """
        results: Arrays = (x,)
        remaining = list(weights)
        for layer, shapes in zip(self.layers, self.weight_shapes(x.shape[-1])):
            own, remaining = remaining[: len(shapes)], remaining[len(shapes) :]
            if isinstance(layer, (LSTM, Bidirectional)):
                results = layer(results[0], own, initial_state, mask, fl)
                initial_state = ()
            else:
                results = layer(results[0], own, fl)
        return results


def _first(shapes: Dict[str, Shape]) -> Shape:
    return next(iter(shapes.values()))
