"""Whole training runs on small models: losses, optimizers, clipping, masks, states, both directions."""

import pytest

from conformance.trajectories import PROGRAMS, judge_trajectory


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.id)
def test_fit(program, subject, hold):
    hold(judge_trajectory(program, subject))
