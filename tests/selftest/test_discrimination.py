"""Which cases are too near to a wrong LSTM to be trusted, and that a run says so."""

import csv

import numpy as np
import pytest

from conformance import discrimination, space
from conformance.compare import largest_ratio
from conformance.discrimination import TRUSTED, UNTRUSTED, cases, nearest, untrusted
from conformance.judge import judge
from conformance.report.terminal import summarize
from reference_impl import Estimate

#: Every so manieth case is measured again.
EVERY = 40

CASES = [*cases("default")]
TOLD = dict(line.split(maxsplit=1) for line in UNTRUSTED.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("case", CASES[::EVERY], ids=lambda case: case.id)
def test_frozen_distances_are_those_of_today(case):
    name, found = nearest(case)
    assert (case.id in untrusted()) == (found < TRUSTED)
    if case.id in TOLD:
        assert TOLD[case.id] == f"{name} {found:.2g}"


def test_in_float32_and_float64_nearly_every_case_is_trusted():
    """In half precision a tolerance is a hundredth of a number, so that hardly any case is."""
    precise = [case for case in CASES if case.compute_dtype in ("float32", "float64")]
    doubted = [case.id for case in precise if case.id in untrusted()]
    assert len(doubted) < 0.03 * len(precise), doubted


def test_frozen_cases_are_cases():
    assert untrusted() <= {case.id for tier in ("default", "full") for case in cases(tier)}


def test_distance():
    expected = [Estimate(np.array([[1.0, np.nan, np.inf]]), np.full((1, 3), 0.5))]
    assert largest_ratio(expected, [np.array([[2.0, np.nan, np.inf]])]) == 2.0
    assert largest_ratio(expected, [np.array([[1.0, 1.0, np.inf]])]) == np.inf
    assert largest_ratio(expected, [np.array([[1.0, np.nan, 1.0]])]) == np.inf
    assert largest_ratio(expected, [np.ones((1, 2))]) == np.inf


def test_agreement_of_an_untrusted_case_is_called_so(subject):
    case = next(case for case in CASES if case.id in untrusted() and case.dtype == "float32" and case.mode == "call")
    judgement = judge(case, subject)
    assert judgement.verdict == "untrusted"
    counted = summarize([{"case": case.id, "verdict": judgement.verdict, "ratio": judgement.ratio}])
    assert counted[-1].startswith("cases: 1 untrusted; largest ratio")


def test_matrix(tmp_path, monkeypatch):
    case = space.case("lstm-B3-T4-D2-functional-call-U3-sequences")
    monkeypatch.setattr(discrimination, "cases", lambda tier: [case])
    discrimination.main([str(tmp_path / "matrix.csv")])
    (row,) = csv.DictReader((tmp_path / "matrix.csv").open(encoding="utf-8"))
    assert row["case"] == case.id
    assert float(row["gates_ifoc"]) > TRUSTED
    assert row["mask_ignored"] == ""
