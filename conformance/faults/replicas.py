"""Wrong training on several replicas of a model, each of which is given its part of every batch."""

from __future__ import annotations

from itertools import chain
from typing import Iterable, Iterator, List, Sequence

import numpy as np

from reference_impl.rounding import Rounding, exact
from reference_impl.training import Compiled, Fitted, Objective, Samples
from reference_impl.types import Array, Arrays

#: As MirroredStrategy(["/cpu:0", "/cpu:1"]) has them.
REPLICAS = 2


class GradientsOfReplicasAdded(Compiled):
    """Adds the gradients of the replicas, whose mean is that of the loss of all, and evaluates the first one's part."""

    def objective(self, batch: Samples, weights: Sequence[Array], states: Sequence[Arrays], fl: Rounding) -> Objective:
        objective = super().objective(batch, weights, states, fl)

        def pullback() -> List[Array]:
            return [REPLICAS * gradient for gradient in objective.pullback()]

        return objective._replace(pullback=pullback)

    def evaluate(self, samples: Samples, weights: Sequence[Array], batch_size: int, fl: Rounding = exact) -> float:
        part = batch_size // REPLICAS
        own = np.arange(len(samples.x)) % batch_size < part
        x, y, weight = samples
        first = Samples(x[own], y[own], weight if weight is None else weight[own])
        return super().evaluate(first, weights, part, fl)


class AddedOnEachReplica(Compiled):
    """Adds up over the replicas, batch after batch, sums that every replica has of all of them already."""

    def evaluate(self, samples: Samples, weights: Sequence[Array], batch_size: int, fl: Rounding = exact) -> float:
        batches = samples.batches(batch_size)
        losses = [super(AddedOnEachReplica, self).evaluate(batch, weights, batch_size, fl) for batch in batches]
        return list(self._means(batches, losses))[-1]

    def fit(
        self, samples: Samples, weights: Sequence[Array], batch_size: int, epochs: int, fl: Rounding = exact
    ) -> Fitted:
        fitted, batches = super().fit(samples, weights, batch_size, epochs, fl), samples.batches(batch_size)
        each = np.reshape(fitted.losses, (epochs, len(batches)))
        return fitted._replace(means=list(chain.from_iterable(self._means(batches, losses) for losses in each)))

    def _means(self, batches: Iterable[Samples], losses: Iterable[float]) -> Iterator[float]:
        weighed = counted = 0.0
        for batch, loss in zip(batches, losses):
            weighed = REPLICAS * weighed + self.count(batch) * loss
            counted = REPLICAS * counted + self.count(batch)
            yield weighed / counted
