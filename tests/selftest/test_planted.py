"""Wrong LSTMs, planted as subclasses, and what a developer reads about them."""

from dataclasses import replace

import pytest

from conformance import catalogue, space
from conformance.compare import compare
from conformance.data import draw
from conformance.divergences import Divergence
from conformance.documented import load_documents
from conformance.expected import expected_outputs
from conformance.judge import AGAINST_THE_RECORD, Judgement, faults_return, judge, on_record_returned
from conformance.report.terminal import render
from conformance.subject import Subject

CASES = {case.id: case for case in catalogue.grid("single")}
SINGLE = CASES["single-functional-B3-T20-D5-U8-sequences_state"]


def reversed_time(inputs, outputs, call):
    return call(inputs[:, ::-1])


def h_and_c_exchanged(inputs, outputs, call):
    output, h, c = outputs
    return [output, c, h]


def late_by_a_little(inputs, outputs, call):
    output, *states = outputs
    return [output * 1.00001, *states]


def flat(inputs, outputs, call):
    output, *states = outputs
    return [output[:, -1], *states]


def failing(inputs, outputs, call):
    raise RuntimeError("no kernel for this device")


@pytest.fixture
def plant(subject):
    """A subject whose LSTM does ``wrong(inputs, outputs, call)`` instead."""

    def plant(wrong):
        class Planted(subject.keras.layers.LSTM):
            def call(self, sequences, initial_state=None, mask=None, training=None):
                call = super().call
                given = {"initial_state": initial_state, "mask": mask, "training": training}
                return wrong(sequences, call(sequences, **given), lambda x: call(x, **given))

        return Subject(subject.flavour, subject.keras, Planted, f"planted:{wrong.__name__}")

    return plant


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (reversed_time, "wrong output, h, c; worst ratio"),
        (h_and_c_exchanged, "wrong h, c; worst ratio"),
        (late_by_a_little, "wrong output; worst ratio"),
        (flat, "shapes"),
        (failing, "raised RuntimeError"),
    ],
)
def test_report(wrong, says, plant):
    planted = plant(wrong)
    judgement = judge(SINGLE, planted)
    assert judgement.verdict == "diverges"
    report = render(judgement, "python -m pytest 'tests/x.py::test[case]' --lstm planted:wrong")
    lines = report.splitlines()
    assert len(lines) <= 25, report
    assert max(map(len, lines)) <= 100, report
    assert says in report
    assert "3 × 20 steps × 5 features" in report
    assert "y = LSTM(8, return_sequences=True, return_state=True)(x)" in report
    assert all(line in report for line in planted.environment.lines)
    assert lines[-1].split(maxsplit=1) == ["rerun", "python -m pytest 'tests/x.py::test[case]' --lstm planted:wrong"]


def test_report_of_values(plant):
    report = render(judge(SINGLE, plant(late_by_a_little)), "")
    assert "agreed    weights" in report
    assert "parameters 448" in report
    assert "h (ratio " in report
    for word in ("expected ", "actual ", "error ", "tolerance ", "ratio ", "first [batch row 0, time step 0, unit "):
        assert word in report, word


def test_report_of_a_failing_layer_keeps_the_message(plant):
    report = " ".join(render(judge(SINGLE, plant(failing)), "").split())
    assert "RuntimeError: " in report
    assert "no kernel for this device" in report
    assert "\x1b" not in report
    assert "in failing" in report


def record(**signature):
    options = {"layer": "LSTM", "api": "functional"}
    return Divergence("planted", "it is wrong", "on purpose", {"keras": ">=2"}, "", cases=[options], **signature)


def test_a_known_divergence_is_strict(subject, plant):
    """Only the exact departure on record is a known divergence."""
    raises = record(raises="RuntimeError")
    assert judge(SINGLE, plant(failing), [raises]).verdict == "known divergence"
    for other, surprise in (
        (subject, AGAINST_THE_RECORD),
        (plant(reversed_time), "wrong values, on record is RuntimeError"),
    ):
        judgement = judge(SINGLE, other, [raises])
        assert (judgement.verdict, judgement.surprise) == ("diverges", surprise)
        assert surprise in render(judgement, "")
    faulty = record(fault="sparsemax_of_summed_sums")
    judgement = judge(SINGLE, plant(reversed_time), [faulty])
    assert judgement.surprise == "wrong values, on record is the fault sparsemax_of_summed_sums"
    raised = judge(SINGLE, plant(failing), [faulty])
    assert raised.surprise == "raised RuntimeError, on record is the fault sparsemax_of_summed_sums"


def test_a_fault_on_record_must_show_where_it_makes_a_difference(subject):
    """A layer that does not have the fault any more is told so, but not where the fault would leave no trace."""
    case = space.case("lstm-B3-T4-D2-left_padding-functional-call-masking-U3-sequences-backwards-unroll-zero_output")
    for fault, verdict, surprise in (
        ("carried_before_given", "conforms", ""),
        ("zeroed_in_reverse", "diverges", AGAINST_THE_RECORD),
    ):
        expected = expected_outputs(case, draw(case))
        outputs, data = [one.value for one in expected.values()], draw(case)
        right = tuple(compare(name, one, one.value) for name, one in expected.items())
        judgement = Judgement(case, subject.environment, comparisons=right)
        found, said = on_record_returned(
            [record(fault=fault)],
            judgement,
            lambda some, outputs=outputs, data=data: faults_return(some, case, data, outputs),
        )
        assert said == surprise
        assert replace(judgement, record=found, surprise=said).verdict == verdict


def test_a_record_excuses_nothing_but_the_values(plant):
    """A subject with the fault on record that is wrong elsewhere too is not excused."""
    judgement = judge(SINGLE, plant(flat), [record(fault="sparsemax_of_summed_sums")])
    assert judgement.verdict == "diverges"
    assert judgement.surprise.startswith("wrong ")
    assert judgement.surprise.endswith("shapes, on record is the fault sparsemax_of_summed_sums")


def test_an_exception_on_record_must_say_so(plant):
    said = record(raises="RuntimeError", saying="no kernel for this device")
    assert judge(SINGLE, plant(failing), [said]).verdict == "known divergence"
    other = record(raises="RuntimeError", saying="out of memory")
    assert (
        judge(SINGLE, plant(failing), [other]).surprise
        == "raised RuntimeError, on record is RuntimeError out of memory"
    )


def test_an_honest_layer_of_another_name_conforms(subject):
    """A subclass that changes nothing is right, in the documented examples too."""

    class AnLSTMOfMyOwnWithAVeryLongName(subject.keras.layers.LSTM):
        pass

    own = Subject(subject.flavour, subject.keras, AnLSTMOfMyOwnWithAVeryLongName, "mine:AnLSTM")
    for document in load_documents():
        for example in document.example:
            if not example.case.has({"layer": "Bidirectional"}):  # which clones registered classes only
                judgement = judge(example.case, own, figures=example.figures)
                assert judgement.verdict == "conforms", render(judgement, "")


def test_a_narrow_terminal_changes_no_verdict(subject, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    case = next(case for case in catalogue.options() if case.id == "stack2-functional-B2-T7-D4-U3-initial_state")
    judgement = judge(case, subject)
    assert judgement.verdict == "conforms", render(judgement, "")


def test_a_record_of_other_options_does_not_cover(plant):
    other = replace(record(raises="RuntimeError"), cases=[{"layer": "Bidirectional"}])
    assert judge(SINGLE, plant(failing), [other]).verdict == "diverges"


def test_a_record_concerns_its_versions_alone(subject):
    assert record(raises="RuntimeError").concerns(subject.versions)
    other = "off" if subject.versions["onednn"] == "on" else "on"
    for versions in ({"keras": "<2"}, {"tensorflow": "<2"}):
        assert not replace(record(raises="RuntimeError"), versions=versions).concerns(subject.versions)
    assert not replace(record(raises="RuntimeError"), where={"onednn": other}).concerns(subject.versions)
