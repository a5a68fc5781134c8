"""The reports for Keras in docs/upstream: every departure of the newest version has one, or a thread."""

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from conformance.divergences import load_register
from conformance.versions.summary import FOLDER, SUFFIX, load
from conformance.versions.upstream import reports

UPSTREAM = FOLDER.parent / "upstream"

#: A place in the sources of a release of Keras.
PLACE = re.compile(r"keras-team/keras/blob/v([\d.]+)/keras/(src/[\w/.]+)#L(\d+)(?:-L(\d+))?")

#: What a program about files or threads needs besides; TensorFlow brings h5py.
BESIDES = ("h5py", "os", "tempfile", "threading")

RECORDS = {record.id: record for record in load_register()}


@pytest.fixture(scope="module")
def made():
    return reports([load(path) for path in sorted(FOLDER.glob(f"*{SUFFIX}"))], load_register())


def test_reports_are_those_of_the_register(made):
    assert sorted(made) == sorted(path.name for path in UPSTREAM.iterdir())
    stale = [name for name, lines in made.items() if (UPSTREAM / name).read_text(encoding="utf-8") != "\n".join(lines)]
    assert not stale, "run python -m conformance.versions upstream"


def test_every_report_says_what_was_promised(made):
    for name in set(made) - {"README.md"}:
        assert "](https://" in RECORDS[Path(name).stem].promised, name


def test_thread_or_promise():
    assert not [name for name, record in RECORDS.items() if record.upstream and record.promised]


def test_programs_are_small_and_need_tensorflow_alone(made):
    for name in set(made) - {"README.md"}:
        program = RECORDS[Path(name).stem].program
        assert len(program.strip().splitlines()) <= 25, name
        imports = re.findall(r"^\s*(?:import|from) (.+?)(?: import .*)?$", program, re.MULTILINE)
        modules = {module.split(" as ")[0].strip().partition(".")[0] for line in imports for module in line.split(",")}
        assert modules <= {"keras", "numpy", "tensorflow", *BESIDES}, name


def test_links_into_the_sources_of_keras_are_lines_that_are_there():
    """Of the release that is installed, and only of that."""
    if not find_spec("keras"):
        pytest.skip("no package keras is installed")
    package = Path(find_spec("keras").origin).parent
    for record in RECORDS.values():
        for release, file, first, last in PLACE.findall(record.promised):
            if release == version("keras"):
                lines = (package / file).read_text(encoding="utf-8").splitlines()[int(first) - 1 : int(last or first)]
                assert any(line.strip() for line in lines), f"{record.id}: {file}#L{first}"
