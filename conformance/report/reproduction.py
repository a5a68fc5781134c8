"""A failing case as a program of its own: Keras, NumPy, the data and the expected values, and none of this project."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any, List

import numpy as np

from conformance.case import Case, layers_within
from conformance.data import Data, draw, state_shapes
from conformance.divergences import GRADIENTS
from conformance.expected import expected_outputs
from conformance.expression import calls, input_expression, layer_expressions, names, words
from conformance.gradients import cotangents, expected_gradients
from conformance.observation import OF_TENSORFLOW_1
from conformance.report.terminal import SETTINGS
from conformance.subject import OTHER_DEFAULTS, ROWS, Subject, input_arrays, jit_argument
from reference_impl import LSTM, StackedRNNCells
from reference_impl.types import Array

#: A file's name has at most 255 bytes.
LONGEST_NAME = 240

#: From the program's ``model`` and the ``inputs`` of one call, what the model returns.
RUNS = {
    "call": "model({tensors})",
    "function": "tensorflow.function(model)({tensors})",
    "compiled": "tensorflow.function(model, {jit}=True)({tensors})",
    "predict": "model.predict(inputs, verbose=0)",
    "predict_batches": "model.predict(inputs, batch_size={rows}, verbose=0)",
    "predict_on_batch": "model.predict_on_batch(inputs)",
    "run_eagerly": "model.predict(inputs, verbose=0)",
    "dataset": "model.predict(tensorflow.data.Dataset.from_tensor_slices({elements}).batch({rows}), verbose=0)",
    "mirrored": "model.predict(inputs, verbose=0)",
}

#: How the program imports each flavour of Keras.
IMPORTS = {
    "tensorflow.keras": "keras = tensorflow.keras",
    "keras": "import keras",
    "tf_keras": "import tf_keras as keras",
    "tensorflow.compat.v1.keras": "keras = tensorflow.compat.v1.keras",
}

PROGRAM = '''\
"""{id}

{words}
Judged was {subject}.
Where Keras departs from what is expected, this ends in an AssertionError or in Keras's own exception.
"""
import os
{settings}import numpy
import tensorflow
{imports}

def numbers(shape, dtype, text):
    return numpy.array([float.fromhex(number) for number in text.split()]).astype(dtype).reshape(shape)

{model}
{gradients}weights = [{weights}]
calls = [{calls}]
expected = [{expected}]  # and how far from it rounding may lead
for layer in layers:
    count = len(layer.weights)
    layer.set_weights(weights[:count])
    weights = weights[count:]
outputs = []
for number, inputs in enumerate(calls):
{reset}    outputs += tensorflow.nest.flatten({run})
assert len(outputs) == len(expected), f"{{len(outputs)}} arrays, expected {{len(expected)}}"
for actual, (value, tolerance) in zip(outputs, expected):
    actual = numpy.asarray(actual).astype("float64")
    assert actual.shape == value.shape, f"shape {{actual.shape}}, expected {{value.shape}}"
    same = (actual == value) | (numpy.isnan(actual) & numpy.isnan(value))
    error = numpy.where(same, 0.0, numpy.nan_to_num(abs(actual - value), nan=numpy.inf))
    print("largest error / tolerance:", (error / tolerance).max())
    assert (error <= tolerance).all(), f"{{actual}}, expected {{value}}"
'''

#: What a program has in the place of its model where gradients are asked of it.
GRADIENTS_OF = """\
cotangents = [{cotangents}]
def gradients(inputs):
    watched = [tensor for tensor in tensorflow.nest.flatten(inputs) if tensor.dtype.is_floating]
    with tensorflow.GradientTape() as tape:
        tape.watch(watched)
        outputs = tensorflow.nest.flatten(model(inputs))
    variables = (own for layer in layers for own in layer.weights)
    watched += [own if isinstance(own, tensorflow.Variable) else own.value for own in variables]
    outer = [tensorflow.cast(own, output.dtype) for own, output in zip(cotangents, outputs)]
    found = tape.gradient(outputs, watched, outer, unconnected_gradients="zero")
    return list(map(tensorflow.convert_to_tensor, found))
"""

RESET = """\
    if number in {resets}:
        for layer in layers:
            (getattr(layer, "reset_state", None) or getattr(layer, "reset_states", None) or bool)()
"""


def write(folder: Path, name: str, program: str) -> Path:
    """Write the program of a case of this name into a folder, which is made where it is not there; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name.replace(' ', '-')[:LONGEST_NAME]}.py"
    file.write_text(program, encoding="utf-8")
    return file


def reproduction(case: Case, subject: Subject, question: str = "") -> str:
    """A program that does with Keras what the case does, and fails as it fails; ``question`` may be its gradients."""
    data, promised, asks = draw(case), subject.promised(case), question == GRADIENTS
    asked = case.calls[:1] if asks else case.calls
    resets = [number for number, call in enumerate(asked) if call.reset]
    expected = expected_gradients(promised, data) if asks else expected_outputs(promised, data)
    run = RUNS[case.mode].replace("model", "gradients") if asks else RUNS[case.mode]
    return PROGRAM.format(
        id=f"{question} of {case.id}" if asks else case.id,
        words=textwrap.fill(words(case), 200),
        subject=subject.environment.lines[0],
        settings="".join(f"os.environ.setdefault({name!r}, {os.environ[name]!r})\n" for name in _settings()),
        imports="\n".join(_imports(case, subject.flavour, subject.environment.layer)),
        model=_with_policies("\n".join(_model(case)), subject),
        weights=", ".join(map(_numbers, data.weights)),
        gradients=GRADIENTS_OF.format(cotangents=", ".join(map(_numbers, cotangents(case)))) if asks else "",
        calls=", ".join(_inputs(case, data, number) for number in range(len(asked))),
        expected=", ".join(f"({_numbers(one.value)}, {_numbers(one.tolerance)})" for one in expected.values()),
        reset=RESET.format(resets=resets) if resets else "",
        run=run.format(
            rows=case.batch if case.stateful else ROWS,
            elements="(tuple(inputs),)" if _many(case) else "inputs",
            tensors="tensorflow.nest.map_structure(tensorflow.constant, inputs)",
            jit=jit_argument(subject.tensorflow) if case.mode == "compiled" else "",
        ),
    )


def _settings() -> List[str]:
    """Names of the environment's variables that decide what Keras computes."""
    return [name for name in SETTINGS if name in os.environ and name != "PYTHONPATH"]


def _imports(case: Case, flavour: str, lstm: str) -> List[str]:
    """Keras, the names of layers, and a class of one's own in the place of LSTM."""
    used = sorted({type(inner).__name__ for layer in case.model.layers for inner in layers_within(layer)})
    module, _, name = lstm.partition(":")
    own = [f"from {module} import {name} as LSTM"] if lstm else []
    kept = [name for name in used if not (lstm and name == "LSTM")]
    layers = [f"{', '.join(kept)} = {', '.join(f'keras.layers.{name}' for name in kept)}"] if kept else []
    if flavour == OF_TENSORFLOW_1:
        layers += ["from functools import partial"]
        layers += [_with_defaults(name) for name in kept if name in ("LSTM", "LSTMCell")]
    return [IMPORTS[flavour], *own, *layers, "Input, Model, Sequential = keras.Input, keras.Model, keras.Sequential"]


def _with_defaults(name: str) -> str:
    """The line that gives a layer of TensorFlow 1 the defaults of the others."""
    given = ", ".join(f"{argument}={getattr(LSTM(1), argument)!r}" for argument in OTHER_DEFAULTS)
    return f"{name} = partial({name}, {given})"


def _model(case: Case) -> List[str]:
    """The lines that build the model, in the scope of a strategy where it is mirrored."""
    lines = [*_layers(case), *_around(case)]
    if case.mode == "run_eagerly":
        lines.append("model.compile(run_eagerly=True)")
    if case.mode != "mirrored":
        return lines
    return [
        "devices = [tensorflow.config.LogicalDeviceConfiguration()] * 2",
        'cpu = tensorflow.config.list_physical_devices("CPU")[0]',
        "tensorflow.config.set_logical_device_configuration(cpu, devices)",
        'with tensorflow.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]).scope():',
        *(f"    {line}" for line in lines),
    ]


def _with_policies(lines: str, subject: Subject) -> str:
    """The lines with policies where Keras 2 wants them and not their names."""
    policy = r"dtype=keras.mixed_precision.Policy(\1)"
    return lines if subject.generation >= 3 else re.sub(r"dtype=('mixed_\w+')", policy, lines)


def _layers(case: Case) -> List[str]:
    """The layers, and a function that calls them as the case does."""
    expressions = layer_expressions(case)
    lines = [f"layers = [{', '.join(expressions)}]"]
    if case.api in ("sequential", "input_shape"):
        return lines
    given = [*names("x", case), *(names("mask", case) if case.mask_dtype else []), *(["*states"] * case.initial_state)]
    body = [
        f"{', '.join(given)} = inputs",
        *_states(case),
        *calls(case, [f"layers[{n}]" for n in range(len(expressions))]),
    ]
    return [*lines, "def forward(inputs):", *(f"    {line}" for line in body), "    return y"]


def _states(case: Case) -> List[str]:
    """The lines that make of the states given what the layer takes."""
    if not case.initial_state:
        return []
    lines = []
    if case.api != "functional" and case.compute_dtype != "float32":
        lines.append("cast = getattr(keras, 'ops', keras.backend).cast")
        lines.append(f"states = [cast(state, {case.compute_dtype!r}) for state in states]")
    if any(isinstance(getattr(layer, "cell", None), StackedRNNCells) for layer in case.model.layers):
        lines.append("states = [states[i : i + 2] for i in range(0, len(states), 2)]")
    return lines


def _around(case: Case) -> List[str]:
    """The lines that make a model of the layers."""
    symbolic = [input_expression(case, shape) for shape in case.symbolic_shapes]
    if case.api == "sequential":
        return [f"model = Sequential([{symbolic[0]}, *layers])"]
    if case.api == "input_shape":
        return ["model = Sequential(layers)"]
    if case.mask_dtype:
        symbolic += [input_expression(case, shape[:-1], case.mask_dtype) for shape in case.symbolic_shapes]
    symbolic += [input_expression(case, shape, case.compute_dtype) for shape in state_shapes(case)]
    given = f"[{', '.join(symbolic)}]" if _many(case) else symbolic[0]
    lines = [f"given = {given}", "y = forward(given)"]
    if case.api == "functional":
        return [*lines, "model = Model(given, y)"]
    if case.api == "layer":
        return [*lines, "model = forward"]
    dtype = f"dtype={case.dtype!r}" if case.dtype != "float32" else ""
    return [
        *lines,
        'model = type("Subclassed", (Model,), {"call": lambda self, inputs: forward(inputs)})(' + dtype + ")",
    ]


def _many(case: Case) -> bool:
    """Whether the model has several inputs, which are then in a list."""
    return case.model.inputs > 1 or bool(case.mask_dtype) or case.initial_state


def _inputs(case: Case, data: Data, number: int) -> str:
    given: Any = input_arrays(case, data.calls[number]).arrange()
    return f"[{', '.join(map(_numbers, given))}]" if isinstance(given, list) else _numbers(given)


def _numbers(array: Array) -> str:
    """An array as the call that makes it, its numbers exactly as they are."""
    text = " ".join(float(number).hex() for number in np.ravel(array))
    return f'numbers({array.shape}, "{array.dtype}", "{text}")'
