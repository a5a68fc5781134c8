"""Gradients with respect to inputs, initial states and weights, over the options they depend on."""

import numpy as np
import pytest

from conformance import catalogue, space
from conformance.covering import frozen_ids
from conformance.data import draw
from conformance.gradients import cotangents, judge_gradients


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in frozen_ids("gradients")])
def test_gradients(name, subject, register, hold):
    hold(judge_gradients(space.case(name), subject, register))


#: Ids of the option space, which has no gradients of this dtype.
BFLOAT16 = (
    "lstm-B3-T4-D2-functional-call-mixed_bfloat16-U3-last",
    "lstm-B3-T4-D2-right_padding-functional-call-mixed_bfloat16-mask_argument-U3-sequences",
    "lstm-B3-T4-D2-initial_state-functional-call-mixed_bfloat16-U3-sequences_state-unroll",
    "cells-two_cells-B3-T4-D2-functional-call-mixed_bfloat16-U3-last",
    "bidirectional-B3-T4-D2-functional-function-mixed_bfloat16-U3-sequences",
)


@pytest.mark.parametrize("name", BFLOAT16)
def test_gradients_in_bfloat16(name, subject, register, hold):
    hold(judge_gradients(space.case(name), subject, register))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in catalogue.wide() if not case.stateful])
def test_wide(case, subject, register, hold):
    hold(judge_gradients(case, subject, register))


@pytest.mark.parametrize("loop", ["", "-unroll"], ids=["scan", "unroll"])
def test_what_a_masked_step_holds_stays_out_of_gradients(loop, subject):
    """A masked step is not there, whatever it holds; people pad with NaN so as to see where padding gets in."""
    if not subject.eager:
        pytest.skip("this Keras computes in predict only")
    case = space.case(f"lstm-B3-T4-D2-nan_masked-right_padding-functional-call-mask_argument-U3-sequences{loop}")
    found = subject.gradients(case, draw(case), cotangents(case))
    assert all(np.isfinite(own).all() for own in found), "gradients are NaN"
