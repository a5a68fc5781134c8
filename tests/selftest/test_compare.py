"""Errors, ratios and places of a comparison."""

import numpy as np
import pytest

from conformance.compare import compare
from reference_impl import Estimate

INF, NAN = float("inf"), float("nan")


def comparison(expected, actual, tolerance=1.0):
    expected = np.array(expected, dtype="float64")
    return compare("output", Estimate(expected, np.full(expected.shape, tolerance)), np.array(actual, dtype="float32"))


@pytest.mark.parametrize(
    ("expected", "actual", "ratio"),
    [(1.0, 1.0, 0), (1.0, 3.0, 2), (INF, INF, 0), (INF, -INF, INF), (NAN, NAN, 0), (NAN, 1.0, INF), (1.0, NAN, INF)],
)
def test_ratio(expected, actual, ratio):
    assert comparison([[expected]], [[actual]]).ratio == ratio


def test_exactly_at_the_tolerance_agrees():
    assert comparison([[0.0]], [[2.0]], tolerance=2.0).agrees
    assert not comparison([[0.0]], [[2.0]], tolerance=1.9).agrees


def test_first_is_the_earliest_step_then_row_then_unit():
    actual = np.zeros((2, 3, 2))
    actual[0, 2, 1] = 9.0
    actual[1, 1, 0] = 2.0
    actual[1, 1, 1] = 3.0
    found = comparison(np.zeros((2, 3, 2)), actual)
    assert found.first == (1, 1, 0)
    assert found.worst == (0, 2, 1)
    assert found.count == 3


def test_an_empty_tensor_agrees():
    assert comparison(np.zeros((2, 0, 3)), np.zeros((2, 0, 3))).agrees


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"output: shape \(1, 2\) against \(1, 1\)"):
        comparison([[0.0]], [[0.0, 0.0]])
