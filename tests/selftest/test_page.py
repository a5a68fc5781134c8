"""The HTML page of a run: what it says, that it is small, and that nothing in a results file becomes part of it."""

import pytest
from made_up import HOSTILE, UNITS, case_line, evidence, header, write

from conformance.report import html
from conformance.report.results import ResultsError, read


@pytest.fixture
def page(tmp_path):
    """The page of a results file of these lines."""
    if html.missing():
        pytest.skip(html.missing())

    def page(*lines):
        return html.render(read(write(tmp_path / "results.jsonl", *lines)))

    return page


def test_nothing_shown_becomes_part_of_the_page(page):
    text = page(
        header(keras=HOSTILE, device=HOSTILE),
        case_line(HOSTILE, "diverges", evidence(HOSTILE), message=HOSTILE, causes="", document=HOSTILE),
        {"$report_type": "CollectReport", "nodeid": HOSTILE, "outcome": "failed", "longrepr": HOSTILE, "result": None},
    )
    assert "<img src=x" not in text
    assert text.count("<script>") == 1
    assert "49" not in text.partition("7 * 7")[0][-40:]
    assert "{{ 7 * 7 }}" in text


def test_three_thousand_cases_with_fifty_failures_stay_under_five_megabytes(page):
    conforming = [case_line(f"lstm-B3-T4-D2-functional-call-U3-sequences-{number}") for number in range(2950)]
    failing = [
        case_line(f"stack-B3-T4-D2-functional-call-U3-{number}", "diverges", evidence(), message=f"diverges: {number}")
        for number in range(50)
    ]
    text = page(header(), *conforming, *failing)
    assert text.count("<svg") == 50 * 3
    assert len(text.encode()) < 5_000_000


def test_the_same_results_are_the_same_page(page):
    lines = header(), case_line("lstm-B1", "diverges", evidence(), message="diverges: m")
    assert page(*lines) == page(*lines)


def test_run_that_was_killed_is_incomplete(page):
    text = page(header(), case_line("lstm-B1"))
    assert "Incomplete: 1 tests were run, 0 failed" in text


def test_what_pytest_could_not_read_is_shown(page):
    broken = {"$report_type": "CollectReport", "nodeid": "test_a.py", "outcome": "failed", "longrepr": "ImportError: b"}
    text = page(header(), {**broken, "result": None})
    assert "ImportError: b" in text
    assert "No test fails." not in text


@pytest.mark.parametrize("spoiled", [{"tensors": [{}]}, {"inputs": 3}])
def test_evidence_that_is_none_gets_one_line(spoiled, page):
    with pytest.raises(ResultsError, match="evidence of a test is not as"):
        page(header(), case_line("lstm-B1", "diverges", {**evidence(), **spoiled}, message="m"))


def test_numbers_that_are_not_finite_are_left_out(page):
    shown = evidence()
    shown["tensors"][0]["actual"][0] = [None] * UNITS
    assert (
        "nan" not in page(header(), case_line("lstm-B1", "diverges", shown, message="diverges: m")).partition("<svg")[2]
    )


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_absent_package_gets_one_line(package, monkeypatch, capsys):
    find = html.find_spec
    monkeypatch.setattr(html, "find_spec", lambda name: None if name == package else find(name))
    assert html.main(["results.jsonl", "page.html"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert package in said


@pytest.mark.parametrize("arguments", [[], ["results.jsonl"]])
def test_arguments_that_are_missing(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        html.main(arguments)
    assert ended.value.code == 2
    assert "error: the following arguments are required: " in capsys.readouterr().err


def test_results_that_are_not_there(capsys):
    assert html.main(["absent.jsonl", "page.html"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_command(tmp_path):
    if html.missing():
        pytest.skip(html.missing())
    results, page = write(tmp_path / "results.jsonl", header(), case_line("lstm-B1")), tmp_path / "page.html"
    assert html.main([str(results), str(page)]) == 0
    assert "lstm-B1" in page.read_text(encoding="utf-8")
