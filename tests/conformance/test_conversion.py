"""A model converted to TensorFlow Lite or to ONNX computes what it did before, within the same tolerance."""

import numpy as np
import pytest

from conformance import catalogue
from conformance.subject.conversion import lite_operations, lite_runs
from conformance.subject.unsupported import unable_to_fuse

SMOKE = ("single-functional-B2-T7-D4-U3-tflite", "bidirectional-functional-B2-T7-D4-U3-tflite")
CASES = [
    pytest.param(case, id=case.id, marks=[pytest.mark.smoke] if case.id in SMOKE else [])
    for case in catalogue.conversions()
]


@pytest.mark.parametrize("case", CASES)
def test_conversion(case, conforms):
    conforms(case)


#: The usual LSTM, forwards and backwards, for which TensorFlow Lite has an operation of its own.
FUSED = [
    pytest.param(case, id=case.id)
    for case in catalogue.conversions()
    if case.mode == "tflite_of_model" and not case.initial_state and not case.model.layers[-1].return_state
]


@pytest.mark.parametrize("case", FUSED)
def test_usual_lstm_becomes_one_operation(subject, case):
    """TensorFlow Lite is documented to run it as one operation, not as a loop of many."""
    if unable_to_fuse(subject, case):
        pytest.skip(unable_to_fuse(subject, case))
    operations = lite_operations(subject.tensorflow, subject.build(case).model, case.input_shape)
    assert operations.count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 1, f"not one operation: {' '.join(operations)}"


@pytest.mark.parametrize("case", FUSED)
def test_converted_lstm_begins_each_run_anew(subject, uniform, case):
    """It is documented that what is converted is an LSTM that is not stateful."""
    if unable_to_fuse(subject, case):
        pytest.skip(unable_to_fuse(subject, case))
    runs = lite_runs(subject.tensorflow, subject.build(case).model, [uniform(*case.input_shape)], times=2)
    assert all(map(np.array_equal, *runs)), "the second run returns something else than the first"
