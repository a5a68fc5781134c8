"""Gradients: those the reference expects of a case, and the verdict on those the subject returns.

A case is differentiated as Σ ⟨cotangent, output⟩ over all that its first call returns, with cotangents that are drawn
from its id as its data are, so that no two elements count alike.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Callable, Dict, List, Sequence

import numpy as np

from conformance.case import Case
from conformance.compare import compared, largest_ratio
from conformance.data import Data, draw, seed
from conformance.diagnosis import CLOSER, Diagnosis
from conformance.divergences import GRADIENTS, Divergence
from conformance.expected import prepared
from conformance.expression import names
from conformance.faults.gradients import GRADIENT_FAULTS, NO_FAULT, GradientFault
from conformance.judge import KNOWN, Check, Judgement, judge, on_record_raised
from conformance.subject import Subject
from reference_impl import Estimate, estimate
from reference_impl.gradients import model_gradients
from reference_impl.rounding import Rounding, copies_for, round_to
from reference_impl.types import Array


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
    outer = cotangents(case)
    weights = [round_to(weight, case.compute_dtype) for weight in data.weights]
    copies = copies_for(case.batch)

    def compute(tile: Callable[[Array], Array], fl: Rounding) -> List[Array]:
        x, starts, masks = prepared(case, case.calls[0], data.calls[0], (), tile)
        right = model_gradients(fault.of_case(case).model, x, weights, starts, masks, tuple(map(tile, outer)), fl)
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
    weights = [name for own in case.model.weight_shapes(case.input_shape) for name in own]
    return [f"gradient of {name}" for name in (*floating, *states, *_told_apart(weights))]


def _told_apart(weights: Sequence[str]) -> List[str]:
    """Names of weights, with the layer's number in front where layers have the same."""
    seen: Counter[str] = Counter()
    told = []
    for name in weights:
        seen[name] += 1
        told.append(f"layer {seen[name]}'s {name}" if weights.count(name) > 1 else name)
    return told


def judge_gradients(case: Case, subject: Subject, register: Sequence[Divergence] = ()) -> Judgement:
    """Hold the gradients of a case to the reference.

    Where the outputs of the case depart as they are on record to, wrong gradients follow from that.
    """
    unsupported = subject.unsupported(case)
    if unsupported:
        return Judgement(case, subject.environment, unsupported=unsupported)
    data = draw(case)
    records = [record for record in register if record.covers(case, GRADIENTS)]
    asked = Judgement(case, subject.environment, question=GRADIENTS)
    try:
        found = subject.gradients(case, data, cotangents(case))
    except Exception as error:  # whatever Keras raises is what it did with the case
        record, surprise = on_record_raised([*records, *(own for own in register if own.covers(case))], error)
        return replace(asked, raised=error, record=record, surprise=surprise)
    expected = expected_gradients(subject.promised(case), data)
    shapes = [one.value.shape for one in expected.values()]
    checks = (Check("shapes", shapes, [array.shape for array in found]),)
    judgement = replace(asked, checks=checks, comparisons=compared(expected, found))
    if records:
        wrong = "" if records[0].wrong else f"wrong values, on record is {records[0].signature}"
        surprise = "conforms, against the record" if judgement.agrees else wrong
        return replace(judgement, record=records[0], surprise=surprise)
    return judgement if judgement.agrees else _explained(judgement, subject, register, data, found)


def _explained(
    judgement: Judgement, subject: Subject, register: Sequence[Divergence], data: Data, found: Sequence[Array]
) -> Judgement:
    """Wrong gradients with what explains them: wrong outputs, on record or not, or a fault of gradients."""
    case = judgement.case
    outputs = judge(case, subject, register)
    if outputs.verdict == KNOWN:
        return replace(judgement, record=outputs.record)
    if outputs.diagnosis:
        told = "; ".join(filter(None, ("the outputs of the case are wrong already", outputs.where)))
        return replace(judgement, diagnosis=outputs.diagnosis, where=told)
    return replace(judgement, diagnosis=diagnose_gradients(subject.promised(case), data, found))


def diagnose_gradients(case: Case, data: Data, found: Sequence[Array]) -> Diagnosis:
    """The faults of gradients that return ``found``, which are wrong though the outputs are right."""
    right = list(expected_gradients(case, data).values())
    limit = min(1.0, largest_ratio(right, found) / CLOSER)
    names = [name for name, fault in GRADIENT_FAULTS.items() if fault.where(case)]
    wrong = {name: list(expected_gradients(case, data, GRADIENT_FAULTS[name]).values()) for name in names}
    explanations = tuple((name,) for name in names if largest_ratio(wrong[name], found) <= limit)
    return Diagnosis(explanations, len(names))
