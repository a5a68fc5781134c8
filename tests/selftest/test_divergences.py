"""The register: its records are well formed, and the program of each that concerns this subject shows what it says."""

import re
import subprocess
import sys

import pytest

from conformance.divergences import load_register
from conformance.subject.adapter import OF_TENSORFLOW_1


@pytest.mark.parametrize("record", load_register(), ids=lambda record: record.id)
def test_program(record, subject):
    if subject.flavour in ("tf_keras", OF_TENSORFLOW_1) or not record.concerns(subject.versions):
        pytest.skip(f"{record.id} does not concern {subject.flavour} {subject.version}")
    program = subprocess.run([sys.executable, "-c", record.program], capture_output=True, text=True, check=False)
    if record.crashes:
        assert program.returncode < 0, program.stderr
        return
    assert program.returncode == 1, program.stderr
    *_, end = program.stderr.split("Traceback (most recent call last):")
    raised = re.search(r"^(?:\w+\.)*(\w+)(?::|$)", end, re.MULTILINE)
    assert raised, program.stderr
    assert raised[1] in (*record.raises.split(" or "), "AssertionError"), program.stderr
