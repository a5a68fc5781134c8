"""What a run leaves of its failing cases: causes in the terminal, messages in JUnit XML, programs in a folder."""

import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

from conformance.report.results import read

ROOT = Path(__file__).resolve().parents[2]

LAYERS = """
import os, threading
from {keras} import layers

class Forgetful(layers.LSTM):
    def build(self, shape):
        super().build(shape)
        self.cell.use_bias = False

class Crashing(layers.LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        if self.units == 8:
            self.give_up()
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def give_up(self):
        os.abort()

class Hanging(Crashing):
    def give_up(self):
        threading.Event().wait()
"""

CASES = "single-functional-B3-T5 and sequences_state or single-functional-B3-T20 and sequences_state"
CAUSE = "the bias is not added (bias_missing)"


@pytest.fixture
def failing_run(subject, tmp_path):
    """Run two cases, of 1 unit and of 8, on a layer of this file, and return what pytest printed."""
    if subject.generation < 3:
        pytest.skip("the layer is written for Keras 3")
    (tmp_path / "mine.py").write_text(LAYERS.format(keras=subject.keras.__name__), encoding="utf-8")

    def failing_run(layer, *arguments):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        options = ["-q", "-p", "no:cacheprovider", "--lstm", f"mine:{layer}", "-k", CASES, *arguments]
        command = [sys.executable, "-m", "pytest", "tests/conformance/test_models.py", *options]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
        return run.stdout

    return failing_run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_failing_run(workers, failing_run, tmp_path):
    out, folder = tmp_path / "junit.xml", tmp_path / "programs"
    files = [f"--junitxml={out}", f"--reproductions={folder}", f"--summary-md={tmp_path / 'new' / 'summary.md'}"]
    printed = failing_run("Forgetful", "-n", workers, *files)
    assert f"cause of 2 failing cases: {CAUSE}, such as single-functional-B3-T" in printed
    failures = [failure.get("message") for failure in xml.etree.ElementTree.parse(out).iter("failure")]
    assert failures == [f"diverges: {CAUSE}"] * 2
    summary = (tmp_path / "new" / "summary.md").read_text(encoding="utf-8")
    assert "| diverges | 2 |" in summary
    assert summary.count("diverges: the bias is not added (bias\\_missing) |") == 2
    names = sorted(file.name for file in folder.iterdir())
    assert names == [f"single-functional-B3-T{sizes}-sequences_state.py" for sizes in ("20-D5-U8", "5-D2-U1")]
    assert all(f"script    {folder / name}" in printed for name in names)


@pytest.mark.parametrize("layer", ["Crashing", "Hanging"])
def test_a_case_that_takes_the_process_with_it_is_a_failed_case(layer, failing_run, tmp_path):
    printed = failing_run(layer, "-n", "1", "--timeout=10", f"--report-log={tmp_path / 'results.jsonl'}")
    assert "crashed while running 'tests/conformance/test_models.py::test_single[single-functional-B3-T20" in printed
    found = read(tmp_path / "results.jsonl")
    assert [case["case"] for case in found.cases] == ["single-functional-B3-T5-D2-U1-sequences_state"]
    assert [node.partition("[")[2] for node in found.failed] == ["single-functional-B3-T20-D5-U8-sequences_state]"]
    assert found.complete
    assert not found.green
