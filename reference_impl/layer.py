"""What all layers have in common."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from reference_impl.rounding import Rounding, exact
from reference_impl.step import DropoutMasks
from reference_impl.types import Array, Arrays, Shape


class Given(NamedTuple):
    """What a layer is given besides x and its weights.

    No ``states`` to start from means zeros. ``mask`` is true where a time step counts. ``dropout`` has the masks that
    were drawn for each LSTM cell, or is empty where nothing is dropped.
    """

    states: Arrays = ()
    mask: Optional[Array] = None
    fl: Rounding = exact
    dropout: Tuple[DropoutMasks, ...] = ()


NOTHING = Given()


class Run(NamedTuple):
    """What a layer did: the arrays it returns, the states it ends in, the mask it hands on."""

    outputs: Arrays
    states: Arrays = ()
    mask: Optional[Array] = None


class Layer:
    """A layer as a description that evaluates itself.

    Each is a frozen dataclass with Keras's argument names and defaults. It holds no weights and no states; both are
    given to ``run``, in the order of Keras's ``get_weights()`` and of its states. All arrays are float64 with the batch
    as first axis.
    """

    #: Whether the states a call ends in are those the next one starts from.
    stateful = False

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        """Names and shapes of the weights, for an input whose last axis has ``features``."""
        return {}

    def state_shapes(self, input_shape: Shape) -> Tuple[Shape, ...]:
        """Shapes of the states, for an input of this shape."""
        return ()

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        """Name and shape of each array the layer returns for an input of this shape; None where a size is open."""
        raise NotImplementedError

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        """Evaluate the layer."""
        raise NotImplementedError

    def __call__(
        self,
        x: Array,
        weights: Sequence[Array],
        initial_state: Sequence[Array] = (),
        mask: Optional[Array] = None,
        fl: Rounding = exact,
        dropout: Sequence[DropoutMasks] = (),
    ) -> Arrays:
        """The arrays that Keras's layer returns."""
        return self.run(x, weights, Given(tuple(initial_state), mask, fl, tuple(dropout))).outputs
