"""Every option and combination of options: shapes, dtypes, parameter counts, values and states of the option space."""

from conformance import space


def test_space(case_id, conforms):
    conforms(space.case(case_id))
