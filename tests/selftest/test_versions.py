"""Runs of several versions: kept in brief, compared in sentences, and shown as a page."""

import json
from dataclasses import replace

import pytest
from made_up import HOSTILE, case_line, header, write

from conformance.divergences import Divergence, load_register
from conformance.promises import Promise
from conformance.report.results import FOOTER, ResultsError
from conformance.versions.__main__ import main
from conformance.versions.changes import KINDS, SILENT, changes, kind, sentences
from conformance.versions.page import markdown, page
from conformance.versions.summary import load, order

REGISTER = (
    Divergence("late", "a late output", "", {"keras": ">=3.0"}, "", cases=[{"layer": "LSTM"}], wrong="values"),
    Divergence("loud", "a cell raises", "", {"keras": ">=3.0"}, "", cases=[{"layer": "LSTM"}], raises="ValueError"),
    Divergence("gone", "an early output", "", {"keras": "<3.0"}, "", cases=[{"layer": "GRU"}], wrong="values"),
)


def skipped(case, reason):
    line = case_line(case, "unsupported")
    return {**line, "outcome": "skipped", "longrepr": ["test_space.py", 1, f"Skipped: {reason}"]}


def run(folder, name, keras, tensorflow, *lines, **subject):
    known = {"keras": f"tensorflow.keras {keras}", "backend": f"TensorFlow {tensorflow}", "onednn": "on", **subject}
    end = {"$report_type": FOOTER, "exitstatus": 0, "collected": len(lines)}
    return write(folder / f"{name}-{known.get('tier', 'default')}.jsonl", header(**known), *lines, end)


@pytest.fixture
def old(tmp_path):
    lines = [case_line("lstm-1", "known divergence", record="gone"), case_line("lstm-2"), case_line("cell-1")]
    return run(tmp_path, "tf2.15", "2.15.0", "2.15.1", *lines, skipped("lstm-3", "tensorflow.keras 2.15.0 has no mode"))


@pytest.fixture
def new(tmp_path):
    lines = [case_line(f"lstm-{number}", "known divergence", record="late") for number in (1, 2)]
    return run(tmp_path, "tf2.16", "3.0.0", "2.16.2", *lines, case_line("cell-1"), case_line("lstm-3", "diverges"))


def test_run_in_brief(old):
    summary = load(old)
    group = summary.groups["lstm of the option space"]
    assert (summary.name, summary.tier, summary.family) == ("tf2.15", "default", "Keras 2, of TensorFlow")
    assert group.verdicts == {"known divergence": 1, "conforms": 1, "unsupported": 1}
    assert (group.ran, group.agreed, group.ratio) == (2, 1, 0.5)
    assert summary.unsupported == {"Keras has no mode": 1}
    assert summary.tests == 4


def test_what_changed_is_told_worst_first(old, new):
    head, *lines = sentences(changes(load(old), load(new), REGISTER, []))
    way = "from tensorflow.keras 2.15.0 on TensorFlow 2.15.1 to tensorflow.keras 3.0.0 on TensorFlow 2.16.2"
    assert head == f"{way}: 2 worse (1 silently wrong, 1 raises), 1 better"
    assert lines == [
        "fails, and is on no record: lstm-3",
        "worse, silently wrong: a late output (late, 2 tests)",
        "worse, raises: a cell raises (loud)",
        "better, no longer so, silently wrong: an early output (gone, 1 test)",
        "can be run now, but not in 2.15.0: Keras has no mode (1 test)",
    ]
    (nothing,) = sentences(changes(load(old), load(old), REGISTER, []))
    assert nothing.endswith(": nothing changes that this suite asks for")


def test_what_only_one_version_has_is_neither_worse_nor_better(old, new):
    """A record all of whose tests the other version does not run is of what that one does not have."""
    with_late, without = load(new), load(old)
    assert told(changes(asking(without, late=2), with_late, REGISTER[:1], [])) == [
        "in what 2.15.0 did not have, silently wrong: a late output (late, 2 tests)"
    ]
    assert told(changes(with_late, asking(without, late=2), REGISTER[:1], [])) == [
        "gone with what it was in, silently wrong: a late output (late, 2 tests)"
    ]
    (line,) = told(changes(asking(without, late=1), with_late, REGISTER[:1], []))
    assert line.startswith("worse")


def asking(summary, **unasked):
    """A run of which so many tests that records name were not run."""
    groups = {name: replace(group, unasked=unasked) for name, group in list(summary.groups.items())[:1]}
    return replace(summary, groups={**summary.groups, **groups})


def told(changed):
    """The sentences about records."""
    return [line for line in sentences(changed) if line.endswith(("test)", "tests)")) and "be run" not in line]


def test_tests_of_records_that_were_not_run_are_counted(tmp_path):
    record = next(record for record in load_register() if record.tests and "*" not in record.tests[0])
    line = {**skipped("none", "not here"), "nodeid": f"tests/conformance/test_a.py::{record.tests[0]}"}
    assert load(run(tmp_path, "a", "3.0.0", "2.16.2", line)).unasked[record.id] == 1


def test_what_was_or_is_otherwise_is_named(old, new):
    register = [
        Divergence(name, name, "", {"keras": wanted}, "", tests=["test_a"], raises="ValueError")
        for name, wanted in {"refused": "<3.0", "still-refused": ">=3.0", "refused-too": ">=3.0"}.items()
    ]
    assert list(sentences(changes(load(old), load(new), register, [])))[2:5] == [
        "worse, raises: still-refused (still-refused, before refused)",
        "worse, raises: refused-too (refused-too, before refused)",
        "better, no longer so, raises: refused (refused, now still-refused and refused-too)",
    ]


def test_promise_that_only_one_version_makes_is_told(old, new):
    promise = Promise("slope", "it is steeper", {"keras": ">=3.0"}, [], "")
    line = "documented otherwise: it is steeper (slope)"
    assert line in sentences(changes(load(old), load(new), [], [promise]))
    assert line in sentences(changes(load(new), load(old), [], [promise]))
    assert line not in sentences(changes(load(new), load(new), [], [promise]))


def test_what_can_be_run_is_compared_where_the_tests_are_the_same(old, tmp_path):
    """A run from before a test was written does not say that it could be run then."""
    lines = [case_line("lstm-1"), skipped("cell-1", "Keras has no cell"), skipped("cell-2", "Keras has no cell")]
    new = run(tmp_path, "later", "2.15.0", "2.15.1", *lines)
    told = list(sentences(changes(load(old), load(new), REGISTER, [])))
    unalike = "cell of the option space, lstm of the option space"
    assert told[1:] == [f"what can be run is not compared where the two runs had other tests: {unalike}"]


def test_ranges_in_words(tmp_path):
    versions = [("2.9.0", "2.9.3"), ("2.10.0", "2.10.1"), ("3.0.0", "2.16.2"), ("3.1.0", "2.16.2"), ("3.1.0", "2.17.1")]
    summaries = [load(run(tmp_path, f"{keras}-{flow}", keras, flow, case_line("lstm-1"))) for keras, flow in versions]
    assert [summary.keras for summary in order(summaries[::-1])] == [keras for keras, _ in versions]
    lines = "\n".join(markdown(page(summaries, REGISTER, [])))
    assert "| a late output | Keras 3 (all) | late |" in lines
    assert "| an early output | Keras 2, of TensorFlow (all) | gone |" in lines
    wanted = {"keras": ">=2.10,!=3.0.0", "tensorflow": "<2.17"}
    some = Divergence("some", "some", "", wanted, "", cases=[{}], wrong="values")
    ((departure,),) = [rows for _, rows in page(summaries, [some], []).departures if rows]
    assert departure.ranges == "Keras 2, of TensorFlow: 2.10.0; Keras 3: 3.1.0 on TensorFlow 2.16.2"


def test_run_that_did_not_end_is_refused(old):
    old.write_text(old.read_text(encoding="utf-8").rpartition('{"$report_type"')[0], encoding="utf-8")
    with pytest.raises(ResultsError, match=r"tf2\.15: the run did not come to its end"):
        load(old)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"groups": {"a": {}}}', '{"groups": 1}'])
def test_kept_file_that_is_none(text, tmp_path):
    (tmp_path / "file.json").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match="is no summary of a run"):
        load(tmp_path / "file.json")


def test_commands(old, new, tmp_path, capsys):
    """What is kept gives the same page as the results; a page that is not what is kept is found out."""
    pytest.importorskip("jinja2")
    folder = ["--summaries", str(tmp_path / "versions")]
    assert main([*folder, "keep", str(old), str(new)]) == 0
    assert main([*folder, "page"]) == 0
    assert json.loads((tmp_path / "versions" / "tf2.15.json").read_text(encoding="utf-8"))["name"] == "tf2.15"
    capsys.readouterr()
    assert main([*folder, "diff", "tf2.15", "tf2.16"]) == 0
    by_name = capsys.readouterr().out
    assert main([*folder, "diff", str(old), str(new)]) == 0
    assert capsys.readouterr().out == by_name
    (tmp_path / "versions.md").write_text("of another day", encoding="utf-8")
    assert main([*folder, "check"]) == 1
    told = capsys.readouterr().out
    assert "versions.md is not what" in told
    assert "versions.html is not what" not in told
    assert "tf2.16: lstm-3 fails, and is on no record" in told
    assert "tf2.16: late showed, but the register has no such record of this version" in told
    assert main([*folder, "diff", "tf2.15", "tf2.17"]) == 2


def test_smoke_run_does_not_take_the_place_of_a_larger_one(old, tmp_path, capsys):
    folder = ["--summaries", str(tmp_path / "versions")]
    main([*folder, "keep", str(old)])
    smaller = run(tmp_path, "tf2.15", "2.15.0", "2.15.1", case_line("lstm-1"), tier="smoke")
    assert main([*folder, "keep", str(smaller)]) == 0
    assert "has more tests, and is left as it is" in capsys.readouterr().out
    assert load(tmp_path / "versions" / "tf2.15.json").tests == 4


def test_run_of_one_file_says_that_file_anew(old, tmp_path):
    folder = ["--summaries", str(tmp_path / "versions")]
    main([*folder, "keep", str(old)])
    known = load(old)
    lines = case_line("cell-1", "diverges"), case_line("rnn-1")
    again = run(tmp_path, "tf2.15", "2.15.0", "2.15.1", *lines, chosen="files")
    main([*folder, "keep", str(again)])
    groups = load(tmp_path / "versions" / "tf2.15.json").groups
    assert groups["lstm of the option space"] == known.groups["lstm of the option space"]
    assert groups["cell of the option space"].failing == ["cell-1"]
    assert groups["rnn of the option space"].tests == 1


@pytest.mark.parametrize("chosen", ["files", "some"])
def test_run_of_one_file_that_has_grown_leaves_the_others(old, chosen, tmp_path):
    folder = ["--summaries", str(tmp_path / "versions")]
    main([*folder, "keep", str(old)])
    known = load(old)
    grown = [case_line(f"cell-{number}") for number in range(known.tests + 1)]
    main([*folder, "keep", str(run(tmp_path, "tf2.15", "2.15.0", "2.15.1", *grown, chosen=chosen))])
    groups = load(tmp_path / "versions" / "tf2.15.json").groups
    assert groups["cell of the option space"].tests == len(grown)
    assert groups["lstm of the option space"] == known.groups["lstm of the option space"]


@pytest.mark.parametrize(("chosen", "tests"), [("files", 1), ("some", 3)])
def test_file_that_has_shrunk_is_told_from_one_that_was_run_in_part(old, chosen, tests, tmp_path):
    folder = ["--summaries", str(tmp_path / "versions")]
    main([*folder, "keep", str(old)])
    main([*folder, "keep", str(run(tmp_path, "tf2.15", "2.15.0", "2.15.1", case_line("lstm-1"), chosen=chosen))])
    assert load(tmp_path / "versions" / "tf2.15.json").groups["lstm of the option space"].tests == tests


def test_run_of_all_tests_takes_the_place_of_one_that_had_more(old, tmp_path):
    folder = ["--summaries", str(tmp_path / "versions")]
    main([*folder, "keep", str(old)])
    main([*folder, "keep", str(run(tmp_path, "tf2.15", "2.15.0", "2.15.1", case_line("rnn-1")))])
    assert list(load(tmp_path / "versions" / "tf2.15.json").groups) == ["rnn of the option space"]


def test_run_of_one_file_of_another_version_is_not_mixed_in(old, tmp_path):
    folder = ["--summaries", str(tmp_path / "versions")]
    main([*folder, "keep", str(old)])
    kept = load(tmp_path / "versions" / "tf2.15.json")
    other = run(tmp_path, "tf2.15", "2.15.0", "2.15.0", case_line("cell-1", "diverges"), chosen="files")
    main([*folder, "keep", str(other)])
    assert load(tmp_path / "versions" / "tf2.15.json") == kept


def test_page_shows_what_stands_in_results_as_text(tmp_path):
    pytest.importorskip("jinja2")
    file = run(tmp_path, "tf2.16", "3.0.0", "2.16.2", skipped("lstm-1", HOSTILE), case_line(HOSTILE, "diverges"))
    folder = ["--summaries", str(tmp_path / "versions")]
    main([*folder, "keep", str(file)])
    main([*folder, "page"])
    assert "<img" not in (tmp_path / "versions.html").read_text(encoding="utf-8")
    assert "<img" not in (tmp_path / "versions.md").read_text(encoding="utf-8").replace("\\<", "")


@pytest.mark.parametrize("raises", ["AssertionError", "Failed", "ValueError or AssertionError"])
def test_wrong_answer_of_a_test_is_silent(raises):
    record = Divergence("a", "a", "", {}, "", tests=["test_a"], raises=raises, saying="it is")
    assert kind(record) == SILENT


def test_every_record_is_of_a_kind():
    kinds = [kind(record) for record in load_register()]
    assert set(kinds) == set(KINDS)


def test_committed_page_is_of_what_is_kept_and_of_the_register(capsys):
    pytest.importorskip("jinja2")
    assert main(["check"]) == 0, capsys.readouterr().out
