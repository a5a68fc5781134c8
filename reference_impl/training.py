"""Training a model: forwards, the loss, back through time, a step of the optimizer, batch after batch."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

import numpy as np

from reference_impl.gradients import differentiate_model
from reference_impl.layer import Arrays
from reference_impl.losses import Loss
from reference_impl.model import Model
from reference_impl.optimizers import Optimizer
from reference_impl.reduction import shares, total, total_gradient
from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array


class Fitted(NamedTuple):
    """What training left: the loss of each batch, before its step, and the weights after each epoch."""

    losses: List[float]
    weights: List[List[Array]]


def fit(
    model: Model,
    x: Array,
    y: Array,
    weights: Sequence[Array],
    loss: Loss,
    optimizer: Optimizer,
    batch_size: int,
    epochs: int,
    fl: Rounding = exact,
) -> Fitted:
    """Train a model of one input as ``model.fit(x, y, shuffle=False)`` does, from these weights on; all float64.

    x is (n, ...), y as the model's output; the last batch of an epoch may be smaller. Stateful layers start each batch
    from the states in which the one before ended, through which no gradient goes.
    """
    states: List[Arrays] = [()] * len(model.layers)
    trained, slots = list(weights), optimizer.slots([weight[np.newaxis] for weight in weights])
    losses: List[float] = []
    after: List[List[Array]] = []
    for _ in range(epochs):
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            (output,), ends, pullback = differentiate_model(model, [x[batch]], trained, states, fl=fl)
            states = [end if layer.stateful else () for layer, end in zip(model.layers, ends)]
            each = loss(y[batch], output, fl)
            share = shares(each.shape, over_valid=True, fl=fl)
            losses.append(float(total(each, share, fl=fl)[0]))
            rows = pullback((total_gradient(loss.gradient(y[batch], output, fl), share, fl),)).weights
            gradients = [fl.total(own, 1) for own in rows]  # (1, *shape), as optimizers take it
            stepped, slots = optimizer.step([own[np.newaxis] for own in trained], gradients, slots, len(losses), fl)
            trained = [own[0] for own in stepped]
        after.append(trained)
    return Fitted(losses, after)
