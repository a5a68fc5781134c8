"""Versions, device and settings of the subject."""

from __future__ import annotations

import importlib
import os
import platform
from pathlib import Path
from typing import Any, List

import numpy as np
from packaging.version import Version

from conformance.observation import Environment


def keras_version(keras: Any) -> str:
    """The version of a Keras module; where ``tensorflow.keras`` does not say, the package its layers come from does."""
    package = keras.layers.LSTM.__module__.partition(".")[0]
    version = getattr(keras, "__version__", None) or importlib.import_module(package).__version__
    return str(version).partition("-")[0]  # TF 2.2 says 2.3.0-tf


def tensorflow(keras: Any) -> Any:
    """TensorFlow, or None where Keras computes with something else."""
    return importlib.import_module("tensorflow") if keras.backend.backend() == "tensorflow" else None


def describe(flavour: str, version: str, keras: Any, lstm_path: str) -> Environment:
    """What the pytest header and every report say about the subject."""
    backend = keras.backend.backend()
    module = importlib.import_module(backend)
    flow = tensorflow(keras)
    return Environment(
        keras=f"{flavour} {version}",
        backend=f"{'TensorFlow' if flow else backend} {module.__version__}",
        numpy=np.__version__,
        python=platform.python_version(),
        device=_device(flow) if flow else "device unknown",
        threads=_threads(flow) if flow else "unknown",
        onednn=_onednn(module.__version__) if flow else "not used",
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


#: Flags of the CPUs on which TensorFlow computes with oneDNN unless told otherwise (core/util/util.cc, IsMKLEnabled()).
NEURAL = frozenset(["avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"])


def _onednn(version: str) -> str:
    """Whether TensorFlow computes with oneDNN: as TF_ENABLE_ONEDNN_OPTS says, or on some CPUs under Linux since 2.9."""
    chosen = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    if chosen is not None:
        return "off" if chosen.lower() in ("0", "false") else "on"
    default = Version(version) >= Version("2.9") and not NEURAL.isdisjoint(_flags_of_cpu())
    return "on" if default else "off"


def _flags_of_cpu() -> List[str]:
    """The names of what the CPU can do, as Linux has them; elsewhere none."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return []
