"""What a run leaves of its failing cases: causes in the terminal, messages in JUnit XML, programs in a folder."""

import xml.etree.ElementTree

import pytest

from conformance.report.results import read

CASES = ("tests/conformance/test_models.py", "-k", "single-functional-B3-T5 or single-functional-B3-T20")
CAUSE = "the bias is not added (bias_missing)"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_failing_run(workers, failing_run, tmp_path):
    out, folder = tmp_path / "junit.xml", tmp_path / "programs"
    files = [f"--junitxml={out}", f"--reproductions={folder}", f"--summary-md={tmp_path / 'new' / 'summary.md'}"]
    printed = failing_run("Forgetful", *CASES, "-n", workers, *files)
    assert f"cause of 2 failing cases: {CAUSE}, such as single-functional-B3-T" in printed
    failures = [failure.get("message") for failure in xml.etree.ElementTree.parse(out).iter("failure")]
    assert failures == [f"diverges: {CAUSE}"] * 2
    summary = (tmp_path / "new" / "summary.md").read_text(encoding="utf-8")
    assert "| diverges | 2 |" in summary
    assert summary.count("diverges: the bias is not added (bias\\_missing) |") == 2
    names = sorted(file.name for file in folder.iterdir())
    assert names == [f"single-functional-B3-T{rest}.py" for rest in ("20-D5-U8-sequences_state", "5-D2-U1-sequences")]
    assert all(f"script    {folder / name}" in printed for name in names)


@pytest.mark.parametrize("layer", ["Crashing", "Hanging"])
def test_a_case_that_takes_the_process_with_it_is_a_failed_case(layer, failing_run, tmp_path):
    printed = failing_run(layer, *CASES, "-n", "1", "--timeout=10", f"--report-log={tmp_path / 'results.jsonl'}")
    assert "crashed while running 'tests/conformance/test_models.py::test_single[single-functional-B3-T20" in printed
    assert "cause of 1 failing case: unknown, diverges: crashed while running, such as single-functional" in printed
    assert any(f"cases: {counts}; " in printed for counts in ("1 diverges, 1 conforms", "1 conforms, 1 diverges"))
    found = read(tmp_path / "results.jsonl")
    assert {case["case"]: case["verdict"] for case in found.cases} == {
        "single-functional-B3-T5-D2-U1-sequences": "conforms",
        "single-functional-B3-T20-D5-U8-sequences_state": "diverges",
    }
    assert [node.partition("[")[2] for node in found.failed] == ["single-functional-B3-T20-D5-U8-sequences_state]"]
    assert found.complete
    assert not found.green
