"""Runs of the suite on layers that are wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAYERS = """
import os, threading
from {keras} import layers, saving

@saving.register_keras_serializable()
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


@pytest.fixture(scope="session")
def failing_run(subject, tmp_path_factory):
    """Run tests on one of these layers, and return what pytest printed."""
    if subject.generation < 3:
        pytest.skip("the layers are written for Keras 3")
    folder = tmp_path_factory.mktemp("layers")
    # Not mine.py: that of a reader who does as the README says lies in the folder that these runs start in.
    (folder / "failing_layers.py").write_text(LAYERS.format(keras=subject.keras.__name__), encoding="utf-8")

    def failing_run(layer, *arguments):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
        judged = ["--keras", subject.flavour, "--lstm", f"failing_layers:{layer}"]
        options = ["-q", "-p", "no:cacheprovider", *judged, *arguments]
        command = [sys.executable, "-m", "pytest", *options]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
        return run.stdout

    return failing_run
