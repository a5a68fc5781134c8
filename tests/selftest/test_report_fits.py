"""The terminal report of a failing case, whichever it is, fits 25 lines at 100 columns."""

import numpy as np
import pytest

from conformance import second_order
from conformance.compare import compared
from conformance.data import draw
from conformance.diagnosis import Diagnosis
from conformance.discrimination import cases
from conformance.expected import expected_outputs
from conformance.judge import Check, Judgement
from conformance.observation import Environment
from conformance.report.terminal import render
from conformance.second_order import expected_products

ENVIRONMENT = Environment(
    keras="tensorflow.keras 3.15.1",
    backend="TensorFlow 2.21.0",
    numpy="2.5.5",
    python="3.13.0",
    device="CPU x86_64",
    threads="intra auto inter auto",
    onednn="on",
    layer="mine:Swapped",
)
CASES = [*cases("default")][::10]
QUESTIONS = ("weights", "weight shapes", "weights read back", "symbolic shapes", "dtypes", "summary")


#: Cases, and what is expected of them.
EXPECTED = [
    *(pytest.param(case, expected_outputs, id=case.id) for case in CASES),
    *(pytest.param(case, expected_products, id=f"second_order-{case.id}") for case in second_order.cases()),
]


@pytest.mark.parametrize(("case", "expect"), EXPECTED)
@pytest.mark.parametrize("agrees", [True, False], ids=["values", "all"])
def test_report_fits(case, expect, agrees):
    """Every tensor is wrong, and the sentences are long; with ``all`` every other answer is wrong too."""
    with np.errstate(all="ignore"):
        expected = expect(case, draw(case))
        outputs = [1.3 * np.nan_to_num(one.value) + 1.0 for one in expected.values()]
    shapes = [one.value.shape for one in expected.values()]
    checks = tuple(Check(question, shapes, shapes if agrees else None) for question in QUESTIONS)
    diagnosis, where = Diagnosis((("gates_ifoc", "mask_ignored"),) * 5, 1200), "the last step is wrong " * 12
    judgement = Judgement(case, ENVIRONMENT, checks, compared(expected, outputs), diagnosis=diagnosis, where=where)
    name, *lines, rerun = render(judgement, "the command", "a/program.py").splitlines()
    assert len(lines) + 2 <= 25
    assert max(map(len, lines)) <= 100
    assert name == case.id
    assert rerun.split() == ["rerun", "the", "command"]
    assert any(line.startswith("  differs   ") and "ratio" in line for line in lines)
