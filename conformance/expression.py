"""A case as words and as the Keras program that builds it."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Dict, List

from conformance.case import Case
from reference_impl.model import Layer

#: Keras's default, which need not be written.
DEFAULT_DTYPE = "float32"


def arguments(layer: Layer, dtype: str = DEFAULT_DTYPE) -> Dict[str, Any]:
    """The arguments of a layer that must be given: those without a default or different from it."""
    values = ((field, getattr(layer, field.name)) for field in fields(layer))
    given = {field.name: value for field, value in values if field.default is MISSING or value != field.default}
    return given if dtype == DEFAULT_DTYPE else {**given, "dtype": dtype}


def layer_expression(layer: Layer, dtype: str = DEFAULT_DTYPE) -> str:
    """``LSTM(8, return_sequences=True)``."""
    given = [
        _value(value, dtype) if name in ("units", "layer") else f"{name}={_value(value, dtype)}"
        for name, value in arguments(layer, dtype).items()
    ]
    return f"{type(layer).__name__}({', '.join(given)})"


def program(case: Case) -> List[str]:
    """The lines of Keras that build the model of a case, given ``from keras.layers import *``."""
    expressions = [layer_expression(layer, case.dtype) for layer in case.model.layers]
    shape = f"({case.steps}, {case.features})"
    dtype = "" if case.dtype == DEFAULT_DTYPE else f", dtype={case.dtype!r}"
    if case.api == "functional":
        states = ", initial_state=states" if case.initial_state else ""
        first, *rest = expressions
        lines = [f"x = Input({shape}{dtype})", f"y = {first}(x{states})"]
        lines += [f"y = {expression}(y)" for expression in rest]
        return [*lines, f"model = Model({'[x, *states]' if case.initial_state else 'x'}, y)"]
    if case.api == "input_shape":
        expressions[0] = f"{expressions[0][:-1]}, input_shape={shape})"
    else:
        expressions.insert(0, f"Input({shape}{dtype})")
    return ["model = Sequential([", *(f"    {expression}," for expression in expressions), "])"]


def words(case: Case) -> str:
    """What the case is, in one sentence."""
    model = " → ".join(layer_expression(layer) for layer in case.model.layers)
    run = {"call": "model(x)", "predict": "model.predict(x)"}[case.mode]
    states = " from given initial states" if case.initial_state else ""
    return (
        f"{case.batch} × {case.steps} steps × {case.features} features through {model}{states},"
        f" {case.dtype}, {case.api} model, {run}"
    )


def _value(value: Any, dtype: str) -> str:
    return layer_expression(value, dtype) if hasattr(value, "weight_shapes") else repr(value)
