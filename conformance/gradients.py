"""Gradients: those the reference expects of a case, and the verdict on those the subject returns.

A case is differentiated as Σ ⟨cotangent, output⟩ over all that its first call returns, with cotangents that are drawn
from its id as its data are, so that no two elements count alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Callable, Dict, List, Mapping, Sequence

import numpy as np

from conformance.case import Case
from conformance.compare import compared, largest_ratio
from conformance.data import Data, draw, seed
from conformance.diagnosis import CLOSER, Diagnosis
from conformance.divergences import GRADIENTS, QUESTIONS, Divergence
from conformance.expected import prepared
from conformance.expression import names
from conformance.faults.gradients import GRADIENT_FAULTS, NO_FAULT, GradientFault
from conformance.judge import AGAINST_THE_RECORD, KNOWN, Check, Judgement, judge, on_record_raised
from conformance.subject import Subject, unable_to_differentiate, unable_to_run
from reference_impl import Estimate, estimate
from reference_impl.gradients import ModelGradients, model_gradients
from reference_impl.rounding import Rounding, copies_for, round_to
from reference_impl.types import Array

#: From ``tile``, which puts copies of an array behind it, and the arguments of ``model_gradients``, what is expected.
Differentiate = Callable[..., ModelGradients]

Register = Sequence[Divergence]


@dataclass(frozen=True)
class Question:
    """What is asked of a case beside its outputs, and how it is answered.

    ``name`` is what the register calls it. ``ask`` has the subject's answer, ``expected`` the reference's, with a fault
    or with none. ``faults`` may explain a wrong answer, unless ``earlier`` finds what that follows from wrong already,
    in a word ``of``.
    """

    name: str
    ask: Callable[[Subject, Case, Data], List[Array]]
    expected: Callable[[Case, Data, GradientFault], Dict[str, Estimate]]
    faults: Mapping[str, GradientFault]
    earlier: Callable[[Case, Subject, Register], Judgement]
    of: str


def cotangents(case: Case) -> List[Array]:
    """For each output of the first call an array of its shape, values of the dtype of computation."""
    random = np.random.RandomState(seed(f"{case.id} cotangents"))
    shapes = case.model.returned_shapes(case.shapes_of_inputs(case.steps)).values()
    drawn = (2.0 * random.random_sample(shape) - 1.0 for shape in shapes)
    return [round_to(array, case.compute_dtype) for array in drawn]


def expected_gradients(case: Case, data: Data, fault: GradientFault = NO_FAULT) -> Dict[str, Estimate]:
    """By name, the gradients with respect to x where it is a number, the initial states and the weights.

    Those of weights are (rows, columns); their tolerances are of a row, over all columns and gates. With a fault they
    are those of a subject that has it.
    """
    return expected_of(case, data, fault, lambda tile, *arguments: model_gradients(*arguments))


def expected_of(case: Case, data: Data, fault: GradientFault, differentiate: Differentiate) -> Dict[str, Estimate]:
    """By name, what ``differentiate`` makes of a case, laid out as ``expected_gradients`` says."""
    outer = cotangents(case)
    weights = [round_to(weight, case.compute_dtype) for weight in data.weights]
    copies = copies_for(case.batch)

    def compute(tile: Callable[[Array], Array], fl: Rounding) -> List[Array]:
        x, starts, masks = prepared(case, case.calls[0], data.calls[0], (), tile)
        model, d_outputs = fault.of_case(case).model, tuple(map(tile, outer))
        right = differentiate(tile, model, x, weights, starts, masks, d_outputs, fl)
        found = fault.of_gradients(case, right)
        floating = [own for own, given in zip(found.inputs, data.calls[0].x) if given.dtype.kind == "f"]
        states = next((own for own in found.states if own), ())[: len(data.initial_state)]
        return [*floating, *states, *(fl.total(rows, copies + 1) for rows in found.weights)]

    estimates = estimate(compute, case.compute_dtype, seed(case.id), copies)
    weighed = len(estimates) - len(data.weights)
    return dict(zip(_names(case, data), [*estimates[:weighed], *map(_without_batch, estimates[weighed:])]))


def _without_batch(one: Estimate) -> Estimate:
    """Of a weight, which has no rows of a batch."""
    return Estimate(one.value[0], one.tolerance[0])


def _names(case: Case, data: Data) -> List[str]:
    floating = [name for name, x in zip(names("x", case), data.calls[0].x) if x.dtype.kind == "f"]
    states = [f"state {number}" for number in range(len(data.initial_state))]
    return [f"gradient of {name}" for name in (*floating, *states, *chain(*case.weight_names))]


FIRST_ORDER = Question(
    name=GRADIENTS,
    ask=lambda subject, case, data: subject.gradients(case, data, cotangents(case)),
    expected=expected_gradients,
    faults=GRADIENT_FAULTS,
    earlier=judge,
    of="outputs",
)


def judge_gradients(case: Case, subject: Subject, register: Register = ()) -> Judgement:
    """Hold the gradients of a case to the reference."""
    return judge_answer(FIRST_ORDER, case, subject, register)


def judge_answer(question: Question, case: Case, subject: Subject, register: Register) -> Judgement:
    """Hold what the subject answers to the reference.

    Where what was asked earlier departs as it is on record to, wrong answers follow from that.
    """
    unsupported = unable_to_run(subject, case) or unable_to_differentiate(subject)
    if unsupported:
        return Judgement(case, subject.environment, unsupported=unsupported)
    data = draw(case)
    records = [record for record in register if record.covers(case, question.name)]
    asked = Judgement(case, subject.environment, question=question.name)
    try:
        found = question.ask(subject, case, data)
    except Exception as error:  # whatever Keras raises is what it did with the case
        record, surprise = on_record_raised(_on_the_way(question, case, register), error)
        return replace(asked, raised=error, record=record, surprise=surprise)
    expected = question.expected(subject.promised(case), data, NO_FAULT)
    shapes = [one.value.shape for one in expected.values()]
    checks = (Check("shapes", shapes, [array.shape for array in found]),)
    judgement = replace(asked, checks=checks, comparisons=compared(expected, found))
    if records:
        wrong = "" if records[0].wrong else f"wrong values, on record is {records[0].signature}"
        surprise = AGAINST_THE_RECORD if judgement.agrees else wrong
        return replace(judgement, record=records[0], surprise=surprise)
    return judgement if judgement.agrees else _explained(question, judgement, subject, register, found)


def _on_the_way(question: Question, case: Case, register: Register) -> List[Divergence]:
    """The records of a case that speak of the question or of an earlier one, the latest first."""
    asked = QUESTIONS[: QUESTIONS.index(question.name) + 1]
    return [record for name in reversed(asked) for record in register if record.covers(case, name)]


def _explained(
    question: Question, judgement: Judgement, subject: Subject, register: Register, found: Sequence[Array]
) -> Judgement:
    """A wrong answer with what explains it: one that was wrong earlier, on record or not, or a fault."""
    case = judgement.case
    earlier = question.earlier(case, subject, register)
    if earlier.verdict == KNOWN:
        return replace(judgement, record=earlier.record)
    if earlier.diagnosis:
        told = "; ".join(filter(None, (f"the {question.of} of the case are wrong already", earlier.where)))
        return replace(judgement, diagnosis=earlier.diagnosis, where=told)
    diagnosis = diagnose_answer(question, subject.promised(case), draw(case), found)
    return replace(judgement, diagnosis=diagnosis)


def diagnose_answer(question: Question, case: Case, data: Data, found: Sequence[Array]) -> Diagnosis:
    """The faults of a question that return ``found``."""
    right = list(question.expected(case, data, NO_FAULT).values())
    limit = min(1.0, largest_ratio(right, found) / CLOSER)
    names = [name for name, fault in question.faults.items() if fault.where(case)]
    wrong = {name: list(question.expected(case, data, question.faults[name]).values()) for name in names}
    explanations = tuple((name,) for name in names if largest_ratio(wrong[name], found) <= limit)
    return Diagnosis(explanations, len(names))
