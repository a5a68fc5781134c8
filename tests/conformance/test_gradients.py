"""Gradients with respect to inputs, initial states and weights, over the options they depend on."""

import pytest

from conformance import space
from conformance.covering import frozen_ids
from conformance.gradients import judge_gradients


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in frozen_ids("gradients")])
def test_gradients(name, subject, register, hold):
    hold(judge_gradients(space.case(name), subject, register))
