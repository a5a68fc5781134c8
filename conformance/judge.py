"""From a case and a subject to a verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from conformance.case import CONVERSIONS, Case
from conformance.compare import Comparison, agree, compared
from conformance.data import Data, draw
from conformance.diagnosis import Diagnosis, diagnose
from conformance.discrimination import untrusted
from conformance.divergences import GRADIENTS, Divergence
from conformance.documented import Figures
from conformance.expected import expected_outputs
from conformance.faults import applied
from conformance.localisation import locate
from conformance.observation import Environment, Observation, Summary, SummaryRow
from conformance.subject import Subject, UnreadableSummaryError, unable_to_run
from reference_impl import Estimate, parameter_count
from reference_impl.types import Array

CONFORMS = "conforms"
DIVERGES = "diverges"
KNOWN = "known divergence"
UNSUPPORTED = "unsupported"
UNTRUSTED = "untrusted"

#: The subject is right, as far as the case can tell.
AGREES = (CONFORMS, UNTRUSTED)

#: What is said where a record expects something wrong and nothing is.
AGAINST_THE_RECORD = "conforms; it was repaired here, or another error hides it"

#: What the reference adds to a weight's name: which half it belongs to, and which cell of a stack.
NUMBERED = re.compile(r"^(forward_|backward_)|_\d+$")


@dataclass(frozen=True)
class Check:
    """A question with an exact answer."""

    question: str
    expected: Any
    actual: Any

    @property
    def agrees(self) -> bool:
        return bool(self.expected == self.actual)


@dataclass(frozen=True)
class Judgement:
    """What one case says about a subject.

    ``raised`` is the exception that kept the subject from answering, if any. ``record`` is the registered divergence
    that covers the case in this version, ``surprise`` what is not as that record says. Where the numbers are wrong
    ``diagnosis`` says what of, and ``where`` what can be told if that is not known. ``data`` are what the case was run
    with; a training program has none. ``question`` is what else than its outputs was asked of the case, and ``then``
    the lines of Keras that asked it of the model.
    """

    case: Case
    environment: Environment
    checks: Tuple[Check, ...] = ()
    comparisons: Tuple[Comparison, ...] = ()
    raised: Optional[Exception] = None
    unsupported: str = ""
    record: Optional[Divergence] = None
    surprise: str = ""
    diagnosis: Optional[Diagnosis] = None
    where: str = ""
    data: Optional[Data] = None
    question: str = ""
    then: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The case's id, and what was asked of it."""
        return f"{self.question} of {self.case.id}" if self.question else self.case.id

    @property
    def agrees(self) -> bool:
        """Whether the subject is right."""
        return self.raised is None and all(answer.agrees for answer in self.answers)

    @property
    def returned_right(self) -> bool:
        """Whether all that was returned has the right shapes and values, whatever else is wrong."""
        shapes = all(check.agrees for check in self.checks if check.question == "shapes")
        return shapes and all(comparison.agrees for comparison in self.comparisons)

    @property
    def reproducible(self) -> bool:
        """Whether a program can fail as the case did, which raised or returned wrong.

        There is none of training, of second-order gradients or of conversions.
        """
        asked = self.data is not None or self.question == GRADIENTS
        return asked and self.case.mode not in CONVERSIONS and not (self.raised is None and self.returned_right)

    @property
    def answers(self) -> Tuple[Union[Check, Comparison], ...]:
        """Everything that was asked."""
        return (*self.checks, *self.comparisons)

    @property
    def ratio(self) -> float:
        """The largest ratio over all returned tensors."""
        return max((comparison.ratio for comparison in self.comparisons), default=0.0)

    @property
    def verdict(self) -> str:
        if self.unsupported:
            return UNSUPPORTED
        if self.record:
            return DIVERGES if self.surprise else KNOWN
        if not self.agrees:
            return DIVERGES
        return UNTRUSTED if self.name in untrusted() else CONFORMS


def judge(
    case: Case, subject: Subject, register: Sequence[Divergence] = (), figures: Optional[Figures] = None
) -> Judgement:
    """Run one case: draw its data, ask the reference and the subject, compare.

    ``register`` holds the records that concern the subject. ``figures`` are those a document prints of the case; the
    subject is held to them too.
    """
    unsupported = unable_to_run(subject, case)
    if unsupported:
        return Judgement(case, subject.environment, unsupported=unsupported)
    data = draw(case)
    promised = subject.promised(case)
    records = tuple(record for record in register if record.covers(case))
    fatal = next((record for record in records if record.crashes), None)
    if fatal:  # the program of the record, which is run as a test, shows that it still is
        return Judgement(case, subject.environment, record=fatal)
    try:
        observation = subject.observe(case, data)
    except UnreadableSummaryError:
        raise
    except Exception as error:  # whatever Keras raises is what it did with the case
        record, surprise = on_record_raised(records, error)
        return Judgement(case, subject.environment, raised=error, record=record, surprise=surprise, data=data)
    expected = expected_outputs(promised, data)
    checks = tuple(_checks(promised, subject, data, expected, observation))
    if figures:
        checks += _documented(figures, subject, promised, observation)
    judgement = Judgement(case, subject.environment, checks, compared(expected, observation.outputs), data=data)
    if records:
        record, surprise = on_record_returned(
            records, judgement, lambda some: faults_return(some, promised, data, observation.outputs)
        )
        judgement = replace(judgement, record=record, surprise=surprise)
    if judgement.verdict == DIVERGES and not judgement.returned_right:
        diagnosis = diagnose(promised, data, observation.outputs, list(expected.values()))
        where = "" if diagnosis.explanations or records else locate(case, data, subject)
        judgement = replace(judgement, diagnosis=diagnosis, where=where)
    return judgement


def on_record_raised(records: Sequence[Divergence], error: Exception) -> Tuple[Optional[Divergence], str]:
    """The record whose signature is this exception, or the first one and what is not as recorded."""
    for record in records:
        if not record.surprise_raised(error):
            return record, ""
    return (records[0], records[0].surprise_raised(error)) if records else (None, "")


def on_record_returned(
    records: Sequence[Divergence], judgement: Judgement, returns: Callable[[Sequence[Divergence]], bool]
) -> Tuple[Optional[Divergence], str]:
    """The record that explains what was returned, or the first one and what is not as recorded.

    ``returns`` says whether that is what a subject with all the faults of some records returns. Where several faults
    are on record they may show together. Faults that make no difference to the case, each or all of them, leave nothing
    to explain.
    """
    questions = [check.question for check in judgement.checks if not check.agrees] or ["values"]
    faults = [record for record in records if record.fault]
    sets = [*([record] for record in faults), *([faults] if len(faults) > 1 else [])]
    if judgement.agrees:
        unseen = [record for some in sets if returns(some) for record in some]
        shown = [record for record in records if record not in unseen]
        return (shown[0], AGAINST_THE_RECORD) if shown else (None, "")
    for record in records:
        if record.wrong in questions and len(questions) == 1:
            return record, ""
    for some in sets:
        if questions == ["values"] and returns(some):
            return some[0], ""
    return records[0], f"wrong {', '.join(questions)}, on record is {records[0].signature}"


def faults_return(records: Sequence[Divergence], promised: Case, data: Data, outputs: Sequence[Array]) -> bool:
    """Whether the outputs are those of a subject with all the faults of these records."""
    faulty = expected_outputs(*applied([record.fault for record in records], promised, data))
    return agree(faulty, outputs)


def _checks(
    case: Case, subject: Subject, data: Data, expected: Dict[str, Estimate], observation: Observation
) -> List[Check]:
    weights = [item for own in case.model.weight_shapes(case.input_shape) for item in own.items()]
    total = parameter_count(shape for _, shape in weights)
    symbolic = case.model.returned_shapes(case.symbolic_shapes)
    checks = [
        Check("weights", tuple(_keras_name(name) for name, _ in weights), observation.weight_names),
        Check("weight shapes", tuple(shape for _, shape in weights), observation.weight_shapes),
        Check("weights read back", True, _same(data.weights, observation.weights_read_back)),
        Check("parameters", total, observation.parameters),
        Check("symbolic shapes", tuple(symbolic.values()), observation.symbolic_shapes),
        Check("shapes", [e.value.shape for e in expected.values()], [a.shape for a in observation.outputs]),
        Check("dtypes", [case.compute_dtype] * len(expected), [str(a.dtype) for a in observation.outputs]),
    ]
    if observation.summary:
        checks.append(Check("summary", _summary(case, subject, total), observation.summary))
    return checks


def _summary(case: Case, subject: Subject, total: int) -> Summary:
    """The summary of the case's model: a row for each layer, and the parameters of all."""
    weights = case.model.weight_shapes(case.input_shape)
    layers = zip(case.model.layers, case.model.output_shapes(case.symbolic_shapes[0]), weights)
    rows = (
        SummaryRow(subject.class_name(layer), tuple(shapes.values()), parameter_count(own.values()))
        for layer, shapes, own in layers
    )
    return Summary(tuple(rows), total, total, 0)


def _documented(figures: Figures, subject: Subject, case: Case, observation: Observation) -> Tuple[Check, ...]:
    names = [subject.class_name(layer) for layer in case.model.layers]  # a layer of one's own has its own name
    rows = tuple(replace(row, layer=name) for row, name in zip(figures.rows, names))
    return (
        Check("documented parameters", figures.parameters, observation.parameters),
        Check("documented shapes", list(figures.outputs), [output.shape for output in observation.outputs]),
        Check("documented summary", rows, observation.summary and observation.summary.rows),
    )


def _keras_name(name: str) -> str:
    """Keras names the weights of both halves of a Bidirectional alike, and those of all cells of a stack."""
    return NUMBERED.sub("", name)


def _same(expected: Sequence[Any], actual: Sequence[Any]) -> bool:
    return len(expected) == len(actual) and all(
        np.array_equal(e.astype(np.float64), a.astype(np.float64)) for e, a in zip(expected, actual)
    )
