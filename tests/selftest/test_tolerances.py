"""The tolerance: wide enough for honest float32 arithmetic, far too narrow for a wrong LSTM."""

from dataclasses import replace

import numpy as np
import pytest
from honest import Float32

from conformance import catalogue
from conformance.compare import compare
from conformance.data import draw
from conformance.expected import expected_outputs
from reference_impl import LSTM, estimate
from reference_impl.rounding import FORMATS, MonteCarlo, round_to

GRID = [case for kind in catalogue.KINDS for case in catalogue.grid(kind)]


def lstms(case):
    return [getattr(layer, "layer", layer) for layer in case.model.layers]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in GRID if case.steps <= 20])
def test_honest_float32_conforms(case):
    data = draw(case)
    computed = case.model(data.x.astype("float64"), [w.astype("float64") for w in data.weights], fl=Float32())
    for (name, expected), actual in zip(expected_outputs(case, data).items(), computed):
        assert compare(name, expected, actual).agrees


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c.id) for c in GRID if c.steps <= 20 and max(layer.units for layer in lstms(c)) <= 10],
)
def test_float32_is_sharp(case):
    """Below 1e-6 up to 20 steps and 8 units (10 in the lower layers of a stack)."""
    for expected in expected_outputs(case, draw(case)).values():
        assert (expected.tolerance < 1e-6).all()


@pytest.mark.parametrize(
    "wrong", [{"activation": "softsign"}, {"go_backwards": True}, {"recurrent_activation": "tanh"}]
)
def test_a_wrong_layer_is_a_thousand_tolerances_away(wrong):
    case = next(case for case in GRID if case.id == "single-functional-B3-T20-D5-U8-sequences_state")
    data = draw(case)
    (layer,) = case.model.layers
    weights = [w.astype("float64") for w in data.weights]
    output = replace(layer, **wrong)(data.x.astype("float64"), weights)[0]
    assert compare("output", expected_outputs(case, data)["output"], output).ratio > 1000


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        (1.0, 1.0),
        (1.0 + 2.0**-8, 1.0),  # a tie goes to the even neighbour
        (1.0 + 3.0 * 2.0**-8, 1.0 + 2.0**-6),
        (-1.0 - 1.01 * 2.0**-8, -1.0 - 2.0**-7),
        (3.39e38, 3.3895313892515355e38),
        (np.inf, np.inf),
        (np.nan, np.nan),
    ],
)
def test_bfloat16_is_the_nearest_with_eight_digits(value, nearest):
    np.testing.assert_array_equal(round_to(np.array([value]), "bfloat16"), [nearest])


def test_perturbation_is_of_the_size_of_the_roundoff():
    """Results are spread by ±u, elementary functions by ±3u, and the first, exact run stays exact."""
    u = FORMATS["float32"].unit_roundoff
    values = np.ones((4, 10000))
    perturbed = MonteCarlo(u, copies=3, seed=1)(values.copy())
    assert (perturbed[0] == 1.0).all()
    assert 0.99 * u < np.abs(perturbed[1:] - 1.0).max() <= u
    elementary = MonteCarlo(u, copies=3, seed=1).elementary(values.copy())[1:] - 1.0
    assert 1.98 * u < np.abs(elementary).max() <= 3.0 * u
    assert np.abs(elementary.mean(axis=1)).max() > 0.1 * u  # a copy leans to one side


def test_cancellation_in_a_matmul_keeps_its_absolute_error():
    """1·1 + 1·(-1) is 0, but a float32 sum of such products is off by about u, not by 0."""
    u = FORMATS["float32"].unit_roundoff
    a, b = np.ones((2001, 2)), np.array([[1.0], [-1.0]])
    spread = MonteCarlo(u, copies=2000, seed=1).matmul(a, b)[1:].std()
    assert 0.5 * u < spread < 2.0 * u


def test_cancellation_in_a_sum_of_outer_products_keeps_its_absolute_error():
    u = FORMATS["float32"].unit_roundoff
    a, b = np.ones((2001, 2, 1)), np.tile([[1.0], [-1.0]], (2001, 1, 1))
    sums = MonteCarlo(u, copies=2000, seed=1).outer(a, b)
    assert (sums[0] == 0.0).all()
    assert 0.5 * u < sums[1:].std() < 2.0 * u


def test_what_is_not_finite_is_expected_exactly():
    x = np.array([[[np.inf], [1.0]], [[0.5], [1.0]]])
    weights = [np.full((1, 4), 0.5), np.full((1, 4), 0.25), np.zeros(4)]
    layer = LSTM(1, activation="linear", return_sequences=True)
    (result,) = estimate(lambda tile, fl: layer(tile(x), weights, fl=fl), "float32", seed=1)
    assert not np.isfinite(result.value[0]).all()
    assert np.isfinite(result.value[1]).all()
    assert np.isfinite(result.tolerance).all()
