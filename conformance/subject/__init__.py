"""The subject: the Keras being judged. Only this package imports Keras or TensorFlow and knows that versions differ."""

from conformance.subject.adapter import Subject
from conformance.subject.load import FLAVOURS, SubjectError, load
from conformance.subject.summary import UnreadableSummaryError

__all__ = ["FLAVOURS", "Subject", "SubjectError", "UnreadableSummaryError", "load"]
