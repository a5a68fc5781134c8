"""Promises that versions make otherwise: each is made where it says, and nowhere else."""

import pytest

from conformance.fixtures import FixtureError
from conformance.promises import load_promises


@pytest.mark.parametrize("promise", [pytest.param(promise, id=promise.id) for promise in load_promises()])
def test_promise_is_kept_where_it_is_made(subject, promise):
    try:
        exec(promise.program, {"keras": subject.keras})
        kept = True
    except (AssertionError, AttributeError, KeyError):
        kept = False
    assert kept == promise.concerns(subject.versions)


@pytest.mark.parametrize(
    "wrong", ['versions = { jax = ">=1" }', 'versions = { keras = "3" }', 'where = { layers = "v3" }']
)
def test_range_that_nothing_can_be_in_is_refused(tmp_path, wrong):
    versions = "" if wrong.startswith("versions") else "versions = {}\n"
    text = f"[[promise]]\nid = 'a'\nsays = 'b'\n{versions}{wrong}\ndocumented = []\nprogram = ''\n"
    (tmp_path / "promises.toml").write_text(text, encoding="utf-8")
    with pytest.raises(FixtureError, match=r"promises\.toml: promise 1 \(a\): "):
        load_promises(tmp_path / "promises.toml")


def test_two_of_one_name_are_refused(tmp_path):
    text = "[[promise]]\nid = 'a'\nsays = 'b'\nversions = {}\ndocumented = []\nprogram = ''\n"
    (tmp_path / "promises.toml").write_text(2 * text, encoding="utf-8")
    with pytest.raises(FixtureError, match=r"promises\.toml: two records are called 'a'"):
        load_promises(tmp_path / "promises.toml")
