"""The subject: the Keras being judged. Only this package imports Keras or TensorFlow and knows that versions differ."""

from conformance.subject.adapter import OTHER_DEFAULTS, Subject
from conformance.subject.build import input_arrays
from conformance.subject.files import COPIES, FORMATS, Format
from conformance.subject.fitting import fitted, trajectory
from conformance.subject.layers import set_weights
from conformance.subject.load import FLAVOURS, SubjectError, load
from conformance.subject.modes import ROWS, jit_argument
from conformance.subject.summary import UnreadableSummaryError
from conformance.subject.unsupported import (
    by_chance,
    unable_to_differentiate,
    unable_to_run,
    unable_to_train,
)

__all__ = [
    "COPIES",
    "FLAVOURS",
    "FORMATS",
    "OTHER_DEFAULTS",
    "ROWS",
    "Format",
    "Subject",
    "SubjectError",
    "UnreadableSummaryError",
    "by_chance",
    "fitted",
    "input_arrays",
    "jit_argument",
    "load",
    "set_weights",
    "trajectory",
    "unable_to_differentiate",
    "unable_to_run",
    "unable_to_train",
]
