"""Promises that versions make otherwise: each is made where it says, and nowhere else."""

import pytest

from conformance.promises import load_promises


@pytest.mark.parametrize("promise", [pytest.param(promise, id=promise.id) for promise in load_promises()])
def test_promise_is_kept_where_it_is_made(subject, promise):
    try:
        exec(promise.program, {"keras": subject.keras})
        kept = True
    except (AssertionError, AttributeError, KeyError):
        kept = False
    assert kept == promise.concerns(subject.versions)
