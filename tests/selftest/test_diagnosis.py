"""Faults are caught by the cases, and named by the diagnosis when a Keras layer has them."""

from functools import lru_cache
from itertools import islice

import numpy as np
import pytest

from conformance import catalogue, space
from conformance.compare import largest_ratio
from conformance.covering import frozen_ids
from conformance.data import draw
from conformance.diagnosis import diagnose
from conformance.discrimination import TRUSTED
from conformance.expected import expected_outputs, returned
from conformance.faults import FAULTS, applied, with_activation
from conformance.report import markdown
from conformance.report.terminal import summarize
from reference_impl.rounding import round_to


def named(case, *faults):
    """What a subject with these faults is told in a case."""
    data = draw(case)
    outputs = [round_to(output, case.compute_dtype) for output in returned(*applied(faults, case, data))]
    return diagnose(case, data, outputs, list(expected_outputs(case, data).values())).explanations


KERAS2 = with_activation("hard_sigmoid", "hard_sigmoid_keras2")

CASES = [*catalogue.options(), *map(space.case, frozen_ids("default"))]


@lru_cache(maxsize=None)
def right(number):
    """A case, its data and its expected outputs; every other one as Keras 2 documents it."""
    case = CASES[number // 2] if number % 2 else KERAS2(CASES[number // 2])
    data = draw(case)
    return case, data, list(expected_outputs(case, data).values())


def catching(fault):
    """What ``diagnose`` is told of a subject that has a fault, in cases in which that cannot be missed."""
    for number in range(2 * len(CASES)):
        case, data, expected = right(number)
        with np.errstate(invalid="ignore"):
            outputs = returned(*applied([fault], case, data))
        if largest_ratio(expected, outputs) > TRUSTED:
            yield case, data, [round_to(output, case.compute_dtype) for output in outputs], expected


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught_and_named(fault):
    """By three cases at least; one that returns numbers says which it is, alone or among some that return the same."""
    caught = list(islice(catching(fault), 3))
    assert len(caught) == 3, f"{fault} is caught by {len(caught)} cases"
    telling = next(
        one for one in catching(fault) if all((np.isfinite(output) & (output != 0)).any() for output in one[2])
    )
    assert (fault,) in diagnose(*telling).explanations


def test_what_no_fault_returns_has_no_name():
    case, data, expected = right(1)
    found = diagnose(case, data, [1.5 * one.value + 0.25 for one in expected], expected)
    assert found.explanations == ()
    assert found.sentence.startswith("none of the ")


@pytest.mark.parametrize("dtype", ["float16", "mixed_bfloat16"])
def test_what_is_hardly_over_tolerance_is_no_fault_that_is_not(dtype):
    """In half precision many faults lie within tolerance of the right numbers; they explain nothing."""
    case = space.case(f"lstm-B3-T4-D2-gaps-functional-call-{dtype}-mask_argument-U3-sequences")
    data = draw(case)
    (expected,) = expected_outputs(case, data).values()
    for index in [(0, 0, 0), (1, 2, 1), (2, 3, 2)]:
        outputs = expected.value.copy()
        outputs[index] += 1.1 * expected.tolerance[index]
        assert diagnose(case, data, [outputs], [expected]).explanations == ()


@pytest.mark.parametrize("constant", [0.0, np.nan])
def test_a_constant_has_no_name(constant):
    case, data, expected = right(1)
    found = diagnose(case, data, [np.full_like(one.value, constant) for one in expected], expected)
    assert found.explanations == ()
    assert found.sentence.startswith("not to be told")


def test_where_the_right_outputs_are_exact_a_fault_is_found_too():
    case = space.case("lstm-B3-T4-D2-all_masked-functional-call-mask_argument-U3-sequences_state")
    assert ("mask_ignored",) in named(case, "mask_ignored")


def test_a_pair_of_faults_is_named_where_no_single_one_fits():
    case = space.case("lstm-B3-T4-D2-gaps-functional-call-mask_argument-U3-state")
    pair = ("gates_ifoc", "mask_late")
    assert pair in named(case, *pair)


@pytest.mark.parametrize("kind", ["single", "stack2", "bidirectional"])
@pytest.mark.parametrize(
    "fault", ["gates_ifoc", "products_in_bfloat16", "inputs_late", "outputs_late", "go_backwards_always"]
)
def test_faults_of_long_sequences_are_named(fault, kind):
    """Of most of them the first step is looked at first."""
    case = next(case for case in catalogue.grid(kind) if case.steps == 200 and case.batch == 2)
    assert (fault,) in named(case, fault)


CAUSES = ("bias_missing bias_twice", "bias_missing", "bias_missing", "", "bias_twice")


def test_failing_cases_are_grouped_under_their_causes():
    failing = [
        {
            "case": f"case{n}",
            "verdict": "diverges",
            "ratio": 9.0,
            "causes": causes,
            "message": "diverges: raised ValueError",
        }
        for n, causes in enumerate(CAUSES)
    ]
    lines = summarize(failing)
    assert lines[0] == f"cause of 3 failing cases: {FAULTS['bias_missing'].sentence} (bias_missing), such as case0"
    assert lines[1] == f"cause of 1 failing case: {FAULTS['bias_twice'].sentence} (bias_twice), such as case4"
    assert lines[2] == "cause of 1 failing case: unknown, diverges: raised ValueError, such as case3"
    assert lines[3] == "cases: 5 diverges"


def test_markdown_escapes_what_it_shows(subject):
    hostile = "x|<script>alert(1)</script>\n| [y](http://z)"
    case = {"case": hostile, "verdict": "diverges", "ratio": 9.0, "causes": "bias_missing"}
    text = "\n".join(markdown.render(subject.environment, [case], [(hostile, hostile)]))
    assert "| diverges | 1 |" in text
    assert "| 1 | the bias is not added (bias\\_missing) | x\\|" in text
    assert "<script>" not in text.replace("\\<", "")
    assert "](" not in text.replace("\\](", "")
