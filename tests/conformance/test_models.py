"""Shapes, dtypes, parameter counts, summaries, values and states over a grid of sizes, in Sequential and functional."""

import pytest

from conformance import catalogue


def each(cases):
    """Parametrize a test with cases under their ids."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases])


@each(catalogue.grid("single"))
def test_single(case, conforms):
    conforms(case)


@each([*catalogue.grid("stack2"), *catalogue.grid("stack3")])
def test_stacked(case, conforms):
    conforms(case)


@each(catalogue.grid("bidirectional"))
def test_bidirectional(case, conforms):
    conforms(case)


@each(catalogue.options())
def test_option(case, conforms):
    conforms(case)


@each(catalogue.modes())
def test_mode(case, conforms):
    conforms(case)


@each(catalogue.heads())
def test_head(case, conforms):
    conforms(case)
