"""The results file of a run: whole, broken off, or none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.report.results import ResultsError, describe, main, read

ROOT = Path(__file__).resolve().parents[2]
CASES = "single-functional-B3-T5 or merge_sum"


@pytest.fixture(scope="module", params=["0", "2"])
def results_file(request, tmp_path_factory):
    """The results of a few cases, by one process and by two."""
    file = tmp_path_factory.mktemp("results") / "new" / "results.jsonl"
    options = ["-q", "-p", "no:cacheprovider", "-n", request.param, f"--report-log={file}", "-k", CASES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "tests/conformance/test_models.py", *options]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return file


def test_whole_run(results_file, capsys):
    results = read(results_file)
    assert results.green
    assert results.header["tier"] == "default"
    assert len(results.passed) == len(results.cases) == results.footer["collected"] == 5
    assert {case["verdict"] for case in results.cases} == {"conforms"}
    assert main([str(results_file)]) == 0
    assert "cases: 5 conforms; largest ratio" in capsys.readouterr().out


def test_every_line_is_as_the_schema_says(results_file):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in results_file.read_text(encoding="utf-8").splitlines()]
    assert not [error.message for line in lines for error in validator.iter_errors(line)]
    assert not validator.is_valid({"$report_type": "ConformanceHeader"})


def test_run_that_was_killed_is_incomplete_and_not_green(results_file, tmp_path):
    text = results_file.read_text(encoding="utf-8")
    broken = tmp_path / "broken.jsonl"
    broken.write_text(text[: len(text) // 2], encoding="utf-8")
    results = read(broken)
    assert 0 < len(results.passed) < 5
    assert not results.complete
    assert list(describe(results))[-1].startswith("INCOMPLETE: ")
    assert main([str(broken)]) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no header of this project"),
        ("{}\n{}\n", "has no header of this project"),
        ("<html>\n{}\n", "line 1: is no JSON"),
        ("[1]\n{}\n", "line 1: is no object"),
        ('{"$report_type": "ConformanceHeader"}\n', "is not as docs/results.schema.json says: KeyError"),
    ],
)
def test_file_that_is_none(text, says, tmp_path):
    (tmp_path / "file").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=says):
        read(tmp_path / "file")


def test_absent_file_gets_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_run_that_was_stopped_is_incomplete(results_file, tmp_path):
    """As by -x or Ctrl-C: there is a footer, but tests are missing."""
    lines = results_file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if "TestReport" not in line or "T5-D2-U1-last" in line]
    stopped = tmp_path / "stopped.jsonl"
    stopped.write_text("\n".join(kept) + "\n", encoding="utf-8")
    assert read(stopped).footer["exitstatus"] == 0
    assert not read(stopped).green


def test_faults_of_another_version_are_left_as_they_are(results_file, tmp_path):
    text = results_file.read_text(encoding="utf-8").replace(
        '["verdict", "conforms"]', '["verdict", "diverges"], ["causes", "renamed"]'
    )
    other = tmp_path / "other.jsonl"
    other.write_text(text, encoding="utf-8")
    assert "cause of 5 failing cases: (renamed), such as" in " ".join(describe(read(other)))


@pytest.mark.parametrize("results_file", ["0"], indirect=True)
def test_complete_run_is_not_run_again(results_file):
    """It ends before Keras is looked for, and the file is as it was; one that is broken off is run again."""
    before = results_file.read_bytes()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--resume", "--keras", "none"]
    resumed = subprocess.run(
        [*command, f"--report-log={results_file}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "is complete; delete it to run this again" in resumed.stderr
    assert results_file.read_bytes() == before
    broken = results_file.with_name("broken.jsonl")
    broken.write_bytes(before[: len(before) // 2])
    again = subprocess.run([*command, f"--report-log={broken}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "no Keras is called 'none'" in again.stderr
