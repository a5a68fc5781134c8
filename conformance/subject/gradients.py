"""Asking Keras for gradients, by TensorFlow's GradientTape, and for those of gradients, by a tape around another."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple

from conformance.subject.build import Built, flat
from conformance.subject.modes import jit_argument

#: How the function that records and differentiates is run, by mode.
WRAPPERS: Dict[str, Callable[[Any, Callable[..., Any]], Callable[..., Any]]] = {
    "call": lambda tensorflow, differentiate: differentiate,
    "function": lambda tensorflow, differentiate: tensorflow.function(differentiate),
    "compiled": lambda tensorflow, differentiate: tensorflow.function(
        differentiate, **{jit_argument(tensorflow): True}
    ),
}


#: From a model's inputs and cotangents, what is differentiated with respect to, and the gradients.
Differentiate = Callable[[Any, Sequence[Any]], Tuple[List[Any], List[Any]]]


def gradients(tensorflow: Any, built: Built, mode: str, given: Any, cotangents: Sequence[Any]) -> List[Any]:
    """The gradients of Σ ⟨cotangent, output⟩ with respect to the floating inputs of a model, and to its weights.

    ``given`` are the model's inputs as tensors, as ``Parts.arrange`` has them. What the outputs do not depend on has a
    gradient of zeros.
    """
    first = _first_order(tensorflow, built)
    found: List[Any] = WRAPPERS[mode](tensorflow, lambda inputs, outer: first(inputs, outer)[1])(
        given, list(cotangents)
    )
    return found


def hessian_product(
    tensorflow: Any, built: Built, mode: str, given: Any, cotangents: Sequence[Any], direction: Sequence[Any]
) -> List[Any]:
    """The gradients of Σ ⟨direction, gradient⟩ over all that ``gradients`` returns: the Hessian times the direction."""
    first = _first_order(tensorflow, built)
    zeros = tensorflow.UnconnectedGradients.ZERO

    def differentiate(inputs: Any, outer: Any, along: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            tape.watch(_floating(inputs))
            sources, found = first(inputs, outer)
        return tape.gradient(found, sources, output_gradients=along, unconnected_gradients=zeros)

    found = WRAPPERS[mode](tensorflow, differentiate)(given, list(cotangents), list(direction))
    return [tensorflow.convert_to_tensor(product) for product in found]


def _first_order(tensorflow: Any, built: Built) -> Differentiate:
    variables = [_variable(tensorflow, weight) for layer in built.layers for weight in layer.weights]
    zeros = tensorflow.UnconnectedGradients.ZERO

    def differentiate(inputs: Any, outer: Any) -> Any:
        sources = [*_floating(inputs), *variables]
        with tensorflow.GradientTape() as tape:
            tape.watch(_floating(inputs))
            outputs = flat(built.model(inputs))
        outer = [tensorflow.cast(cotangent, output.dtype) for cotangent, output in zip(outer, outputs)]
        found = tape.gradient(outputs, sources, output_gradients=outer, unconnected_gradients=zeros)
        return sources, [tensorflow.convert_to_tensor(gradient) for gradient in found]  # a table's come by rows

    return differentiate


def _floating(inputs: Any) -> List[Any]:
    return [tensor for tensor in flat(inputs) if tensor.dtype.is_floating]


def _variable(tensorflow: Any, weight: Any) -> Any:
    """The variable behind a weight; Keras 3 wraps it."""
    return weight if isinstance(weight, tensorflow.Variable) else weight.value
