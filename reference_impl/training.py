"""Training a model: forwards, the loss, back through time, a step of the optimizer, batch after batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from reference_impl.gradients import differentiate_model
from reference_impl.layer import Layer
from reference_impl.losses import Loss
from reference_impl.model import Model
from reference_impl.optimizers import Optimizer, Slots
from reference_impl.reduction import shares, total, total_gradient
from reference_impl.regularizers import activity
from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array, Arrays, Shape

#: What the arguments of a layer that speak of a weight begin with.
SPOKEN_OF_AS = {"kernel": "kernel", "recurrent_kernel": "recurrent", "bias": "bias"}

#: What the names of weights in the halves of Bidirectional begin with.
HALVES = ("forward_", "backward_")


class Samples(NamedTuple):
    """What is learnt from: x (n, ...), y as the model's output, and a weight for each sample or each time step."""

    x: Array
    y: Array
    sample_weight: Optional[Array] = None

    def batches(self, size: int) -> List[Samples]:
        """In order; the last may be smaller."""
        batches = [slice(start, start + size) for start in range(0, len(self.x), size)]
        x, y, weight = self
        return [Samples(x[own], y[own], weight if weight is None else weight[own]) for own in batches]


class Objective(NamedTuple):
    """What a batch asks for: the loss with all that is added to it, and the states layers end in.

    ``pullback`` takes the gradients of that loss, (1, *shape) for each weight.
    """

    loss: float
    pullback: Callable[[], List[Array]]
    states: List[Arrays]


class Fitted(NamedTuple):
    """What training left: the loss of each batch, before its step, and the weights after each epoch.

    ``means`` are what is printed behind each batch: the mean of the losses of the epoch so far.
    """

    losses: List[float]
    means: List[float]
    weights: List[List[Array]]


@dataclass(frozen=True)
class Compiled:
    """A model, what it minimizes and by what steps, as ``model.compile(optimizer, loss)`` makes it; all float64.

    The model has one input and one output. Of its layers, those with ``trainable=False`` keep their weights.
    """

    model: Model
    loss: Loss
    optimizer: Optimizer

    def fit(
        self, samples: Samples, weights: Sequence[Array], batch_size: int, epochs: int, fl: Rounding = exact
    ) -> Fitted:
        """Train as ``model.fit(x, y, shuffle=False)`` does, from these weights on.

        Stateful layers start each batch from the states in which the one before ended, through which no gradient goes.
        """
        trained, states = list(weights), self.at_rest
        slots = self.optimizer.slots([weight[np.newaxis] for weight in weights])
        fitted = Fitted([], [], [])
        for _ in range(epochs):
            counted = weighed = 0.0
            for batch in samples.batches(batch_size):
                objective = self.objective(batch, trained, states, fl)
                states = self.carried(objective)
                counted, weighed = counted + self.count(batch), weighed + self.count(batch) * objective.loss
                fitted.losses.append(objective.loss)
                fitted.means.append(weighed / counted)
                trained, slots = self.step(trained, objective.pullback(), slots, len(fitted.losses), fl)
            fitted.weights.append(trained)
        return fitted

    def evaluate(self, samples: Samples, weights: Sequence[Array], batch_size: int, fl: Rounding = exact) -> float:
        """What ``model.evaluate`` says: the mean of the losses of all batches."""
        states, counted, weighed = self.at_rest, 0.0, 0.0
        for batch in samples.batches(batch_size):
            objective = self.objective(batch, weights, states, fl)
            states = self.carried(objective)
            counted, weighed = counted + self.count(batch), weighed + self.count(batch) * objective.loss
        return weighed / counted

    def count(self, batch: Samples) -> float:
        """How much the loss of a batch counts in a mean of several: as much as it has samples."""
        return float(len(batch.x))

    def objective(self, batch: Samples, weights: Sequence[Array], states: Sequence[Arrays], fl: Rounding) -> Objective:
        """The loss of a batch with what regularizers add to it."""
        run = differentiate_model(self.model, [batch.x], weights, states, fl=fl)
        (output,), ((last, _),) = run.outputs, run.runs[-1]
        each = self.loss(batch.y, output, fl)
        share = self.shares(each.shape, batch.sample_weight, last.mask, fl)
        loss = total(each, share, fl=fl)
        added = [self.activity(layer, own.outputs[0], fl) for layer, ((own, _),) in zip(self.model.layers, run.runs)]
        for penalty, d_own in added:
            loss = loss if d_own is None else fl(loss + penalty)
        penalized = [
            (number, weights[number][np.newaxis], regularizer)
            for number, regularizer in enumerate(self.of_weights("regularizer"))
            if regularizer
        ]
        for _, weight, regularizer in penalized:
            loss = fl(loss + regularizer(weight, fl))

        def pullback() -> List[Array]:
            d_output = total_gradient(self.loss.gradient(batch.y, output, fl), share, fl)
            rows = run.pullback((d_output,), [d_own for _, d_own in added]).weights
            gradients = [fl.total(own, 1) for own in rows]
            for number, weight, regularizer in penalized:
                gradients[number] = fl(gradients[number] + regularizer.gradient(weight, fl))
            return gradients

        return Objective(float(loss[0]), pullback, run.states)

    def shares(self, shape: Shape, sample_weight: Optional[Array], mask: Optional[Array], fl: Rounding) -> Array:
        """How much of each sample's loss, of this shape, enters the total (see ``reduction``)."""
        return shares(shape, sample_weight, mask, over_valid=True, fl=fl)

    def activity(self, layer: Layer, output: Array, fl: Rounding) -> Tuple[Array, Optional[Array]]:
        """What is added to the loss for what a layer returns, (1,), and the gradient of that."""
        regularizer = getattr(layer, "activity_regularizer", None)
        if regularizer is None:
            return np.zeros(1), None
        penalty, gradient = activity(regularizer, output[np.newaxis], fl)
        return penalty, gradient[0]

    def step(
        self, weights: Sequence[Array], gradients: Sequence[Array], slots: Sequence[Slots], number: int, fl: Rounding
    ) -> Tuple[List[Array], List[Slots]]:
        """The weights and slots after a step of the optimizer, and what constraints make of the weights."""
        trained, remembered = list(weights), list(slots)
        moving = [number for number, trainable in enumerate(self.trainable) if trainable]
        stepped = self.optimizer.step(
            [weights[own][np.newaxis] for own in moving],
            [gradients[own] for own in moving],
            [slots[own] for own in moving],
            number,
            fl,
        )
        constraints = self.of_weights("constraint")
        for own, weight, slot in zip(moving, *stepped):
            trained[own] = (constraints[own](weight, fl) if constraints[own] else weight)[0]
            remembered[own] = slot
        return trained, remembered

    @property
    def trainable(self) -> List[bool]:
        """Of each weight."""
        return [getattr(layer, "trainable", True) for layer, _ in self._weights]

    def of_weights(self, kind: str) -> List[Any]:
        """The "regularizer" or "constraint" of each weight, or None."""
        return [getattr(layer, f"{SPOKEN_OF_AS.get(name)}_{kind}", None) for layer, name in self._weights]

    @property
    def _weights(self) -> List[Tuple[Any, str]]:
        """Of each weight the layer that has it, in Bidirectional the one that both halves are, and its name there."""
        return [
            (
                getattr(layer, "layer", layer),
                next((name[len(half) :] for half in HALVES if name.startswith(half)), name),
            )
            for layer in self.model.layers
            for name in layer.weight_shapes(1)
        ]

    @property
    def at_rest(self) -> List[Arrays]:
        return [()] * len(self.model.layers)

    def carried(self, objective: Objective) -> List[Arrays]:
        """The states that the next batch starts from."""
        return [end if layer.stateful else () for layer, end in zip(self.model.layers, objective.states)]
