"""The catalogue and the register hang together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conformance import catalogue, discrimination, second_order, space
from conformance.compare import compare
from conformance.covering import frozen_ids
from conformance.data import draw
from conformance.divergences import GRADIENTS, SECOND_ORDER, TRAINING, load_register
from conformance.documented import load_documents
from conformance.expected import expected_outputs
from conformance.programs import PROGRAMS
from reference_impl import activations, parameter_count

ROOT = Path(__file__).resolve().parents[2]
TESTS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "conformance").glob("test_*.py"))
CASES = [*discrimination.cases("default")]
DIFFERENTIATED = [space.case(name) for name in frozen_ids("gradients")]


def test_ids_are_unique():
    assert len({case.id for case in CASES}) == len(CASES)


def test_default_tier_has_every_pair_of_kind_size_and_way():
    def pairs(tier):
        cases = (case for kind in catalogue.KINDS for case in catalogue.grid(kind, tier))
        words = ((kind, size, f"{api}-{what}") for kind, api, *size, what in (case.id.split("-") for case in cases))
        return {pair for kind, size, way in words for pair in ((kind, *size), (kind, way), (*size, way))}

    assert pairs("default") == pairs("full")


#: By question, what it is asked of.
ASKED = {
    "": CASES,
    GRADIENTS: [*DIFFERENTIATED, *catalogue.wide()],
    SECOND_ORDER: second_order.cases(),
    TRAINING: PROGRAMS,
}


@pytest.mark.parametrize("record", load_register(), ids=lambda record: record.id)
def test_every_record_covers_a_case(record):
    for some in record.cases:
        assert any(case.has(some) for case in ASKED[record.question]), some


@pytest.mark.parametrize("record", [record for record in load_register() if record.tests], ids=lambda record: record.id)
def test_every_record_names_tests_that_exist(record):
    for pattern in record.tests:
        assert f"def {pattern.partition('[')[0]}(" in TESTS, pattern


@pytest.mark.parametrize("argument", ["activation", "recurrent_activation"])
@pytest.mark.parametrize("name", [name for name in catalogue.ACTIVATIONS if name])
def test_activations_are_told_apart(name, argument):
    """Some case of each activation is a hundred tolerances away from every other function."""
    cases = [c for c in catalogue.options() if c.id.startswith(f"{argument}-") and c.has({argument: str(name)})]
    held = [(case, data, expected_outputs(case, data)) for case, data in ((case, draw(case)) for case in cases)]
    for other in set(activations.FUNCTIONS.values()) - {activations.get(name)}:
        distance = max(_distance(case, data, expected, argument, other) for case, data, expected in held)
        assert distance > 100, f"{name} passes for {other.__name__}"


def _distance(case, data, expected, argument, other):
    """How many tolerances away the case is with another function."""
    (layer,) = case.model.layers
    wrong = replace(layer, **{argument: other.__name__})
    with np.errstate(all="ignore"):
        outputs = wrong(data.x.astype("float64"), [weight.astype("float64") for weight in data.weights])
    return max(compare(name, e, actual).ratio for (name, e), actual in zip(expected.items(), outputs))


@pytest.mark.parametrize("document", load_documents(), ids=lambda document: document.title[:40])
def test_documented_figures_are_those_of_the_reference(document):
    """What a document prints follows from the equations: parameters 4(du + u² + u), shapes, rows."""
    for example in document.example:
        case, figures = example.case, example.figures
        weights = [parameter_count(shapes.values()) for shapes in case.model.weight_shapes(case.input_shape)]
        assert sum(weights) == figures.parameters
        assert [row.parameters for row in figures.rows] == weights
        shapes = case.model.output_shapes((None, *case.input_shape[1:]))
        assert [row.shapes for row in figures.rows] == [tuple(shape.values()) for shape in shapes]
        assert figures.outputs == tuple(case.model.output_shapes(case.input_shape)[-1].values())
