"""The program of a failing case fails as the case does, and that of a conforming one passes."""

import os
import subprocess
import sys

import pytest

from conformance import space
from conformance.covering import frozen_ids
from conformance.divergences import GRADIENTS
from conformance.gradients import judge_gradients
from conformance.judge import AGREES, judge
from conformance.report.reproduction import reproduction, write
from conformance.subject import Subject
from conformance.subject.unsupported import unable_to_run

#: Every so manieth case of gradients.
EVERY = 12

SMOKE = [name for name in frozen_ids("smoke") if "-mirrored-" not in name]


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in SMOKE])
def test_program_passes_where_the_case_conforms(name, subject):
    """Every option and topology of the smoke tier, without the register: known divergences fail here."""
    case = space.case(name)
    if unable_to_run(subject, case) or not subject.eager:
        pytest.skip(unable_to_run(subject, case) or "this Keras computes in predict only")
    judgement, program = judge(case, subject), reproduction(case, subject)
    assert len(program.splitlines()) < 60
    assert_fails_as(judgement, program)


def assert_fails_as(judgement, program):
    try:
        exec(compile(program, judgement.name, "exec"), {"__name__": "reproduction"})
        raised = ""
    except Exception as error:
        raised = type(error).__name__
    assert bool(raised) == (judgement.verdict not in AGREES) == judgement.reproducible, raised
    assert raised in ("", "AssertionError") or type(judgement.raised).__name__ == raised


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in frozen_ids("gradients")[::EVERY]])
def test_program_of_gradients_passes_where_they_are_right(name, subject):
    """Without the register, too."""
    case = space.case(name)
    if unable_to_run(subject, case) or not subject.eager:
        pytest.skip(unable_to_run(subject, case) or "this Keras computes in predict only")
    judgement, program = judge_gradients(case, subject), reproduction(case, subject, GRADIENTS)
    assert len(program.splitlines()) < 60
    assert_fails_as(judgement, program)


SWAPPED = """
import keras

@keras.saving.register_keras_serializable()
class Swapped(keras.layers.LSTM):
    def build(self, shape):
        super().build(shape)
        right = self.cell._compute_carry_and_output_fused
        self.cell._compute_carry_and_output_fused = lambda z, c: right((z[0], z[1], z[3], z[2]), c)
"""


@pytest.mark.parametrize("mode", ["call", "mirrored"])
def test_program_runs_by_itself_with_a_layer_of_ones_own(mode, subject, tmp_path):
    if subject.generation < 3:
        pytest.skip("the layer is written for Keras 3")
    (tmp_path / "mine.py").write_text(SWAPPED, encoding="utf-8")
    own = Subject(subject.flavour, subject.keras, subject.lstm, "mine:Swapped")
    case = space.case(f"lstm-B3-T4-D2-functional-{mode}-U3-sequences")
    file = write(tmp_path / "new" / "folder", case.id, reproduction(case, own))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False, env=environment)
    assert program.returncode == 1, program.stderr
    assert "AssertionError: [[[" in program.stderr
    assert "largest error / tolerance: " in program.stdout
