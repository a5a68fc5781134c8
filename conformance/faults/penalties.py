"""Regularizers and constraints that are lost, or others than those that were given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict

import numpy as np

from conformance.case import map_layers
from conformance.faults.fault import ChangeOfTraining, made_with
from reference_impl import LSTM
from reference_impl.regularizers import OrthogonalRegularizer
from reference_impl.training import Compiled
from reference_impl.types import Array

REGULARIZERS = tuple(f"{of}_regularizer" for of in ("kernel", "recurrent", "bias", "activity"))
CONSTRAINTS = tuple(f"{of}_constraint" for of in ("kernel", "recurrent", "bias"))


def without(*names: str) -> ChangeOfTraining:
    """Layers that are not given these arguments."""

    def change(layer: Any) -> Any:
        ungiven: Dict[str, Any] = dict.fromkeys(names)
        return replace(layer, **ungiven) if isinstance(layer, LSTM) else layer

    return lambda compiled: replace(compiled, model=map_layers(compiled.model, change))


WITHOUT_REGULARIZERS, WITHOUT_CONSTRAINTS = without(*REGULARIZERS), without(*CONSTRAINTS)


def norms_along_rows(compiled: Compiled) -> Compiled:
    """Constraints whose norms are those of the weights out of each input."""

    def change(layer: Any) -> Any:
        if not isinstance(layer, LSTM):
            return layer
        norms = {name: getattr(layer, name) for name in CONSTRAINTS if hasattr(getattr(layer, name), "axis")}
        return replace(layer, **{name: replace(constraint, axis=-1) for name, constraint in norms.items()})

    return replace(compiled, model=map_layers(compiled.model, change))


def exchanged(compiled: Compiled) -> Compiled:
    """The regularizers of kernel and recurrent kernel in each other's place."""

    def change(layer: Any) -> Any:
        if not isinstance(layer, LSTM):
            return layer
        kernel, recurrent = layer.kernel_regularizer, layer.recurrent_regularizer
        return replace(layer, kernel_regularizer=recurrent, recurrent_regularizer=kernel)

    return replace(compiled, model=map_layers(compiled.model, change))


class OfSignedProducts(OrthogonalRegularizer):
    """Is smallest where rows are opposite, not orthogonal."""

    def _signs(self, products: Array) -> Array:
        return np.square(super()._signs(products))


def signed(compiled: Compiled) -> Compiled:
    def change(layer: Any) -> Any:
        own = {name: getattr(layer, name, None) for name in REGULARIZERS}
        orthogonal = {name: one for name, one in own.items() if isinstance(one, OrthogonalRegularizer)}
        return replace(layer, **{name: OfSignedProducts(**made_with(one)) for name, one in orthogonal.items()})

    return replace(compiled, model=map_layers(compiled.model, change))
