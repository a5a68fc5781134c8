"""What a run leaves of its failing cases: causes in the terminal, messages in JUnit XML, programs in a folder."""

import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_BIAS = """
class Forgetful(__import__("{keras}", fromlist=["layers"]).layers.LSTM):
    def build(self, shape):
        super().build(shape)
        self.cell.use_bias = False
"""

CASES = "single-functional-B3-T5 and sequences_state or single-functional-B3-T20 and sequences_state"
CAUSE = "the bias is not added (bias_missing)"


@pytest.fixture
def failing_run(subject, tmp_path):
    """Run two cases on a layer that has lost its bias, with workers or without, and return what pytest printed."""
    if subject.generation < 3:
        pytest.skip("the layer is written for Keras 3")
    (tmp_path / "mine.py").write_text(WITHOUT_BIAS.format(keras=subject.keras.__name__), encoding="utf-8")

    def failing_run(*arguments):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        options = ["-q", "-p", "no:cacheprovider", "--lstm", "mine:Forgetful", "-k", CASES, *arguments]
        command = [sys.executable, "-m", "pytest", "tests/conformance/test_models.py", *options]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
        return run.stdout

    return failing_run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_failing_run(workers, failing_run, tmp_path):
    out, folder = tmp_path / "junit.xml", tmp_path / "programs"
    printed = failing_run("-n", workers, f"--junitxml={out}", f"--reproductions={folder}")
    assert f"cause of 2 failing cases: {CAUSE}, such as single-functional-B3-T" in printed
    failures = [failure.get("message") for failure in xml.etree.ElementTree.parse(out).iter("failure")]
    assert failures == [f"diverges: {CAUSE}"] * 2
    names = sorted(file.name for file in folder.iterdir())
    assert names == [f"single-functional-B3-T{sizes}-sequences_state.py" for sizes in ("20-D5-U8", "5-D2-U1")]
    assert all(f"script    {folder / name}" in printed for name in names)
