"""Finding the Keras to judge."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Iterator, Optional

from conformance.observation import OF_TENSORFLOW_1
from conformance.subject.adapter import Subject
from conformance.subject.modes import share_cores, split_cpu

#: What ``--keras`` takes, and how to install each.
FLAVOURS = {
    "tensorflow.keras": "pip install tensorflow-cpu",
    "keras": "pip install tensorflow-cpu keras",
    "tf_keras": "pip install tensorflow-cpu tf-keras",
    OF_TENSORFLOW_1: "pip install 'tensorflow-cpu<2.16'",
}


class SubjectError(Exception):
    """There is no such subject here; the message is one line that says what to do."""


def load(flavour: str, lstm: Optional[str] = None, processes: int = 1) -> Subject:
    """Import a Keras.

    ``flavour`` is one of ``FLAVOURS``; ``lstm`` names a layer class of one's own, ``package.module:Class``, that takes
    the place of ``keras.layers.LSTM``; ``processes`` are those that share the machine with this one, itself among them.
    Raises SubjectError where either class or Keras cannot be had.
    """
    if flavour not in FLAVOURS:
        raise SubjectError(f"--keras: no Keras is called {flavour!r}; choose from {', '.join(FLAVOURS)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _chatter_to_log():
            keras = _import_keras(flavour)
    except ModuleNotFoundError as error:
        raise SubjectError(f"--keras {flavour}: {error.name} is not installed ({FLAVOURS[flavour]})") from error
    except Exception as error:  # a broken installation fails in many ways
        raise SubjectError(f"--keras {flavour}: cannot be imported: {_one_line(error)}") from error
    if keras.backend.backend() == "tensorflow":
        tensorflow = importlib.import_module("tensorflow")
        split_cpu(tensorflow)
        share_cores(tensorflow, processes)
    return Subject(flavour, keras, _import_class(lstm) if lstm else None, lstm or "")


def _import_keras(flavour: str) -> Any:
    package, _, path = flavour.partition(".")
    if package == "tensorflow":  # its attribute: in Keras 3 days there is no module of this name
        keras = attrgetter(path)(importlib.import_module(package))
        keras.layers  # noqa: B018  TensorFlow imports its Keras when first asked
        return keras
    return importlib.import_module(flavour)


@contextmanager
def _chatter_to_log() -> Iterator[None]:
    """Send what is printed on file descriptor 2 to the log: importing TensorFlow prints pages about the processor."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            chatter.seek(0)
            logging.getLogger(__name__).info(chatter.read().decode(errors="replace"))


def _import_class(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        layer = getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is the user's and may fail in any way
        raise SubjectError(f"--lstm: no class {path!r}, expected package.module:Class ({_one_line(error)})") from error
    if not isinstance(layer, type):
        raise SubjectError(f"--lstm: {path!r} is not a class")
    return layer


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
