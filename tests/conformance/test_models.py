"""Shapes, dtypes, parameter counts, summaries, values and states over a grid of sizes, in Sequential and functional."""

import pytest

from conformance import catalogue


def each(cases):
    """Parametrize a test with cases under their ids."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases])


#: What the tests below show sizes of.
KINDS = {"test_single": ("single",), "test_stacked": ("stack2", "stack3"), "test_bidirectional": ("bidirectional",)}


def pytest_generate_tests(metafunc):
    """The sizes that the tier asks for."""
    tier = metafunc.config.getoption("--tier")
    if metafunc.function.__name__ in KINDS:
        cases = (case for kind in KINDS[metafunc.function.__name__] for case in catalogue.grid(kind, tier))
        metafunc.parametrize("case", [pytest.param(case, id=case.id) for case in cases])


def test_single(case, conforms):
    conforms(case)


def test_stacked(case, conforms):
    conforms(case)


def test_bidirectional(case, conforms):
    conforms(case)


@each(catalogue.options())
def test_option(case, conforms):
    conforms(case)


@each(catalogue.modes())
def test_mode(case, conforms):
    conforms(case)


@each(catalogue.wide())
def test_wide(case, conforms):
    conforms(case)


@each(catalogue.heads())
def test_head(case, conforms):
    conforms(case)
