"""A model converted to TensorFlow Lite or to ONNX computes what it did before, within the same tolerance."""

import pytest

from conformance import catalogue

SMOKE = ("single-functional-B2-T7-D4-U3-tflite", "bidirectional-functional-B2-T7-D4-U3-tflite")
CASES = [
    pytest.param(case, id=case.id, marks=[pytest.mark.smoke] if case.id in SMOKE else [])
    for case in catalogue.conversions()
]


@pytest.mark.parametrize("case", CASES)
def test_conversion(case, conforms):
    conforms(case)
