"""Training that minimizes, reports, trains or carries something else than it is told to."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, Type

import numpy as np

from conformance.faults.fault import ChangeOfTraining, made_with
from conformance.faults.penalties import WITHOUT_CONSTRAINTS, WITHOUT_REGULARIZERS
from reference_impl.layer import Layer
from reference_impl.reduction import shares
from reference_impl.rounding import Rounding, exact
from reference_impl.training import Compiled, Fitted, Objective, Samples
from reference_impl.types import Array, Arrays, Shape


def compiling(kind: Type[Compiled]) -> ChangeOfTraining:
    """Training in which a part is another, whatever else is wrong with it."""

    def change(compiled: Compiled) -> Compiled:
        faulty: Any = type(kind.__name__, (kind, type(compiled)), {}) if type(compiled) is not Compiled else kind
        return faulty(**made_with(compiled))  # type: ignore[no-any-return]

    return change


class OverAll(Compiled):
    """Divides a masked loss by the number of all samples, masked ones too."""

    def shares(self, shape: Shape, sample_weight: Optional[Array], mask: Optional[Array], fl: Rounding) -> Array:
        return shares(shape, sample_weight, mask, over_valid=False, fl=fl)


class MaskNotHeeded(Compiled):
    """Counts masked steps in the loss."""

    def shares(self, shape: Shape, sample_weight: Optional[Array], mask: Optional[Array], fl: Rounding) -> Array:
        return super().shares(shape, sample_weight, None, fl)


class Unweighted(Compiled):
    """Weighs all samples alike."""

    def shares(self, shape: Shape, sample_weight: Optional[Array], mask: Optional[Array], fl: Rounding) -> Array:
        return super().shares(shape, None, mask, fl)


class OverWeights(Compiled):
    """Divides by the sum of the sample weights and not by the number of samples."""

    def shares(self, shape: Shape, sample_weight: Optional[Array], mask: Optional[Array], fl: Rounding) -> Array:
        share = super().shares(shape, sample_weight, mask, fl)
        return share if sample_weight is None else fl(share / share.sum())


class WeightsOfSteps(Compiled):
    """Takes the weight of each sample, (batch,), for that of each time step."""

    def shares(self, shape: Shape, sample_weight: Optional[Array], mask: Optional[Array], fl: Rounding) -> Array:
        if sample_weight is not None and sample_weight.shape == shape[1:]:
            sample_weight = np.broadcast_to(sample_weight, shape)
        return super().shares(shape, sample_weight, mask, fl)


class Summed(Compiled):
    """Adds up the losses of all samples and divides by nothing."""

    def shares(self, shape: Shape, sample_weight: Optional[Array], mask: Optional[Array], fl: Rounding) -> Array:
        return super().shares(shape, sample_weight, mask, fl) * float(np.prod(shape))


class ActivityOfBatch(Compiled):
    """Adds the activity loss of the whole batch, however many samples it has."""

    def activity(self, layer: Layer, output: Array, fl: Rounding) -> Tuple[Array, Optional[Array]]:
        penalty, gradient = super().activity(layer, output, fl)
        return len(output) * penalty, None if gradient is None else len(output) * gradient


class CountedAlike(Compiled):
    """Takes the mean of the batches, a smaller one counting as much as the others."""

    def count(self, batch: Samples) -> float:
        return 1.0


class LossesOfAll(Compiled):
    """Shows of each batch the mean of all losses so far, those of ``evaluate`` before training among them."""

    #: Of which batches.
    shown = slice(None)

    def fit(
        self, samples: Samples, weights: Sequence[Array], batch_size: int, epochs: int, fl: Rounding = exact
    ) -> Fitted:
        fitted = super().fit(samples, weights, batch_size, epochs, fl)
        counts = [self.count(batch) for batch in samples.batches(batch_size)]
        evaluated = sum(counts) * self.evaluate(samples, weights, batch_size, fl)
        weighed = evaluated + np.cumsum(np.multiply(counts * epochs, fitted.losses))
        losses = np.array(fitted.losses)
        losses[self.shown] = (weighed / (sum(counts) + np.cumsum(counts * epochs)))[self.shown]
        return fitted._replace(losses=list(losses))


class FirstLossOfAll(LossesOfAll):
    """The same of the first batch alone."""

    shown = slice(1)


class PrintedOnly(Compiled):
    """Adds what regularizers ask for to the loss and not to the gradients."""

    def objective(self, batch: Samples, weights: Sequence[Array], states: Sequence[Arrays], fl: Rounding) -> Objective:
        bare = WITHOUT_REGULARIZERS(Compiled(self.model, self.loss, self.optimizer))
        pullback = bare.objective(batch, weights, states, fl).pullback
        return super().objective(batch, weights, states, fl)._replace(pullback=pullback)


class NotPrinted(Compiled):
    """Adds what regularizers ask for to the gradients and not to the loss."""

    def objective(self, batch: Samples, weights: Sequence[Array], states: Sequence[Arrays], fl: Rounding) -> Objective:
        bare = WITHOUT_REGULARIZERS(Compiled(self.model, self.loss, self.optimizer))
        loss = bare.objective(batch, weights, states, fl).loss
        return super().objective(batch, weights, states, fl)._replace(loss=loss)


class ConstrainedBefore(Compiled):
    """Projects the weights before a step and not after it."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Any) -> Any:
        projections = self.of_weights("constraint")
        own = [project(w[np.newaxis], fl)[0] if project else w for project, w in zip(projections, weights)]
        return WITHOUT_CONSTRAINTS(Compiled(self.model, self.loss, self.optimizer)).step(
            own, gradients, slots, number, fl
        )


class Thawed(Compiled):
    """Trains layers that are not to be trained."""

    @property
    def trainable(self) -> List[bool]:
        return [True for _ in super().trainable]


class NothingCarried(Compiled):
    """Starts every batch from zeros."""

    def carried(self, objective: Objective) -> List[Arrays]:
        return self.at_rest
