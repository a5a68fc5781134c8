"""The catalogue and the register hang together."""

import pytest

from conformance import catalogue
from conformance.divergences import load_register
from conformance.documented import load_documents
from reference_impl import parameter_count

CASES = [
    *(case for kind in catalogue.KINDS for case in catalogue.grid(kind)),
    *catalogue.options(),
    *catalogue.heads(),
    *(example.case for document in load_documents() for example in document.example),
]


def test_ids_are_unique():
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("record", load_register(), ids=lambda record: record.id)
def test_every_record_covers_a_case(record):
    for some in record.cases:
        assert any(all(value in case.options.get(name, ()) for name, value in some.items()) for case in CASES), some


@pytest.mark.parametrize("document", load_documents(), ids=lambda document: document.title[:40])
def test_documented_figures_are_those_of_the_reference(document):
    """What a document prints follows from the equations: parameters 4(du + u² + u), shapes, rows."""
    for example in document.example:
        case, figures = example.case, example.figures
        weights = [parameter_count(shapes.values()) for shapes in case.model.weight_shapes(case.features)]
        assert sum(weights) == figures.parameters
        assert [row.parameters for row in figures.rows] == weights
        shapes = case.model.output_shapes((None, *case.input_shape[1:]))
        assert [row.shapes for row in figures.rows] == [tuple(shape.values()) for shape in shapes]
        assert figures.outputs == tuple(case.model.output_shapes(case.input_shape)[-1].values())
