"""Running a model that was converted: by TensorFlow Lite or by ONNX Runtime."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Sequence

from conformance.subject.build import flat
from conformance.subject.modes import Run

#: The formats of ``Model.export`` other than TensorFlow's own, and their names.
EXPORTED = {"litert": "LiteRT", "onnx": "ONNX"}

#: What Keras exports to ONNX with on TensorFlow, and what runs it.
OF_ONNX = ("onnx", "onnxruntime", "tf2onnx")

#: The program that TensorFlow 2.2 converts with; it stands beside the Python that TensorFlow is installed for.
OF_LITE = "toco_from_protos"


def cannot_convert(keras: Any, tensorflow: Any, mode: str) -> str:
    """Why nothing converts and runs a model in this mode, or an empty string."""
    if mode in EXPORTED and f'"{mode}"' not in (getattr(getattr(keras.Model, "export", None), "__doc__", "") or ""):
        return f"this Keras exports no {EXPORTED[mode]}"
    if mode != "onnx":
        return _cannot_convert_to_lite(tensorflow)
    missing = [name for name in OF_ONNX if not find_spec(name)]
    return f"there is no {', '.join(missing)} to export ONNX with and run it" if missing else ""


def _cannot_convert_to_lite(tensorflow: Any) -> str:
    if not hasattr(tensorflow, "lite"):
        return "TensorFlow has no tf.lite"
    if tensorflow.__version__.startswith("2.2.") and not shutil.which(OF_LITE):
        return f"{OF_LITE}, which TensorFlow 2.2 converts with, is not on PATH: activate its environment"
    return ""


def _of_function(tensorflow: Any, model: Any, inputs: Any, rows: int) -> List[Any]:
    """Of a function of arrays of this shape."""
    arrays = flat(inputs)
    called = tensorflow.function(lambda *given: flat(model(list(given) if len(given) > 1 else given[0])))
    specs = [tensorflow.TensorSpec(array.shape, array.dtype, f"x{number}") for number, array in enumerate(arrays)]
    convert = tensorflow.lite.TFLiteConverter.from_concrete_functions
    interpreter = _interpreter(tensorflow, convert([called.get_concrete_function(*specs)]))
    _allocate(interpreter, arrays)
    return _invoke(interpreter, arrays)


def _of_model(tensorflow: Any, model: Any, inputs: Any, rows: int) -> List[Any]:
    """Of the model itself; where LSTM has an operation of its own, Keras 2 is converted to it in this way alone."""
    return lite_runs(tensorflow, model, flat(inputs), times=1)[0]


def lite_runs(tensorflow: Any, model: Any, arrays: Sequence[Any], times: int) -> List[List[Any]]:
    """What a model that is converted itself returns in each of several runs."""
    interpreter = _interpreter(tensorflow, tensorflow.lite.TFLiteConverter.from_keras_model(model))
    _allocate(interpreter, arrays)
    return [_invoke(interpreter, arrays) for _ in range(times)]


def lite_operations(tensorflow: Any, model: Any, shape: Sequence[int]) -> List[str]:
    """The operations that a model of one float32 input is converted to by way of a SavedModel, in their order."""
    call = tensorflow.function(lambda x: model(x))  # noqa: PLW0108  TensorFlow 2.4 and older trace no object by itself
    called = call.get_concrete_function(tensorflow.TensorSpec(shape))
    with tempfile.TemporaryDirectory() as folder:
        tensorflow.saved_model.save(model, folder, signatures=called)
        interpreter = _interpreter(tensorflow, tensorflow.lite.TFLiteConverter.from_saved_model(folder))
    return [operation["op_name"] for operation in interpreter._get_ops_details()]  # the public way is to print them


def _interpreter(tensorflow: Any, converter: Any) -> Any:
    return tensorflow.lite.Interpreter(model_content=converter.convert())


def _allocate(interpreter: Any, arrays: Sequence[Any]) -> None:
    for place, array in zip(_places(interpreter), arrays):
        if tuple(place["shape"]) != array.shape:
            interpreter.resize_tensor_input(place["index"], array.shape)
    interpreter.allocate_tensors()


def _invoke(interpreter: Any, arrays: Sequence[Any]) -> List[Any]:
    for place, array in zip(_places(interpreter), arrays):
        interpreter.set_tensor(place["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(place["index"]) for place in sorted(interpreter.get_output_details(), key=_number)]


def _places(interpreter: Any) -> List[Dict[str, Any]]:
    """Of the inputs, in their order."""
    return sorted(interpreter.get_input_details(), key=_number)


def _number(place: Dict[str, Any]) -> List[int]:
    """What tells the inputs of a converted model from each other, and its outputs: the numbers in their names."""
    return [int(digits) for digits in re.findall(r"\d+", place["name"])]


def _litert(tensorflow: Any, model: Any, inputs: Any, rows: int) -> List[Any]:
    """Of a model of an open batch that Keras itself converts and writes, run by TensorFlow's own interpreter."""
    arrays = flat(inputs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        model.export(str(file), format="litert", verbose=False)
        interpreter = tensorflow.lite.Interpreter(model_content=file.read_bytes())
    _allocate(interpreter, arrays)
    return _invoke(interpreter, arrays)


def _onnx(tensorflow: Any, model: Any, inputs: Any, rows: int) -> List[Any]:
    from onnxruntime import InferenceSession  # noqa: PLC0415 (need not be there)

    model(inputs)  # Keras exports no model that was never called
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.onnx")
        model.export(file, format="onnx", verbose=False)
        session = InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [place.name for place in session.get_inputs()]
    returned: List[Any] = session.run(None, dict(zip(names, flat(inputs))))
    return returned


CONVERTED: Dict[str, Run] = {
    "tflite": _of_function,
    "tflite_of_model": _of_model,
    "tflite_of_open_batch": _of_model,
    "litert": _litert,
    "onnx": _onnx,
}
