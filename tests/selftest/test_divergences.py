"""The register: its records are well formed, and the program of each that concerns this subject shows what it says."""

import pytest

from conformance.divergences import load_register
from conformance.divergences.showing import SHOWN, installed, run_programs
from conformance.observation import OF_TENSORFLOW_1


@pytest.mark.parametrize("record", load_register(), ids=lambda record: record.id)
def test_program(record, subject):
    if subject.flavour in ("tf_keras", OF_TENSORFLOW_1) or not record.concerns(installed(subject.versions)):
        pytest.skip(f"{record.id} does not concern {subject.flavour} {subject.version}")
    assert run_programs([record], subject.versions).ends == {record.id: SHOWN}
