"""Faults of training: gradients are right, what is made of them is not, or the loss is another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict

from conformance.faults.fault import ChangeOfTraining
from conformance.faults.objectives import (
    ActivityOfBatch,
    ConstrainedBefore,
    CountedAlike,
    FirstLossOfAll,
    LossesOfAll,
    MaskNotHeeded,
    NothingCarried,
    NotPrinted,
    OverAll,
    OverWeights,
    PrintedOnly,
    Summed,
    Thawed,
    Unweighted,
    WeightsOfSteps,
    compiling,
)
from conformance.faults.optimizers import (
    LOSS_SCALE,
    ClippedWhileScaled,
    Dampened,
    DecayInGradient,
    LateStep,
    UnscaledDecay,
    betas_exchanged,
    epsilon_moved,
    optimizing,
    stepping,
)
from conformance.faults.penalties import CONSTRAINTS, REGULARIZERS, exchanged, norms_along_rows, signed, without
from conformance.faults.replicas import AddedOnEachReplica, GradientsOfReplicasAdded
from conformance.faults.words import ClippedWordByWord, SquaredWordByWord, WordsStandStill
from reference_impl import Embedding, Masking
from reference_impl.clipping import BOUNDS
from reference_impl.layer import Layer
from reference_impl.optimizers import SGD, Adagrad, Adam, Optimizer, RMSprop
from reference_impl.regularizers import OrthogonalRegularizer
from reference_impl.training import Compiled

Where = Callable[[Compiled], bool]


@dataclass(frozen=True)
class TrainingFault:
    """Wrong training: what is wrong, in a sentence, and where it may make a difference."""

    sentence: str
    of_training: ChangeOfTraining
    where: Where


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
