"""Faults: named wrong LSTMs, each a small change of the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Dict

import numpy as np

from conformance.case import Case, map_lstms
from reference_impl import LSTM
from reference_impl.activations import Activation
from reference_impl.types import Array


@dataclass(frozen=True)
class Fault:
    """A wrong LSTM: what it does, in a sentence, and how it changes each LSTM of a model."""

    sentence: str
    change: Callable[[LSTM], LSTM]

    def applied(self, case: Case) -> Case:
        """The case as a subject with this fault would evaluate it."""
        return replace(case, model=map_lstms(case.model, self.change))


def sparsemax_of_summed_sums(x: Array) -> Array:
    """Sparsemax whose threshold is taken from the sum of all cumulative sums in the support, not from the last."""
    descending = -np.sort(-x, axis=-1)
    sums = np.cumsum(descending, axis=-1)
    support = 1.0 + np.arange(1, x.shape[-1] + 1) * descending > sums
    size = support.sum(axis=-1, keepdims=True)
    threshold = ((sums * support).sum(axis=-1, keepdims=True) - 1.0) / size
    projected: Array = np.maximum(x - threshold, 0.0)
    return projected


def with_activation(name: str, other: Activation) -> Callable[[LSTM], LSTM]:
    """A change that puts ``other`` in the place of the activation called ``name``."""

    def change(layer: LSTM) -> LSTM:
        return replace(
            layer,
            activation=other if layer.activation == name else layer.activation,
            recurrent_activation=other if layer.recurrent_activation == name else layer.recurrent_activation,
        )

    return change


FAULTS: Dict[str, Fault] = {
    "sparsemax_of_summed_sums": Fault(
        "sparsemax takes its threshold from the sum of all cumulative sums in the support",
        with_activation("sparsemax", sparsemax_of_summed_sums),
    ),
}
