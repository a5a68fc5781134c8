"""Names, shapes and order of the LSTM's weights, and how many parameters they hold.

Keras keeps the four gates' matrices side by side along the last axis, in the order input, forget, candidate, output
(``keras/src/layers/rnn/lstm.py`` at v3.15.0, ``LSTMCell.build``). With d features and u units:

==================  ==========  ==========================================
weight              shape       multiplies
==================  ==========  ==========================================
kernel              (d, 4u)     the input x_t
recurrent_kernel    (u, 4u)     the previous output h_{t-1}
bias                (4u,)       1
==================  ==========  ==========================================
"""

from __future__ import annotations

from typing import Dict, Iterable, Sequence, Tuple

import numpy as np

from reference_impl.types import Array, Shape

#: Input gate, forget gate, candidate, output gate: the order along the last axis of every weight.
GATES = ("i", "f", "c", "o")

#: ONNX's LSTM operator keeps them as input, output, forget, candidate.
ONNX_GATES = ("i", "o", "f", "c")


def lstm_shapes(features: int, units: int, use_bias: bool = True) -> Dict[str, Shape]:
    """Weight shapes by name, in the order of Keras's ``get_weights()``."""
    shapes: Dict[str, Shape] = {
        "kernel": (features, 4 * units),
        "recurrent_kernel": (units, 4 * units),
    }
    if use_bias:
        shapes["bias"] = (4 * units,)
    return shapes


def dense_shapes(features: int, units: int, use_bias: bool = True) -> Dict[str, Shape]:
    """Weight shapes of a dense layer by name, in the order of Keras's ``get_weights()``."""
    shapes: Dict[str, Shape] = {"kernel": (features, units)}
    if use_bias:
        shapes["bias"] = (units,)
    return shapes


def parameter_count(shapes: Iterable[Shape]) -> int:
    """How many numbers weights of these shapes hold: 4(du + u² + u) for an LSTM with bias."""
    return sum(int(np.prod(shape)) for shape in shapes)


def split_gates(array: Array) -> Tuple[Array, Array, Array, Array]:
    """The (..., u) slices for i, f, c and o of an array (..., 4u)."""
    units = array.shape[-1] // 4
    return (
        array[..., :units],
        array[..., units : 2 * units],
        array[..., 2 * units : 3 * units],
        array[..., 3 * units :],
    )


def gate_slice(array: Array, gate: str) -> Array:
    """One gate's (..., u) slice of a weight: ``gate_slice(kernel, "c")`` is the ``kernel_c`` of Keras up to 2.3.1."""
    return split_gates(array)[GATES.index(gate)]


def reorder_gates(array: Array, order: Sequence[str]) -> Array:
    """An array (..., 4u) with its gates in another order, such as ``ONNX_GATES``.

    PyTorch's order is Keras's own (it writes g for the candidate); its matrices are transposed, ``(4u, d)``, and its
    two biases add up to the one here.
    """
    return np.concatenate([gate_slice(array, gate) for gate in order], axis=-1)
