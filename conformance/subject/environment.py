"""Versions, device and settings of the subject."""

from __future__ import annotations

import importlib
import platform
from typing import Any

import numpy as np

from conformance.observation import Environment


def keras_version(keras: Any) -> str:
    """The version of a Keras module; where ``tensorflow.keras`` does not say, the package its layers come from does."""
    package = keras.layers.LSTM.__module__.partition(".")[0]
    version = getattr(keras, "__version__", None) or importlib.import_module(package).__version__
    return str(version).partition("-")[0]  # TF 2.2 says 2.3.0-tf


def describe(flavour: str, version: str, keras: Any, lstm_path: str) -> Environment:
    """What the pytest header and every report say about the subject."""
    backend = keras.backend.backend()
    module = importlib.import_module(backend)
    tensorflow = module if backend == "tensorflow" else None
    return Environment(
        keras=f"{flavour} {version}",
        backend=f"{'TensorFlow' if tensorflow else backend} {module.__version__}",
        numpy=np.__version__,
        python=platform.python_version(),
        device=_device(tensorflow) if tensorflow else "device unknown",
        threads=_threads(tensorflow) if tensorflow else "unknown",
        onednn=_onednn() if tensorflow else "not used",
        layer=lstm_path,
    )


def _device(tensorflow: Any) -> str:
    accelerators = [d.name for d in tensorflow.config.list_physical_devices() if "CPU" not in d.device_type]
    if not accelerators:
        return f"CPU {platform.machine()}"
    tf32 = "on" if tensorflow.config.experimental.tensor_float_32_execution_enabled() else "off"
    return f"{', '.join(accelerators)}, TF32 {tf32}"


def _threads(tensorflow: Any) -> str:
    threading = tensorflow.config.threading
    intra, inter = threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
    return f"intra {intra or 'auto'} inter {inter or 'auto'}"


def _onednn() -> str:
    """Whether TensorFlow computes with oneDNN; it tells only through a module that has moved between versions."""
    for name in ("tensorflow.python.util._pywrap_util_port", "tensorflow.python._pywrap_util_port"):
        try:
            return "on" if importlib.import_module(name).IsMklEnabled() else "off"
        except ImportError:
            continue
    return "unknown"
