"""What is said of the subject's settings is what TensorFlow says of itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]

#: TensorFlow is imported first, since the suite keeps it from logging.
PROGRAM = """
import tensorflow
from conformance.subject import load
print(load("tensorflow.keras").environment.onednn)
"""


@pytest.mark.parametrize("chosen", ["", "0", "1"], ids=["by_default", "off", "on"])
def test_onednn_is_on_where_tensorflow_says_so(chosen):
    """It logs it when it is imported, since 2.9 on every system where it may be on."""
    if Version(pytest.importorskip("tensorflow").__version__) < Version("2.9"):
        pytest.skip("this TensorFlow does not say it")
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": chosen, "TF_CPP_MIN_LOG_LEVEL": "0", "PYTHONPATH": str(ROOT)}
    if not chosen:
        del environment["TF_ENABLE_ONEDNN_OPTS"]
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert (run.stdout.strip() == "on") == ("oneDNN custom operations are on" in run.stderr), run.stderr
