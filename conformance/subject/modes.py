"""Running a model: each execution mode of Keras on TensorFlow."""

from __future__ import annotations

import inspect
import os
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Callable, ContextManager, Dict

#: Rows that ``predict_batches`` and ``dataset`` take at a time; it does not divide the batch of three.
ROWS = 2

#: From the backend's module, the model, its inputs and how many rows a batch may have, what the model returns.
Run = Callable[[Any, Any, Any, int], Any]


def _function(tensorflow: Any, model: Any, inputs: Any, rows: int) -> Any:
    return tensorflow.function(model)(inputs)


def _compiled(tensorflow: Any, model: Any, inputs: Any, rows: int) -> Any:
    return tensorflow.function(model, **{jit_argument(tensorflow): True})(inputs)


def jit_argument(tensorflow: Any) -> str:
    """The name under which ``tf.function`` compiles with XLA; ``experimental_compile`` up to TensorFlow 2.4."""
    known = inspect.signature(tensorflow.function).parameters
    return next((name for name in ("jit_compile", "experimental_compile") if name in known), "")


def _run_eagerly(tensorflow: Any, model: Any, inputs: Any, rows: int) -> Any:
    model.compile(run_eagerly=True)
    return model.predict(inputs, verbose=0)


def _dataset(tensorflow: Any, model: Any, inputs: Any, rows: int) -> Any:
    elements = (tuple(inputs),) if isinstance(inputs, list) else inputs
    return model.predict(tensorflow.data.Dataset.from_tensor_slices(elements).batch(rows), verbose=0)


MODES: Dict[str, Run] = {
    "call": lambda tensorflow, model, inputs, rows: model(inputs),
    "function": _function,
    "compiled": _compiled,
    "predict": lambda tensorflow, model, inputs, rows: model.predict(inputs, verbose=0),
    "predict_batches": lambda tensorflow, model, inputs, rows: model.predict(inputs, batch_size=rows, verbose=0),
    "predict_on_batch": lambda tensorflow, model, inputs, rows: model.predict_on_batch(inputs),
    "run_eagerly": _run_eagerly,
    "dataset": _dataset,
    "mirrored": lambda tensorflow, model, inputs, rows: model.predict(inputs, verbose=0),
}


@lru_cache(maxsize=None)
def _strategy(tensorflow: Any) -> Any:
    _look_often(tensorflow.train.Coordinator)
    return tensorflow.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


def _look_often(coordinator: Any) -> None:
    """Let MirroredStrategy see soon that its threads have ended: it looks once a second, mostly just before they do."""
    wait = coordinator.wait_for_stop
    coordinator.wait_for_stop = lambda self, timeout=None: wait(self, timeout and min(timeout, 0.01))


def building(tensorflow: Any, mode: str) -> ContextManager[Any]:
    """Where the model of a mode must be built."""
    return _strategy(tensorflow).scope() if mode == "mirrored" else nullcontext()


def split_cpu(tensorflow: Any) -> None:
    """Make two devices of the one CPU, for MirroredStrategy to mirror on."""
    config = tensorflow.config
    (cpu, *_) = config.list_physical_devices("CPU")
    if hasattr(config, "set_logical_device_configuration"):
        config.set_logical_device_configuration(cpu, [config.LogicalDeviceConfiguration()] * 2)
    else:  # TensorFlow 2.2 and 2.3
        virtual = config.experimental
        virtual.set_virtual_device_configuration(cpu, [virtual.VirtualDeviceConfiguration()] * 2)


def share_cores(tensorflow: Any, processes: int) -> None:
    """Leave several processes a share of the cores each: TensorFlow takes all, and idle threads slow the others."""
    if processes > 1:
        threads = max(1, (os.cpu_count() or 1) // processes)
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
