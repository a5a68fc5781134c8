"""From a case and a subject to a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from conformance.case import Case
from conformance.compare import Comparison, compare
from conformance.data import Data, draw
from conformance.divergences import Divergence
from conformance.documented import Figures
from conformance.expected import expected_outputs
from conformance.observation import Environment, Observation, Summary, SummaryRow
from conformance.subject import Subject, UnreadableSummaryError
from reference_impl import Estimate, parameter_count

CONFORMS = "conforms"
DIVERGES = "diverges"
KNOWN = "known divergence"
UNSUPPORTED = "unsupported"


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
    that covers the case in this version, ``surprise`` what is not as that record says.
    """

    case: Case
    environment: Environment
    checks: Tuple[Check, ...] = ()
    comparisons: Tuple[Comparison, ...] = ()
    raised: Optional[Exception] = None
    unsupported: str = ""
    record: Optional[Divergence] = None
    surprise: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the subject is right."""
        return self.raised is None and all(answer.agrees for answer in self.answers)

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
        return CONFORMS if self.agrees else DIVERGES


def judge(
    case: Case, subject: Subject, register: Sequence[Divergence] = (), figures: Optional[Figures] = None
) -> Judgement:
    """Run one case: draw its data, ask the reference and the subject, compare.

    ``figures`` are those a document prints of the case; the subject is held to them too.
    """
    unsupported = subject.unsupported(case)
    if unsupported:
        return Judgement(case, subject.environment, unsupported=unsupported)
    data = draw(case)
    promised = subject.promised(case)
    record = next((record for record in register if record.covers(case, subject.versions)), None)
    try:
        observation = subject.observe(case, data)
    except UnreadableSummaryError:
        raise
    except Exception as error:  # whatever Keras raises is what it did with the case
        surprise = record.surprise_raised(error) if record else ""
        return Judgement(case, subject.environment, raised=error, record=record, surprise=surprise)
    expected = expected_outputs(promised, data)
    checks = tuple(_checks(promised, subject, data, expected, observation))
    if figures:
        checks += _documented(figures, subject, promised, observation)
    comparisons = tuple(
        compare(name, estimate, actual)
        for (name, estimate), actual in zip(expected.items(), observation.outputs)
        if actual.shape == estimate.value.shape
    )
    judgement = Judgement(case, subject.environment, checks, comparisons)
    if record is None:
        return judgement
    wrong = [check.question for check in checks if not check.agrees]
    surprise = record.surprise_returned(promised, data, observation.outputs, judgement.agrees, wrong)
    return replace(judgement, record=record, surprise=surprise)


def _checks(
    case: Case, subject: Subject, data: Data, expected: Dict[str, Estimate], observation: Observation
) -> List[Check]:
    layers = case.model.weight_shapes(case.features)
    symbolic = case.model.output_shapes((None, *case.input_shape[1:]))
    weights = [item for own in layers for item in own.items()]
    total = parameter_count(shape for _, shape in weights)
    rows = tuple(
        SummaryRow(subject.class_name(layer), tuple(shapes.values()), parameter_count(own.values()))
        for layer, shapes, own in zip(case.model.layers, symbolic, layers)
    )
    return [
        Check("weights", tuple(_keras_name(name) for name, _ in weights), observation.weight_names),
        Check("weight shapes", tuple(shape for _, shape in weights), observation.weight_shapes),
        Check("weights read back", True, _same(data.weights, observation.weights_read_back)),
        Check("parameters", total, observation.parameters),
        Check("symbolic shapes", tuple(symbolic[-1].values()), observation.symbolic_shapes),
        Check("summary", Summary(rows, total, total, 0), observation.summary),
        Check("shapes", [e.value.shape for e in expected.values()], [a.shape for a in observation.outputs]),
        Check("dtypes", [case.dtype] * len(expected), [str(a.dtype) for a in observation.outputs]),
    ]


def _documented(figures: Figures, subject: Subject, case: Case, observation: Observation) -> Tuple[Check, ...]:
    names = [subject.class_name(layer) for layer in case.model.layers]  # a layer of one's own has its own name
    rows = tuple(replace(row, layer=name) for row, name in zip(figures.rows, names))
    return (
        Check("documented parameters", figures.parameters, observation.parameters),
        Check("documented shapes", list(figures.outputs), [output.shape for output in observation.outputs]),
        Check("documented summary", rows, observation.summary.rows),
    )


def _keras_name(name: str) -> str:
    """Keras names the weights of both halves of a Bidirectional alike."""
    for half in ("forward_", "backward_"):
        if name.startswith(half):
            return name[len(half) :]
    return name


def _same(expected: Sequence[Any], actual: Sequence[Any]) -> bool:
    return len(expected) == len(actual) and all(np.array_equal(e, a) for e, a in zip(expected, actual))
