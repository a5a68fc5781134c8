"""What all versions' layers are asked in one way: their weights, the names of these, their states."""

from __future__ import annotations

from typing import Any, Sequence

from reference_impl.types import Array


def set_weights(layers: Sequence[Any], weights: Sequence[Array]) -> None:
    """Give each layer its own of the weights of all."""
    remaining = list(weights)
    for layer in layers:
        count = len(layer.weights)
        layer.set_weights(remaining[:count])
        remaining = remaining[count:]


def reset_states(layers: Sequence[Any]) -> None:
    """Reset what stateful layers carry; ``reset_state`` in Keras 3, ``reset_states`` in Keras 2."""
    for layer in layers:
        reset = getattr(layer, "reset_state", None) or getattr(layer, "reset_states", None)
        if reset and getattr(layer, "stateful", False):
            reset()


def base_name(name: str) -> str:
    """``kernel`` from ``lstm/lstm_cell/kernel:0``, as Keras 2 writes it, or from ``kernel``, as Keras 3 does."""
    return name.rsplit("/", maxsplit=1)[-1].split(":", maxsplit=1)[0]
