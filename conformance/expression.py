"""A case as words and as the Keras program that builds it."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Dict, List

from conformance.case import Case
from conformance.data import state_shapes
from reference_impl import EncoderDecoder, Layer, Masking, Shared
from reference_impl.cells import Cell
from reference_impl.layers import Dense, Embedding
from reference_impl.types import Shape

#: Keras's default, which need not be written.
DEFAULT_DTYPE = "float32"

#: What tells the generations of Keras apart in the reference, and is no argument of Keras's.
NOT_OF_KERAS = ("epsilon_inside", "epsilon_added")

#: How a model is run, in words.
RUNS = {
    "call": "model(x)",
    "function": "tf.function(model)(x)",
    "compiled": "tf.function(model, jit_compile=True)(x)",
    "predict": "model.predict(x)",
    "predict_batches": "model.predict(x, batch_size=2)",
    "predict_on_batch": "model.predict_on_batch(x)",
    "run_eagerly": "model.predict(x) compiled with run_eagerly=True",
    "dataset": "model.predict(tf.data.Dataset of x)",
    "mirrored": "model.predict(x) under MirroredStrategy",
    "tflite": "tf.function(model) converted to TensorFlow Lite",
    "tflite_of_model": "model converted to TensorFlow Lite",
    "tflite_of_open_batch": "model converted to TensorFlow Lite before the batch is known",
    "litert": "model exported to LiteRT",
    "onnx": "model exported to ONNX",
}


def arguments(described: Any, dtype: str = DEFAULT_DTYPE) -> Dict[str, Any]:
    """What a layer, loss, optimizer, ... must be given: arguments without a default or different from it."""
    own = (field for field in fields(described) if field.init and field.name not in NOT_OF_KERAS)
    values = ((field, getattr(described, field.name)) for field in own)
    given = {field.name: value for field, value in values if field.default is MISSING or value != field.default}
    return given if dtype == DEFAULT_DTYPE else {**given, "dtype": dtype}


def expression(described: Any, dtype: str = DEFAULT_DTYPE) -> str:
    """``LSTM(8, return_sequences=True)``."""
    given = [
        _value(value, dtype) if name in POSITIONAL else f"{name}={_value(value, dtype)}"
        for name, value in arguments(described, dtype).items()
    ]
    return f"{type(described).__name__}({', '.join(given)})"


POSITIONAL = ("units", "layer", "cell", "cells", "mask_value", "input_dim", "output_dim")


def layer_expressions(case: Case) -> List[str]:
    """Python that makes each layer of a case; the first may be told the shape of the input."""
    expressions = [expression(layer, case.dtype) for layer in case.model.layers]
    if case.api == "input_shape":
        expressions[0] = f"{expressions[0][:-1]}, input_shape={case.input_shape[1:]})"
    return expressions


def program(case: Case) -> List[str]:
    """The lines of Keras that build the model of a case, given ``from keras.layers import *``."""
    expressions = layer_expressions(case)
    inputs = [input_expression(case, shape) for shape in case.symbolic_shapes]
    if case.api == "sequential":
        expressions.insert(0, inputs[0])
    if case.api in ("sequential", "input_shape"):
        return ["model = Sequential([", *(f"    {expression}," for expression in expressions), "])"]
    lines = [f"{name} = {value}" for name, value in zip(names("x", case), inputs)]
    if case.mask_dtype:
        masks = (input_expression(case, shape[:-1], case.mask_dtype) for shape in case.symbolic_shapes)
        lines += [f"{name} = {value}" for name, value in zip(names("mask", case), masks)]
    if case.initial_state:
        states = (input_expression(case, shape, case.compute_dtype) for shape in state_shapes(case))
        lines.append(f"states = [{', '.join(states)}]")
    return [*lines, *calls(case, expressions), *_around(case)]


def words(case: Case) -> str:
    """What the case is, in one sentence."""
    joint = {EncoderDecoder: " ⇒ ", Shared: " twice "}.get(type(case.model), " → ")
    model = joint.join(expression(layer) for layer in case.model.layers)
    details = [
        *([f"{case.values} values"] if case.values != "usual" else []),
        *([f"mask {case.mask}"] if case.mask else []),
        *(["from given initial states"] if case.initial_state else []),
        *(["called twice, and again after a reset"] if case.stateful else []),
        *(["with two lengths"] if case.open_steps else []),
        case.dtype,
        f"{case.api} model" if case.api != "layer" else "layers called by themselves",
        RUNS[case.mode],
    ]
    return f"{case.batch} × {case.steps} steps × {case.features} features through {model}, {', '.join(details)}"


def input_expression(case: Case, shape: Shape, dtype: str = "") -> str:
    """``Input((20, 5))``, with the batch where the model must know it."""
    if not dtype and (case.values == "integers" or isinstance(case.model.layers[0], Embedding)):
        dtype = "int32"
    dtype = dtype or ("float64" if case.dtype == "float64" else DEFAULT_DTYPE)
    size = f"batch_shape={tuple(shape)}" if case.stateful else str(tuple(shape[1:]))
    return f"Input({size})" if dtype == DEFAULT_DTYPE else f"Input({size}, dtype={dtype!r})"


def names(name: str, case: Case) -> List[str]:
    """x, or x1 and x2."""
    count = case.model.inputs
    return [name] if count == 1 else [f"{name}{number}" for number in range(1, count + 1)]


def calls(case: Case, expressions: List[str]) -> List[str]:
    """The lines that call the layers."""
    states = ", initial_state=states" if case.initial_state else ""
    masks = [f", mask={name}" if case.mask_dtype else "" for name in names("mask", case)]
    if isinstance(case.model, EncoderDecoder):
        encoder, decoder = expressions
        return [
            f"_, *encoded = {encoder}(x1{masks[0]}{states})",
            f"y = {decoder}(x2{masks[1]}, initial_state=encoded)",
        ]
    if isinstance(case.model, Shared):
        return [f"layer = {expressions[0]}", f"y = [layer(x1{masks[0]}{states}), layer(x2{masks[1]}{states})]"]
    if isinstance(case.model.layers[0], Cell):
        return [f"y = {expressions[0]}(x, states)"]
    lines, below = [], "x"
    for layer, expression in zip(case.model.layers, expressions):
        recurrent = not isinstance(layer, (Masking, Embedding, Dense))
        lines.append(f"y = {expression}({below}{(masks[0] + states) if recurrent else ''})")
        states, below = "" if recurrent else states, "y"
    return lines


def _around(case: Case) -> List[str]:
    """The line that makes the layers a model."""
    given = [*names("x", case), *(names("mask", case) if case.mask_dtype else [])]
    states = ["*states"] if case.initial_state else []
    inputs = f"[{', '.join(given + states)}]" if len(given + states) > 1 else given[0]
    return {
        "functional": [f"model = Model({inputs}, y)"],
        "subclass": ["# the calls are those of a subclass of Model"],
        "layer": ["# the calls are made with tensors, without a Model"],
    }[case.api]


def _value(value: Any, dtype: str) -> str:
    if is_dataclass(value):
        return expression(value, dtype if isinstance(value, Layer) else DEFAULT_DTYPE)
    return f"[{', '.join(_value(item, dtype) for item in value)}]" if isinstance(value, tuple) else repr(value)
