"""Numbers in the docs that the code knows better."""

import re
from pathlib import Path

import pytest

from conformance.covering import frozen_ids
from conformance.faults import FAULTS
from conformance.faults.gradients import GRADIENT_FAULTS
from conformance.faults.second_order import SECOND_ORDER_FAULTS
from conformance.faults.training import TRAINING_FAULTS
from conformance.programs import PROGRAMS
from conformance.second_order import cases

ROOT = Path(__file__).resolve().parents[2]

NUMBERS = [
    ("README.md", r"(\d+) wrong LSTMs", len(FAULTS)),
    ("README.md", r"Gradients of (\d+) cases", len(frozen_ids("gradients"))),
    ("README.md", r"and of (\d+) small ones", len(PROGRAMS)),
    ("docs/reading-a-report.md", r"computing: (\d+) wrong LSTMs", len(FAULTS)),
    ("docs/gradients.md", r"The (\d+) cases have", len(frozen_ids("gradients"))),
    ("docs/gradients.md", r"(\d+) faults \(", len(GRADIENT_FAULTS)),
    ("docs/gradients.md", r"(\d+) small cases", len(cases())),
    ("docs/gradients.md", r"(\d+) faults of second order", len(SECOND_ORDER_FAULTS)),
    ("docs/gradients.md", r"runs (\d+) small programs", len(PROGRAMS)),
    ("docs/gradients.md", r"(\d+) faults of training", len(TRAINING_FAULTS)),
]


@pytest.mark.parametrize(("file", "pattern", "number"), NUMBERS, ids=str)
def test_number(file, pattern, number):
    text = " ".join((ROOT / file).read_text(encoding="utf-8").split())
    assert [int(found) for found in re.findall(pattern, text)] == [number]
