"""A case as words and as the Keras program that builds it."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Dict, List

from conformance.case import Case
from reference_impl.model import Layer


def arguments(layer: Layer) -> Dict[str, Any]:
    """The arguments of a layer that must be given: those without a default or different from it."""
    values = ((field, getattr(layer, field.name)) for field in fields(layer))
    return {field.name: value for field, value in values if field.default is MISSING or value != field.default}


def layer_expression(layer: Layer) -> str:
    """``LSTM(8, return_sequences=True)``."""
    given = [
        value if name in ("units", "layer") else f"{name}={value}"
        for name, value in ((name, _value(value)) for name, value in arguments(layer).items())
    ]
    return f"{type(layer).__name__}({', '.join(given)})"


def program(case: Case) -> List[str]:
    """The lines of Keras that build the model of a case, given ``from keras.layers import *``."""
    expressions = [layer_expression(layer) for layer in case.model.layers]
    shape = f"({case.steps}, {case.features})"
    if case.api == "functional":
        states = ", initial_state=states" if case.initial_state else ""
        first, *rest = expressions
        lines = [f"x = Input({shape})", f"y = {first}(x{states})"]
        lines += [f"y = {expression}(y)" for expression in rest]
        return [*lines, f"model = Model({'[x, *states]' if case.initial_state else 'x'}, y)"]
    if case.api == "input_shape":
        expressions[0] = f"{expressions[0][:-1]}, input_shape={shape})"
    else:
        expressions.insert(0, f"Input({shape})")
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


def _value(value: Any) -> str:
    return layer_expression(value) if hasattr(value, "weight_shapes") else repr(value)
