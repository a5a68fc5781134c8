"""Building the Keras model of a case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from conformance.case import Case
from conformance.data import Inputs, state_shapes
from reference_impl import (
    LSTM,
    RNN,
    Bidirectional,
    Embedding,
    EncoderDecoder,
    Layer,
    Model,
    Shared,
    TimeDistributed,
)
from reference_impl.cells import Cell


@dataclass(frozen=True)
class Built:
    """A model, the layers in it that stand for the case's, and the tensors it returns for symbolic inputs.

    ``model`` takes the inputs of ``arrange``; for api "layer" it is a function.
    """

    model: Any
    layers: Sequence[Any]
    symbolic: Sequence[Any]


@dataclass(frozen=True)
class Parts:
    """The inputs of a model by what they are: arrays, tensors or symbolic tensors."""

    x: Sequence[Any]
    masks: Sequence[Any]
    states: Sequence[Any]

    def arrange(self) -> Any:
        """The inputs as a model takes them: in a list, or by itself where there is one."""
        inputs = [*self.x, *(mask for mask in self.masks if mask is not None), *self.states]
        return inputs if len(inputs) > 1 else inputs[0]


def parts(case: Case, inputs: Any) -> Parts:
    """The inverse of ``Parts.arrange``."""
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    count = case.model.inputs
    if not case.mask_dtype:
        return Parts(given[:count], [None] * count, given[count:])
    return Parts(given[:count], given[count : 2 * count], given[2 * count :])


def forward(case: Case, layers: Sequence[Any], given: Parts) -> List[Any]:
    """What the layers of a case return for inputs, symbolic ones or not, as the case's model connects them."""
    return CONNECT[type(case.model)](case.model.layers, layers, given)


def _row(described: Sequence[Layer], layers: Sequence[Any], given: Parts) -> List[Any]:
    (y,), states = given.x, given.states
    outputs = [y]
    for layer, keras_layer in zip(described, layers):
        takes_states = isinstance(layer, (LSTM, RNN, Bidirectional, Cell))
        outputs = apply(layer, keras_layer, outputs[0], given.masks[0], states if takes_states else ())
        states = () if takes_states else states
    return outputs


def _encoder_decoder(described: Sequence[Layer], layers: Sequence[Any], given: Parts) -> List[Any]:
    _, *states = apply(described[0], layers[0], given.x[0], given.masks[0], given.states)
    return apply(described[1], layers[1], given.x[1], given.masks[1], states)


def _shared(described: Sequence[Layer], layers: Sequence[Any], given: Parts) -> List[Any]:
    (layer,), (keras_layer,) = described, layers
    calls = [apply(layer, keras_layer, x, mask, given.states) for x, mask in zip(given.x, given.masks)]
    return [output for outputs in calls for output in outputs]


CONNECT: Dict[type, Callable[[Sequence[Layer], Sequence[Any], Parts], List[Any]]] = {
    Model: _row,
    EncoderDecoder: _encoder_decoder,
    Shared: _shared,
}


def apply(layer: Layer, keras_layer: Any, x: Any, mask: Any, states: Sequence[Any]) -> List[Any]:
    """Call one layer; a mask is given to those that read one."""
    if isinstance(layer, Cell):
        return flat(keras_layer(x, _nested(keras_layer, states)))
    given: Dict[str, Any] = {}
    if mask is not None and isinstance(layer, (LSTM, RNN, Bidirectional, TimeDistributed)):
        given["mask"] = mask
    if states:
        given["initial_state"] = _nested(keras_layer, states)
    return flat(keras_layer(x, **given))


def _nested(keras_layer: Any, states: Sequence[Any]) -> List[Any]:
    """States as Keras wants them: a stack of cells has a list for each cell, but in Keras 2.3.1."""
    sizes = getattr(getattr(keras_layer, "cell", keras_layer), "state_size", ())
    if any(isinstance(size, (list, tuple)) for size in sizes):
        return [list(states[i : i + 2]) for i in range(0, len(states), 2)]
    return list(states)


def flat(value: Any) -> List[Any]:
    """The tensors in nested lists and tuples."""
    return [item for inner in value for item in flat(inner)] if isinstance(value, (list, tuple)) else [value]


def symbolic_inputs(keras: Any, case: Case) -> Parts:
    """Keras inputs for a case: x of each, its mask where it is given as an array, initial states."""
    shapes = case.symbolic_shapes

    def inputs(wanted: Iterable[Sequence[Any]], dtype: str) -> List[Any]:
        return [keras.Input(batch_shape=(shapes[0][0], *shape[1:]), dtype=dtype) for shape in wanted]

    return Parts(
        inputs(shapes, input_dtype(case)),
        inputs((shape[:-1] for shape in shapes), case.mask_dtype) if case.mask_dtype else [None] * len(shapes),
        inputs(state_shapes(case), case.compute_dtype),
    )


def input_dtype(case: Case) -> str:
    """Tokens and integers are int32; half precision is given as float32, which Keras casts."""
    if case.values == "integers" or isinstance(case.model.layers[0], Embedding):
        return "int32"
    return "float64" if case.dtype == "float64" else "float32"


def input_arrays(case: Case, inputs: Inputs) -> Parts:
    """The arrays of a call: a mask only where it is given as one."""
    given = [mask.astype(case.mask_dtype) if case.mask_dtype and mask is not None else None for mask in inputs.masks]
    return Parts(inputs.x, given, inputs.states)


def sequential(keras: Any, layers: List[Any], input_layer: Any) -> Built:
    """A Sequential of the layers, below them an input or nothing."""
    model = keras.Sequential([*([] if input_layer is None else [input_layer]), *layers])
    return Built(model, layers, model.outputs)


def functional(keras: Any, case: Case, layers: List[Any], dtype: Any) -> Built:
    """A functional model, or what wraps the same layers, which it has built."""
    given = symbolic_inputs(keras, case)
    outputs = forward(case, layers, given)

    def call(inputs: Any) -> Any:
        return forward(case, layers, _states_cast(keras, case.compute_dtype, parts(case, inputs)))

    if case.api == "layer":
        return Built(call, layers, outputs)
    if case.api == "subclass":
        return Built(_subclassed(keras, dtype, layers, call), layers, outputs)
    return Built(keras.Model(given.arrange(), outputs if len(outputs) > 1 else outputs[0]), layers, outputs)


def _states_cast(keras: Any, dtype: str, given: Parts) -> Parts:
    """Inputs with the initial states in the dtype of computation: Keras 2 casts the first argument of a call alone."""
    cast = keras.ops.cast if hasattr(keras, "ops") else keras.backend.cast
    return replace(given, states=[cast(state, dtype) for state in given.states])


def _subclassed(keras: Any, dtype: Any, layers: List[Any], forward: Callable[[Any], List[Any]]) -> Any:
    class Subclassed(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(dtype=dtype)  # a model of another dtype would cast the inputs
            self.parts = layers

        def call(self, inputs: Any) -> Any:
            outputs = forward(inputs)
            return outputs if len(outputs) > 1 else outputs[0]

    return Subclassed()


def shapes(tensors: Sequence[Any]) -> Tuple[Tuple[Any, ...], ...]:
    """The shapes of tensors, None where a size is open."""
    return tuple(tuple(tensor.shape) for tensor in tensors)
