"""Bad use gets one clear line and pytest's usage exit code, and no traceback."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, cwd=ROOT, path=None):
    """Run pytest in a process of its own, ``path`` ahead of what is installed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*([str(path)] if path else []), str(cwd)])}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def one_line(result):
    """The line a user reads, once it is sure that there is no other."""
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    assert result.returncode == pytest.ExitCode.USAGE_ERROR, result.stdout + result.stderr
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def copy(tmp_path):
    """A copy of the suite whose fixtures may be spoiled."""
    for name in ("conformance", "reference_impl", "fixtures", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def without(tmp_path, package):
    """A folder that makes ``import package`` fail as if it were not installed."""
    folder = tmp_path / "absent"
    (folder / package).mkdir(parents=True)
    message = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')\n"
    (folder / package / "__init__.py").write_text(message, encoding="utf-8")
    return folder


def test_unknown_keras():
    line = one_line(run("--keras", "theano"))
    known = "tensorflow.keras, keras, tf_keras, tensorflow.compat.v1.keras"
    assert line == f"ERROR: --keras: no Keras is called 'theano'; choose from {known}"


def test_folder_for_reproductions_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    assert one_line(run(f"--reproductions={tmp_path / 'file'}")).endswith("file: is not a folder")


def test_summary_is_a_folder(tmp_path):
    assert one_line(run(f"--summary-md={tmp_path}")).endswith(f"{tmp_path}: is a folder")


@pytest.mark.parametrize(
    ("flavour", "package", "install"),
    [
        ("tensorflow.keras", "tensorflow", "pip install tensorflow-cpu"),
        ("keras", "keras", "pip install tensorflow-cpu keras"),
        ("tf_keras", "tf_keras", "pip install tensorflow-cpu tf-keras"),
    ],
)
def test_absent_package(flavour, package, install, tmp_path):
    line = one_line(run("--keras", flavour, path=without(tmp_path, package)))
    assert line == f"ERROR: --keras {flavour}: {package} is not installed ({install})"


def test_unknown_layer_class(subject):
    line = one_line(run("--keras", subject.flavour, "--lstm", "conformance.case:Nothing"))
    assert line.startswith("ERROR: --lstm: no class 'conformance.case:Nothing', expected package.module:Class (")


@pytest.mark.parametrize("module", ["covering", "discrimination", "files", "training", "report.html", "report.results"])
def test_command_with_an_unknown_argument(module):
    """It does nothing, not even what it does without arguments."""
    command = [sys.executable, "-m", f"conformance.{module}", "--nonsense"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"python -m conformance.{module}: error: " in ended.stderr


def test_command_whose_output_nobody_reads():
    """As where it is piped to ``head``: no traceback."""
    command = [sys.executable, "-m", "conformance.versions", "diff", "tf2.4", "tf2.21"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


EXAMPLE = """title = 'a'
note = 'b'
[[example]]
id = 'x'
layers = [{{ {} }}]
[example.figures]
parameters = 1
outputs = []
rows = []
"""


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("divergences.toml", "[[divergence]]\nid = x\n", "divergences.toml: Invalid value (at line 2, column 6)"),
        (
            "divergences.toml",
            "[[divergense]]\n",
            "divergences.toml: unknown field 'divergense'; expected [[divergence]]",
        ),
        (
            "divergences.toml",
            "[[divergence]]\nid = 'x'\nwho = 'y'\n",
            "divergence 1 (x): unknown field 'who'; known are id,",
        ),
        (
            "divergences.toml",
            "[[divergence]]\nid = 'x'\n",
            "divergences.toml: divergence 1 (x): field 'departs' is missing",
        ),
        (
            "documented/a.toml",
            EXAMPLE.format("class = 'GRU'"),
            "a.toml: example 1 (x): unknown layer class 'GRU'; known",
        ),
        (
            "documented/a.toml",
            EXAMPLE.format("class = 'LSTM', width = 3"),
            "example 1 (x): LSTM: unknown field 'width'",
        ),
    ],
)
def test_spoiled_fixture(name, text, says, copy):
    (copy / "fixtures" / name).write_text(text, encoding="utf-8")
    line = one_line(run(cwd=copy))
    assert line.startswith("ERROR: ")
    assert name.split("/")[-1] in line
    assert says in line


def test_absent_register(copy):
    (copy / "fixtures" / "divergences.toml").unlink()
    assert one_line(run(cwd=copy)).endswith("divergences.toml: No such file or directory")


MADE_UP = """
[[divergence]]
id = "made-up"
departs = "something departs"
why = "made up"
versions = {{ keras = ">=2" }}
tests = {tests}
{signature}
program = "import os; os.abort()"
"""


def enter(copy, tests, signature):
    """Enter a record into the register of a copy."""
    register = copy / "fixtures" / "divergences.toml"
    record = MADE_UP.format(tests=tests, signature=signature)
    register.write_text(register.read_text(encoding="utf-8") + record, encoding="utf-8")


def test_a_test_that_is_on_record_to_end_the_process_is_not_run(copy):
    enter(copy, ["test_sizes_of_a_cell"], "crashes = true")
    result = run("-rx", "-k", "test_sizes_of_a_cell", "tests/conformance/test_layer_questions.py", cwd=copy)
    assert "known divergence made-up: something departs" in result.stdout
    assert "1 xfailed" in result.stdout


DEPARTING = """
def test_of_a_number():
    number = 1
    assert number == 2, "the number is wrong"

def test_that_passes():
    pass
"""


def test_a_test_that_is_not_as_on_record_says_where(copy):
    """Its failure is shown in its own lines, with what it said, and not in those of pytest."""
    (copy / "tests" / "conformance" / "test_made_up.py").write_text(DEPARTING, encoding="utf-8")
    enter(copy, ["test_of_a_number", "test_that_passes"], "raises = 'AssertionError'\nsaying = 'the number is 3'")
    printed = run("tests/conformance/test_made_up.py", cwd=copy).stdout
    assert "on record is AssertionError the number is 3; it said: the number is wrong" in printed
    assert re.search(r'>\s+assert number == 2, "the number is wrong"', printed)
    assert "made-up: conforms; it was repaired here" in printed
    assert "pluggy/" not in printed
