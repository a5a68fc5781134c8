"""Gradients with respect to inputs, initial states and weights, over the options they depend on."""

import numpy as np
import pytest

from conformance import space
from conformance.covering import frozen_ids
from conformance.data import draw
from conformance.gradients import cotangents, judge_gradients


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in frozen_ids("gradients")])
def test_gradients(name, subject, register, hold):
    hold(judge_gradients(space.case(name), subject, register))


@pytest.mark.parametrize("loop", ["", "-unroll"], ids=["scan", "unroll"])
def test_what_a_masked_step_holds_stays_out_of_gradients(loop, subject):
    """A masked step is not there, whatever it holds; people pad with NaN so as to see where padding gets in."""
    if not subject.eager:
        pytest.skip("this Keras computes in predict only")
    case = space.case(f"lstm-B3-T4-D2-nan_masked-right_padding-functional-call-mask_argument-U3-sequences{loop}")
    found = subject.gradients(case, draw(case), cotangents(case))
    assert all(np.isfinite(own).all() for own in found), "gradients are NaN"
