"""The same verdicts in one process and in two, in any order."""

import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SELECTION = ("tests/conformance/test_models.py", "-k", "T7 and (stack2 or softmax or sparsemax)")


def verdicts(subject, junit, *arguments):
    """By case, its verdict as JUnit XML has it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--keras", subject.flavour, *SELECTION]
    command += [f"--junitxml={junit}", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.OK, run.stdout + run.stderr
    found = {}
    for case in xml.etree.ElementTree.parse(junit).iter("testcase"):
        properties = {item.get("name"): item.get("value") for item in case.iter("property")}
        found[properties["case"]] = properties["verdict"]
    return found


def test_processes_and_order(subject, tmp_path, monkeypatch):
    one = verdicts(subject, tmp_path / "one.xml")
    assert len(one) > 15
    reverse = tmp_path / "reverse_order.py"
    reverse.write_text("def pytest_collection_modifyitems(items):\n    items.reverse()\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert verdicts(subject, tmp_path / "two.xml", "-n", "2") == one
    assert verdicts(subject, tmp_path / "reverse.xml", "-p", "reverse_order") == one
