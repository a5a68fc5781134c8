"""One time step of the LSTM (Hochreiter and Schmidhuber, 1997; with the forget gate of Gers et al., 2000)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from reference_impl.activations import Function
from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array
from reference_impl.weights import split_gates


@dataclass(frozen=True)
class DropoutMasks:
    """What dropout multiplies the inputs of each gate with, at every step alike (Gal and Ghahramani, 2016).

    ``inputs`` is (batch, 4, d) for x, ``recurrent`` (batch, 4, u) for h, gates in the order i, f, c, o; an entry is 0
    or 1/(1 - rate). None where nothing is dropped.
    """

    inputs: Optional[Array] = None
    recurrent: Optional[Array] = None


NO_DROPOUT = DropoutMasks()


def lstm_gates(
    x: Array,
    h: Array,
    weights: Sequence[Array],
    recurrent_activation: Function,
    fl: Rounding = exact,
    dropout: DropoutMasks = NO_DROPOUT,
) -> Tuple[Array, Array, Array, Array]:
    """The input gate, the forget gate, the candidate's sum and the output gate of one step, each (batch, u).

    ::

        z  = x·W + h·U + b                      (batch, 4u), gates i, f, c, o
        i  = σ(z_i)    f = σ(z_f)    o = σ(z_o)

    The arguments are those of ``lstm_step``. Returns i, f, z_c and o.
    """
    _, gates, z_c = _gates(x, h, weights, recurrent_activation, fl, dropout)
    return gates[:, 0], gates[:, 1], z_c, gates[:, 2]


def lstm_step(
    x: Array,
    h: Array,
    c: Array,
    weights: Sequence[Array],
    activation: Function,
    recurrent_activation: Function,
    fl: Rounding = exact,
    dropout: DropoutMasks = NO_DROPOUT,
) -> Tuple[Array, Array]:
    """Advance the output h and the carry c by one step, with the gates of ``lstm_gates``.

    ::

        c' = f ∘ c  +  i ∘ act(z_c)
        h' = o ∘ act(c')

    x is (batch, d), h and c are (batch, u); ``weights`` are W (d, 4u), U (u, 4u) and, if the layer has a bias,
    b (4u,). σ is ``recurrent_activation``, act is ``activation``. Returns h' and c'.
    """
    values = lstm_values(x, h, c, weights, activation, recurrent_activation, fl, dropout)
    return values.h, values.c


class Values(NamedTuple):
    """All that ``lstm_step`` computes, for whoever goes back through it; each (batch, u) where nothing else is said."""

    sums: Array  #: z_i, z_f, z_o: (batch, 3, u)
    gates: Array  #: i, f, o: (batch, 3, u)
    z_c: Array
    candidate: Array  #: act(z_c)
    c: Array  #: c'
    activated: Array  #: act(c')
    h: Array  #: h'


def lstm_values(
    x: Array,
    h: Array,
    c: Array,
    weights: Sequence[Array],
    activation: Function,
    recurrent_activation: Function,
    fl: Rounding = exact,
    dropout: DropoutMasks = NO_DROPOUT,
) -> Values:
    """The values of ``lstm_step``, whose arguments these are."""
    sums, gates, z_c = _gates(x, h, weights, recurrent_activation, fl, dropout)
    i, f, o = gates[:, 0], gates[:, 1], gates[:, 2]
    kept = fl(f * c)
    candidate = activation(z_c, fl)
    c = fl(kept + fl(i * candidate))
    activated = activation(c, fl)
    return Values(sums, gates, z_c, candidate, c, activated, fl(o * activated))


def _gates(
    x: Array,
    h: Array,
    weights: Sequence[Array],
    recurrent_activation: Function,
    fl: Rounding,
    dropout: DropoutMasks,
) -> Tuple[Array, Array, Array]:
    """The sums z_i, z_f, z_o and the gates made of them, each (batch, 3, u), and z_c, (batch, u)."""
    kernel, recurrent_kernel, *bias = weights
    z = fl(_product(x, kernel, dropout.inputs, fl) + _product(h, recurrent_kernel, dropout.recurrent, fl))
    for b in bias:
        z = fl(z + b)
    z_i, z_f, z_c, z_o = split_gates(z)
    sums = np.stack([z_i, z_f, z_o], axis=1)
    return sums, recurrent_activation(sums, fl), z_c


def _product(value: Array, weight: Array, masks: Optional[Array], fl: Rounding) -> Array:
    """``value @ weight``, for each gate after its mask where there is one."""
    if masks is None:
        return fl.matmul(value, weight)
    gates = enumerate(split_gates(weight))
    return np.concatenate([fl.matmul(fl(value * masks[:, gate]), own) for gate, own in gates], axis=-1)
