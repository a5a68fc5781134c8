"""Judging small training programs: every loss that is shown and every weight after an epoch is the reference's."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Dict, Iterable, List, Optional, Sequence

import numpy as np

from conformance.case import Case
from conformance.compare import agree, compared, largest_ratio
from conformance.diagnosis import CLOSER, NEAR, Diagnosis
from conformance.divergences import TRAINING, Divergence
from conformance.faults.training import TRAINING_FAULTS
from conformance.fitted import DTYPE, known_to, roundings, spread_of
from conformance.gradients import judge_gradients
from conformance.judge import DIVERGES, Check, Judgement, on_record_raised, on_record_returned
from conformance.programs import BATCH, EPOCHS, Program, drawn
from conformance.subject import Subject, trajectory, unable_to_train
from reference_impl import Estimate
from reference_impl.rounding import FORMATS, Rounding, exact
from reference_impl.training import Compiled, Samples
from reference_impl.types import Array

#: Perturbed runs from which the spread of a run is known.
RUNS = 12


def _wide(array: Array) -> Array:
    return array.astype(np.float64)


def shown(program: Program, compiled: Compiled, fl: Rounding = exact) -> Dict[str, Array]:
    """By name, what Keras would show of a run of the reference, compiled as the program says or in a wrong way."""
    (x, y, weight), weights = drawn(program)
    samples = Samples(_wide(x), _wide(y), weight if weight is None else _wide(weight))
    start = [_wide(own) for own in weights]
    fitted = compiled.fit(samples, start, BATCH, EPOCHS, fl)
    each = np.array(fitted.losses if program.way == "on_batch" else fitted.means)
    evaluated = np.array([compiled.evaluate(samples, start, BATCH, fl)])
    return {"loss before training": evaluated, "loss of each batch": each, **_named(program, fitted.weights)}


def _named(program: Program, epochs: Sequence[Sequence[Array]]) -> Dict[str, Array]:
    return {
        f"weight {number}, {name}, after epoch {epoch}": weight
        for epoch, weights in enumerate(epochs, 1)
        for number, (name, weight) in enumerate(zip(chain(*program.case.weight_names), weights), 1)
    }


def expected_training(program: Program, compiled: Compiled) -> Dict[str, Estimate]:
    """What a run shows and how far an honest one may be from it, of each weight or of all losses the largest."""
    right = shown(program, compiled)
    runs = [shown(program, compiled, fl) for fl in roundings(program.id, RUNS)]
    return {name: known_to(value, spread_of(value, [own[name] for own in runs])) for name, value in right.items()}


def judge_trajectory(program: Program, subject: Subject, register: Sequence[Divergence] = ()) -> Judgement:
    """Evaluate and fit a program and hold what it shows to the reference."""
    unsupported = unable_to_train(subject, program)
    asked = Judgement(program.case, subject.environment, unsupported=unsupported, question=TRAINING, then=program.lines)
    if unsupported:
        return asked
    records = [record for record in register if record.covers(program, TRAINING)]
    try:
        found = trajectory(subject, program, *drawn(program))
    except Exception as error:  # whatever Keras raises is what it did with the program
        record, surprise = on_record_raised(records, error)
        return replace(asked, raised=error, record=record, surprise=surprise)
    expected = expected_training(program, program.compiled)
    shapes = [one.value.shape for one in expected.values()]
    checks = (Check("shapes", shapes, [array.shape for array in found]),)
    judgement = replace(asked, checks=checks, comparisons=compared(expected, found))
    if records:
        record, surprise = on_record_returned(records, judgement, lambda some: _shows(some, program, found))
        judgement = replace(judgement, record=record, surprise=surprise)
    return judgement if judgement.agrees or records else _explained(judgement, program, subject, found)


def _explained(judgement: Judgement, program: Program, subject: Subject, found: Sequence[Array]) -> Judgement:
    """Wrong training with what explains it: wrong outputs or gradients of the model, or a fault of training."""
    of_model = explained_by_model(judgement, program.case, subject)
    return of_model or replace(judgement, diagnosis=diagnose_training(program, found))


def explained_by_model(judgement: Judgement, case: Case, subject: Subject) -> Optional[Judgement]:
    """Wrong training with what explains the wrong outputs or gradients of the model, if they are."""
    model = judge_gradients(case, subject)
    if model.verdict != DIVERGES:
        return None
    told = "; ".join(filter(None, ("the model is wrong without being trained already", model.where)))
    return replace(judgement, diagnosis=model.diagnosis, where=told)


def diagnose_training(program: Program, found: Sequence[Array]) -> Diagnosis:
    """The faults of training that show ``found``, which is wrong though outputs and gradients are right."""
    right = list(expected_training(program, program.compiled).values())
    limit = min(1.0, largest_ratio(right, found) / CLOSER)
    names = [name for name, fault in TRAINING_FAULTS.items() if fault.where(program.compiled)]
    wrong = {name: shown(program, _faulty(program, [name])).values() for name in names}
    near = [name for name in names if largest_ratio(_around(wrong[name], right), found) <= NEAR]
    fits = {name: list(expected_training(program, _faulty(program, [name])).values()) for name in near}
    return Diagnosis(tuple((name,) for name in near if largest_ratio(fits[name], found) <= limit), len(names))


def _around(values: Iterable[Array], right: Sequence[Estimate]) -> List[Estimate]:
    """Other values with about the tolerances of the right ones; what should not have moved has none."""
    unit_roundoff = FORMATS[DTYPE].unit_roundoff
    return [
        Estimate(value, np.maximum(one.tolerance, unit_roundoff * np.abs(value).max()))
        for value, one in zip(values, right)
    ]


def _shows(records: Sequence[Divergence], program: Program, found: Sequence[Array]) -> bool:
    """Whether a subject with all the faults of these records shows what was found."""
    return agree(expected_training(program, _faulty(program, [record.fault for record in records])), found)


def _faulty(program: Program, names: Iterable[str]) -> Compiled:
    compiled = program.compiled
    for name in names:
        compiled = TRAINING_FAULTS[name].of_training(compiled)
    return compiled
