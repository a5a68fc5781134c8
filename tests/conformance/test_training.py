"""Whole training runs on small models: losses, weights, optimizers, clipping, regularizers, constraints."""

import pytest

from conformance.programs import PROGRAMS
from conformance.trajectories import judge_trajectory


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.id)
def test_fit(program, subject, register, hold):
    hold(judge_trajectory(program, subject, register))
