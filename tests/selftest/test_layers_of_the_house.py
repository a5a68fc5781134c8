"""The one way through the house: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERAS = {"keras", "tensorflow", "tf_keras"}


def imported(path):
    """Names of the modules a file imports, by their full path."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def files(folder):
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", files("reference_impl"))
def test_the_reference_imports_numpy_alone(path):
    standard = {"__future__", "dataclasses", "functools", "math", "typing"}
    assert {name.split(".")[0] for name in imported(path)} <= standard | {"numpy", "reference_impl"}


@pytest.mark.parametrize("path", files("conformance"))
def test_only_the_subject_imports_keras(path):
    assert not KERAS & {name.split(".")[0] for name in imported(path)}
    if "subject" not in path.parts:
        assert not any(name.startswith("conformance.subject.") for name in imported(path))


def test_no_two_test_files_have_one_name():
    """Pytest imports them by their names alone: ``pytest`` without arguments would not collect them."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
