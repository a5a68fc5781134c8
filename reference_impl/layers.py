"""The layers around recurrent ones: a dense head, and what makes masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Sequence

import numpy as np

from reference_impl import activations
from reference_impl.activations import Activation
from reference_impl.layer import NOTHING, Given, Layer, Run
from reference_impl.types import Array, Shape
from reference_impl.weights import dense_shapes


@dataclass(frozen=True)
class Dense(Layer):
    """act(x·W + b) over the last axis, as ``keras.layers.Dense``."""

    units: int
    activation: Activation = None
    use_bias: bool = True

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return dense_shapes(features, self.units, self.use_bias)

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        return {"output": (*input_shape[:-1], self.units)}

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        """The one array returned is (batch, ..., units) for x (batch, ..., d)."""
        kernel, *bias = weights
        z = given.fl.matmul(x, kernel)
        for b in bias:
            z = given.fl(z + b)
        return Run((activations.get(self.activation)(z, given.fl),), mask=given.mask)


@dataclass(frozen=True)
class Masking(Layer):
    """Masks the time steps all of whose features equal ``mask_value``, as ``keras.layers.Masking``."""

    mask_value: float = 0.0

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        return {"output": input_shape}

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        """The one array returned is x with zeros in its masked steps."""
        counts = (x.real != self.mask_value).any(axis=-1)  # whether it moves (see ``tangents``) or not
        return Run((np.where(counts[..., np.newaxis], x, 0.0),), mask=counts)


@dataclass(frozen=True)
class Embedding(Layer):
    """A row of a table for each token, as ``keras.layers.Embedding``; with ``mask_zero`` token 0 is masked."""

    input_dim: int
    output_dim: int
    mask_zero: bool = False

    def weight_shapes(self, features: int) -> Dict[str, Shape]:
        return {"embeddings": (self.input_dim, self.output_dim)}

    def output_shapes(self, input_shape: Shape) -> Dict[str, Shape]:
        return {"output": (*input_shape, self.output_dim)}

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        """The one array returned is (batch, ..., output_dim) for tokens x (batch, ...)."""
        (embeddings,) = weights
        return Run((embeddings[x.astype(int)],), mask=x != 0 if self.mask_zero else None)
