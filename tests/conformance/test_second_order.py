"""Second-order gradients: the Hessian times a vector, on a few small cases."""

import pytest

from conformance.second_order import cases, judge_second_order


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_second_order(case, subject, register, hold):
    hold(judge_second_order(case, subject, register))
