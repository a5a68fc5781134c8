"""Why a version of Keras has nothing to run something with; each answer is an empty string where it has."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, List, Tuple

from conformance.case import CONVERSIONS, Case, layers_within
from conformance.observation import OF_TENSORFLOW_1
from conformance.subject.conversion import cannot_convert
from conformance.subject.modes import jit_argument
from reference_impl.cells import Cell

if TYPE_CHECKING:
    from conformance.programs import Program
    from conformance.subject.adapter import Subject

#: Modes that need neither eager computation nor TensorFlow.
OF_EVERY_VERSION = ("call", "predict", "predict_batches", "predict_on_batch")

#: Optimizers clip all gradients together from TensorFlow 2.4 on.
WITHOUT_GLOBAL_CLIPNORM = ("TensorFlow 2.2.", "TensorFlow 2.3.")

#: A build without one of these is wrong, not old.
ACTIVATIONS_OF_EVERY_VERSION = {"elu", "exponential", "hard_sigmoid", "linear", "relu", "selu"}
ACTIVATIONS_OF_EVERY_VERSION |= {"sigmoid", "softmax", "softplus", "softsign", "tanh"}


def unable_to_run(subject: Subject, case: Case) -> str:
    """Why there is nothing to run a case with."""
    for name in _activation_names(case):
        if name not in ACTIVATIONS_OF_EVERY_VERSION and not _has_activation(subject, name):
            return f"{subject.environment.keras} has no activation {name!r}"
    if case.has({"zero_output_for_mask": "True"}) and not _takes(subject, "zero_output_for_mask"):
        return f"{subject.environment.keras} has no zero_output_for_mask"
    if case.dtype.startswith("mixed_") and not subject.has_mixed_policies:
        return f"{subject.environment.keras} has no mixed precision"
    if case.has({"backward_layer": "given"}) and not subject.has_backward_layers:
        return f"{subject.environment.keras} has no Bidirectional(backward_layer=)"
    return _lacks(subject, *(value for _, value in _arguments(case))) or _cannot_be_run(subject, case)


def unable_to_fuse(subject: Subject, case: Case) -> str:
    """Why nothing promises that TensorFlow Lite has one operation for the LSTM of a case."""
    if subject.environment.backend.startswith("TensorFlow 2.2."):
        return "TensorFlow Lite is promised to have one operation for an LSTM from TensorFlow 2.3 on"
    if subject.flavour == OF_TENSORFLOW_1 or subject.lstm is not subject.keras.layers.LSTM:
        return "TensorFlow Lite is promised to have one operation for the LSTM of TensorFlow 2 alone"
    return unable_to_run(subject, case)


def unable_to_differentiate(subject: Subject) -> str:
    """Why there is nothing to ask for gradients with."""
    known = subject.environment.keras
    if not subject.eager:
        return f"{known} computes in predict only"
    return "" if subject.tensorflow else f"{known} computes without TensorFlow, whose tapes are asked for gradients"


def unable_to_train(subject: Subject, program: Program) -> str:
    """Why there is nothing to run a training program with."""
    if program.optimizer.global_clipnorm and subject.environment.backend.startswith(WITHOUT_GLOBAL_CLIPNORM):
        return f"{subject.environment.keras} has no global_clipnorm"
    if program.way == "compiled" and "jit_compile" not in inspect.signature(subject.keras.Model.compile).parameters:
        return f"{subject.environment.keras} has no Model.compile(jit_compile=)"
    lacks = _lacks(subject, program.loss, program.optimizer) or unable_to_run(subject, program.case)
    return lacks or ("" if subject.eager else _untrainable_in_graphs(subject, program))


def by_chance(subject: Subject, optimizer: str) -> str:
    """Why training with the optimizer of this name cannot be judged.

    Keras 2.3.1 reads the number of a step and counts it in no order, for TensorFlow 2 orders nothing in its graphs.
    """
    racing = not subject.eager and optimizer.lower() == "adam"
    return f"{subject.environment.keras} reads Adam's step while it is counted, by chance" if racing else ""


def _cannot_be_run(subject: Subject, case: Case) -> str:
    """Why a model cannot be built or run in the way that the case asks for."""
    if not subject.eager and (case.mode not in OF_EVERY_VERSION or case.api in ("subclass", "layer")):
        return f"{subject.environment.keras} computes in predict only"
    if not subject.eager and isinstance(case.model.layers[0], Cell):
        return f"{subject.environment.keras} calls a layer with its input alone, a cell takes states too"
    if case.mode not in OF_EVERY_VERSION and subject.tensorflow is None:
        return f"mode {case.mode} is TensorFlow's"
    if case.mode == "compiled" and not jit_argument(subject.tensorflow):
        return f"{subject.environment.backend} has no tf.function(jit_compile=)"
    return cannot_convert(subject.keras, subject.tensorflow, case.mode) if case.mode in CONVERSIONS else ""


def _untrainable_in_graphs(subject: Subject, program: Program) -> str:
    """Why Keras 2.3.1 or older has nothing to run a program with."""
    if program.way == "eagerly":
        return f"{subject.environment.keras} has no run_eagerly"
    if program.sample_weight == "steps":
        return f"{subject.environment.keras} takes weights of steps with sample_weight_mode only"
    try:
        subject.made(program.optimizer)
    except TypeError as error:
        return f"{subject.environment.keras}: {error}"
    return by_chance(subject, type(program.optimizer).__name__)


def _lacks(subject: Subject, *described: Any) -> str:
    """Which loss, optimizer, regularizer or constraint there is no class for."""
    for value in described:
        module = subject.module(value)
        if module and not hasattr(module, type(value).__name__):
            return f"{subject.environment.keras} has no {type(value).__name__}"
    return ""


def _has_activation(subject: Subject, name: str) -> bool:
    try:
        subject.keras.activations.get(name)
    except ValueError:
        return False
    return True


def _takes(subject: Subject, argument: str) -> bool:
    """Whether a layer has this argument; a signature with ``**kwargs`` does not say."""
    try:
        subject.keras.layers.LSTM(1, **{argument: True})
    except TypeError:
        return False
    return True


def _arguments(case: Case) -> List[Tuple[str, Any]]:
    """Of all layers and the layers and cells in them, by name."""
    layers = (inner for layer in case.model.layers for inner in layers_within(layer))
    return [argument for layer in layers for argument in vars(layer).items()]


def _activation_names(case: Case) -> List[str]:
    named = ("activation", "recurrent_activation")
    return [value for name, value in _arguments(case) if name in named and isinstance(value, str)]
