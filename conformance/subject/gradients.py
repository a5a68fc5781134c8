"""Asking Keras for gradients, by TensorFlow's GradientTape."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence

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


def gradients(tensorflow: Any, built: Built, mode: str, given: Any, cotangents: Sequence[Any]) -> List[Any]:
    """The gradients of Σ ⟨cotangent, output⟩ with respect to the floating inputs of a model, and to its weights.

    ``given`` are the model's inputs as tensors, as ``Parts.arrange`` has them. What the outputs do not depend on has a
    gradient of zeros.
    """
    variables = [_variable(tensorflow, weight) for layer in built.layers for weight in layer.weights]
    zeros = tensorflow.UnconnectedGradients.ZERO

    def differentiate(inputs: Any, outer: Any) -> Any:
        floating = [tensor for tensor in flat(inputs) if tensor.dtype.is_floating]
        with tensorflow.GradientTape() as tape:
            tape.watch(floating)
            outputs = flat(built.model(inputs))
        outer = [tensorflow.cast(cotangent, output.dtype) for cotangent, output in zip(outer, outputs)]
        return tape.gradient(outputs, [*floating, *variables], output_gradients=outer, unconnected_gradients=zeros)

    found = WRAPPERS[mode](tensorflow, differentiate)(given, list(cotangents))
    return [tensorflow.convert_to_tensor(gradient) for gradient in found]  # those of a table come by rows


def _variable(tensorflow: Any, weight: Any) -> Any:
    """The variable behind a weight; Keras 3 wraps it."""
    return weight if isinstance(weight, tensorflow.Variable) else weight.value
