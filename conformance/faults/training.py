"""Faults of training: gradients are right, what is made of them is not, or the loss is another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

import numpy as np

from conformance.case import map_layers
from conformance.faults.fault import arguments
from conformance.faults.replicas import AddedOnEachReplica, GradientsOfReplicasAdded
from conformance.faults.words import ClippedWordByWord, SquaredWordByWord, WordsStandStill
from reference_impl import LSTM, Embedding, Masking
from reference_impl.clipping import BOUNDS
from reference_impl.layer import Arrays, Layer
from reference_impl.optimizers import SGD, Adagrad, Adam, Optimizer, RMSprop, Slots
from reference_impl.reduction import shares
from reference_impl.regularizers import OrthogonalRegularizer
from reference_impl.rounding import Rounding, exact
from reference_impl.training import Compiled, Fitted, Objective, Samples
from reference_impl.types import Array, Shape

ChangeOfTraining = Callable[[Compiled], Compiled]
Where = Callable[[Compiled], bool]

#: What mixed precision multiplies the loss by, to begin with.
LOSS_SCALE = 2.0**15


@dataclass(frozen=True)
class TrainingFault:
    """Wrong training: what is wrong, in a sentence, and where it may make a difference."""

    sentence: str
    of_training: ChangeOfTraining
    where: Where


def without(*names: str) -> ChangeOfTraining:
    """Layers that are not given these arguments."""

    def change(layer: Any) -> Any:
        ungiven: Dict[str, Any] = dict.fromkeys(names)
        return replace(layer, **ungiven) if isinstance(layer, LSTM) else layer

    return lambda compiled: replace(compiled, model=map_layers(compiled.model, change))


def given_to_layers(*names: str, kind: type = object) -> Where:
    """Where some layer is given one of these arguments, of a kind."""

    def given(layer: Layer, name: str) -> bool:
        own = getattr(getattr(layer, "layer", layer), name, None)
        return bool(own) and isinstance(own, kind)

    return lambda compiled: any(given(layer, name) for layer in compiled.model.layers for name in names)


def with_optimizer(*names: str, kind: type = Optimizer) -> Where:
    """Where the optimizer is of a kind and given all these arguments."""

    def where(compiled: Compiled) -> bool:
        return isinstance(compiled.optimizer, kind) and all(getattr(compiled.optimizer, name) for name in names)

    return where


def optimizing(**changed: Any) -> ChangeOfTraining:
    """An optimizer with other arguments."""
    return lambda compiled: replace(compiled, optimizer=replace(compiled.optimizer, **changed))


def stepping(kind: Callable[..., Optimizer]) -> ChangeOfTraining:
    """An optimizer with something around it."""
    return lambda compiled: replace(compiled, optimizer=kind(inner=compiled.optimizer))


def compiling(kind: Type[Compiled]) -> ChangeOfTraining:
    """Training in which a part is another, whatever else is wrong with it."""

    def change(compiled: Compiled) -> Compiled:
        faulty: Any = type(kind.__name__, (kind, type(compiled)), {}) if type(compiled) is not Compiled else kind
        return faulty(**arguments(compiled))  # type: ignore[no-any-return]

    return change


@dataclass(frozen=True)
class Around(Optimizer):
    """An optimizer that is given other gradients or takes another step."""

    inner: Any = None

    def slots(self, weights: Sequence[Array]) -> List[Slots]:
        slots: List[Slots] = self.inner.slots(weights)
        return slots

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        return self.inner.step(weights, gradients, slots, number, fl)


class LateStep(Around):
    """Takes every step for one so late that its means need no correction."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        return super().step(weights, gradients, slots, 10**6, fl)


class ClippedWhileScaled(Around):
    """Clips the gradients of the scaled loss, and takes the scale out of what is left."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        given = {name: getattr(self.inner, name) for name in BOUNDS}
        smaller = {name: own and own / LOSS_SCALE for name, own in given.items()}
        return replace(self.inner, **smaller).step(weights, gradients, slots, number, fl)


class DecayInGradient(Around):
    """Adds λ·w to the gradient, as if the loss had a penalty, and decays no weight."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        added = [fl(g + fl(self.inner.weight_decay * w)) for g, w in zip(gradients, weights)]
        return replace(self.inner, weight_decay=None).step(weights, added, slots, number, fl)


class UnscaledDecay(Around):
    """Takes λ·w off a weight, whatever the learning rate."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        larger = self.inner.weight_decay / self.inner.learning_rate
        return replace(self.inner, weight_decay=larger).step(weights, gradients, slots, number, fl)


class Dampened(Around):
    """Remembers only (1 - μ)·g of each gradient, as an average does."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        smaller = [fl((1.0 - self.inner.momentum) * g) for g in gradients]
        return self.inner.step(weights, smaller, slots, number, fl)


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


def norms_along_rows(compiled: Compiled) -> Compiled:
    """Constraints whose norms are those of the weights out of each input."""

    def change(layer: Any) -> Any:
        if not isinstance(layer, LSTM):
            return layer
        norms = {name: getattr(layer, name) for name in CONSTRAINTS if hasattr(getattr(layer, name), "axis")}
        return replace(layer, **{name: replace(constraint, axis=-1) for name, constraint in norms.items()})

    return replace(compiled, model=map_layers(compiled.model, change))


def epsilon_moved(compiled: Compiled) -> Compiled:
    optimizer: Any = compiled.optimizer
    return optimizing(epsilon_inside=not optimizer.epsilon_inside)(compiled)


def betas_exchanged(compiled: Compiled) -> Compiled:
    adam: Any = compiled.optimizer
    return optimizing(beta_1=adam.beta_2, beta_2=adam.beta_1)(compiled)


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
        return replace(layer, **{name: OfSignedProducts(**arguments(one)) for name, one in orthogonal.items()})

    return replace(compiled, model=map_layers(compiled.model, change))


REGULARIZERS = tuple(f"{of}_regularizer" for of in ("kernel", "recurrent", "bias", "activity"))
CONSTRAINTS = tuple(f"{of}_constraint" for of in ("kernel", "recurrent", "bias"))
WITHOUT_REGULARIZERS, WITHOUT_CONSTRAINTS = without(*REGULARIZERS), without(*CONSTRAINTS)


def everywhere(compiled: Compiled) -> bool:
    return True


def masked(compiled: Compiled) -> bool:
    return isinstance(compiled.model.layers[0], (Masking, Embedding))


def frozen(compiled: Compiled) -> bool:
    return not all(compiled.trainable)


def carrying(compiled: Compiled) -> bool:
    return any(layer.stateful for layer in compiled.model.layers)


def momentous(compiled: Compiled) -> bool:
    return bool(getattr(compiled.optimizer, "momentum", 0.0))


def embedded(compiled: Compiled) -> bool:
    return isinstance(compiled.model.layers[0], Embedding)


def words_go_on(compiled: Compiled) -> bool:
    """Whether a word moves on from step to step without a gradient."""
    return embedded(compiled) and (momentous(compiled) or isinstance(compiled.optimizer, Adam))


def clipping(compiled: Compiled) -> bool:
    return any(getattr(compiled.optimizer, name) for name in BOUNDS)


def epsilon_has_a_place(compiled: Compiled) -> bool:
    return isinstance(compiled.optimizer, (RMSprop, Adagrad))


TRAINING_FAULTS: Dict[str, TrainingFault] = {
    # What is minimized.
    "training_loss_summed": TrainingFault(
        "the losses of all samples are added up and divided by nothing", compiling(Summed), everywhere
    ),
    "training_mask_ignored_by_loss": TrainingFault(
        "masked time steps count in the loss", compiling(MaskNotHeeded), masked
    ),
    "training_masked_loss_over_all": TrainingFault(
        "a masked loss is divided by the number of all time steps, masked ones too", compiling(OverAll), masked
    ),
    "training_unweighted": TrainingFault("sample weights are ignored", compiling(Unweighted), everywhere),
    "training_over_weights": TrainingFault(
        "the loss is divided by the sum of the sample weights", compiling(OverWeights), everywhere
    ),
    "training_weights_of_steps": TrainingFault(
        "weights of samples are taken for those of time steps", compiling(WeightsOfSteps), everywhere
    ),
    "training_batches_counted_alike": TrainingFault(
        "the mean of the losses of batches is shown, a smaller batch counting as much as the others",
        compiling(CountedAlike),
        everywhere,
    ),
    "training_losses_of_all": TrainingFault(
        "train_on_batch returns the mean of all losses so far, those of evaluate among them",
        compiling(LossesOfAll),
        everywhere,
    ),
    "training_first_loss_of_all": TrainingFault(
        "the first loss of train_on_batch is the mean of it and those of evaluate before",
        compiling(FirstLossOfAll),
        everywhere,
    ),
    "training_gradients_of_replicas_added": TrainingFault(
        "the gradients of two replicas are added, and evaluate shows the loss of the first",
        compiling(GradientsOfReplicasAdded),
        everywhere,
    ),
    "training_earlier_batches_count_double": TrainingFault(
        "in the loss that is shown each batch counts half as much as the one before",
        compiling(AddedOnEachReplica),
        everywhere,
    ),
    "training_states_not_carried": TrainingFault(
        "a stateful layer starts every batch from zeros", compiling(NothingCarried), carrying
    ),
    # What regularizers add.
    **{
        f"training_no_{name}": TrainingFault(f"{name} is ignored", without(name), given_to_layers(name))
        for name in REGULARIZERS
    },
    "training_regularizers_exchanged": TrainingFault(
        "kernel and recurrent kernel have each other's regularizer", exchanged, given_to_layers(*REGULARIZERS[:2])
    ),
    "training_regularizers_printed_only": TrainingFault(
        "regularizers add to the loss and not to the gradients", compiling(PrintedOnly), given_to_layers(*REGULARIZERS)
    ),
    "training_regularizers_not_printed": TrainingFault(
        "regularizers add to the gradients and not to the loss", compiling(NotPrinted), given_to_layers(*REGULARIZERS)
    ),
    "training_orthogonal_of_signed_products": TrainingFault(
        "OrthogonalRegularizer adds up products of either sign",
        signed,
        given_to_layers(*REGULARIZERS, kind=OrthogonalRegularizer),
    ),
    "training_activity_of_batch": TrainingFault(
        "the activity loss is not divided by the number of samples",
        compiling(ActivityOfBatch),
        given_to_layers("activity_regularizer"),
    ),
    # What becomes of gradients.
    **{
        f"training_no_{name}": TrainingFault(f"{name} is ignored", optimizing(**{name: None}), with_optimizer(name))
        for name in BOUNDS
    },
    "training_clipped_while_scaled": TrainingFault(
        f"gradients are clipped before a loss scale of {LOSS_SCALE:.0f} is taken out of them",
        stepping(ClippedWhileScaled),
        clipping,
    ),
    "training_global_norm_of_each": TrainingFault(
        "each weight's gradient is clipped to global_clipnorm by itself",
        lambda compiled: optimizing(global_clipnorm=None, clipnorm=compiled.optimizer.global_clipnorm)(compiled),
        with_optimizer("global_clipnorm"),
    ),
    "training_norm_of_all": TrainingFault(
        "the gradients of all weights are clipped to clipnorm together",
        lambda compiled: optimizing(clipnorm=None, global_clipnorm=compiled.optimizer.clipnorm)(compiled),
        with_optimizer("clipnorm"),
    ),
    "training_words_clipped_one_by_one": TrainingFault(
        "of a word that occurs several times each gradient is clipped, and counts in the norm, by itself",
        compiling(ClippedWordByWord),
        lambda compiled: embedded(compiled) and clipping(compiled),
    ),
    # What optimizers make of them.
    "training_no_momentum": TrainingFault("momentum is ignored", optimizing(momentum=0.0), momentous),
    "training_momentum_dampened": TrainingFault(
        "momentum remembers (1 - momentum) of each gradient", stepping(Dampened), momentous
    ),
    "training_words_stand_still": TrainingFault(
        "words that do not occur in a batch are not moved by what is remembered of them",
        compiling(WordsStandStill),
        words_go_on,
    ),
    "training_words_squared_one_by_one": TrainingFault(
        "of a word that occurs several times the squares of its gradients are added up",
        compiling(SquaredWordByWord),
        lambda compiled: embedded(compiled) and isinstance(compiled.optimizer, (Adam, RMSprop, Adagrad)),
    ),
    "training_no_nesterov": TrainingFault(
        "nesterov is ignored", optimizing(nesterov=False), with_optimizer("nesterov", kind=SGD)
    ),
    "training_not_centered": TrainingFault(
        "centered is ignored", optimizing(centered=False), with_optimizer("centered", kind=RMSprop)
    ),
    "training_epsilon_moved": TrainingFault(
        "ε is under the root, not beside it, or the other way round", epsilon_moved, epsilon_has_a_place
    ),
    "training_bias_uncorrected": TrainingFault(
        "Adam's means are not corrected for starting at zero", stepping(LateStep), with_optimizer(kind=Adam)
    ),
    "training_betas_exchanged": TrainingFault(
        "Adam's beta_1 and beta_2 are exchanged",
        betas_exchanged,
        with_optimizer(kind=Adam),
    ),
    "training_no_amsgrad": TrainingFault(
        "amsgrad is ignored", optimizing(amsgrad=False), with_optimizer("amsgrad", kind=Adam)
    ),
    "training_no_weight_decay": TrainingFault(
        "weight_decay is ignored", optimizing(weight_decay=None), with_optimizer("weight_decay")
    ),
    "training_weight_decay_as_l2": TrainingFault(
        "weight_decay is added to the gradient, as an L2 penalty",
        stepping(DecayInGradient),
        with_optimizer("weight_decay"),
    ),
    "training_weight_decay_unscaled": TrainingFault(
        "weight_decay is not multiplied by the learning rate", stepping(UnscaledDecay), with_optimizer("weight_decay")
    ),
    # What becomes of weights.
    **{
        f"training_no_{name}": TrainingFault(f"{name} is ignored", without(name), given_to_layers(name))
        for name in CONSTRAINTS
    },
    "training_constrained_before": TrainingFault(
        "weights are constrained before a step and not after it",
        compiling(ConstrainedBefore),
        given_to_layers(*CONSTRAINTS),
    ),
    "training_norms_along_rows": TrainingFault(
        "constraints take norms along the wrong axis", norms_along_rows, given_to_layers(*CONSTRAINTS[:2])
    ),
    "training_thawed": TrainingFault("layers with trainable=False are trained", compiling(Thawed), frozen),
}
