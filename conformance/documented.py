"""The documented examples: ``fixtures/documented/``, what each document builds and the figures it prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from conformance.case import Case
from conformance.fixtures import FIXTURES, FixtureError, make, numbered, place, read_toml
from conformance.observation import SummaryRow
from reference_impl import LSTM, Bidirectional, Dense, Layer, Model, TimeDistributed
from reference_impl.types import Shape

LAYERS: Dict[str, Any] = {layer.__name__: layer for layer in (LSTM, Bidirectional, Dense, TimeDistributed)}


@dataclass(frozen=True)
class Figures:
    """The figures a document prints of a model: parameters, shapes of what it returns, rows of its summary.

    ``kernel_c`` and ``bias_c`` are the shapes of the candidate gate's slices, where the document gives them.
    """

    parameters: int
    outputs: Tuple[Shape, ...]
    rows: Tuple[SummaryRow, ...]
    kernel_c: Optional[Shape] = None
    bias_c: Optional[Shape] = None


@dataclass(frozen=True)
class Example:
    """A model of a document, as a case, with the figures printed of it."""

    case: Case
    figures: Figures


@dataclass(frozen=True)
class TrainingFigures:
    """The figures of a training program: how many windows its data give, parameters, the shape of its predictions."""

    windows: int
    parameters: int
    output: Shape


@dataclass(frozen=True)
class Training:
    """A training program: random samples cut into windows, and how the model is compiled and fitted to them."""

    id: str
    samples: int
    window: int
    target_steps: int
    layers: Tuple[Layer, ...]
    optimizer: str
    loss: str
    epochs: int
    batch_size: int
    figures: TrainingFigures


@dataclass(frozen=True)
class Document:
    """One document: its title, what a reader must know of it, and its programs."""

    title: str
    note: str
    example: Sequence[Example] = ()
    training: Sequence[Training] = ()


def load_documents(folder: Path = FIXTURES / "documented") -> List[Document]:
    """Every document of a folder, in the order of the file names. Raises FixtureError."""
    return [_document(path) for path in sorted(folder.glob("*.toml"))]


def _document(path: Path) -> Document:
    content = read_toml(path)
    for name, read in (("example", _example), ("training", _training)):
        content[name] = [read(table, place(path, name, number, table)) for number, table in numbered(content, name)]
    return make(Document, content, str(path))


def _example(table: Dict[str, Any], where: str) -> Example:
    figures = _figures(table.pop("figures", {}), where)
    table["model"] = Model(_layers(table.pop("layers", []), where))
    return Example(make(Case, table, where), figures)


def _training(table: Dict[str, Any], where: str) -> Training:
    figures = dict(table.get("figures", {}))
    figures["output"] = tuple(figures.get("output", ()))
    table["figures"] = make(TrainingFigures, figures, f"{where}: figures")
    table["layers"] = _layers(table.get("layers", []), where)
    return make(Training, table, where)


def _figures(table: Dict[str, Any], where: str) -> Figures:
    where = f"{where}: figures"
    rows = [{**row, "shapes": tuple(map(_shape, row.get("shapes", ())))} for row in table.get("rows", ())]
    values = {**table, "rows": tuple(make(SummaryRow, row, where) for row in rows)}
    values["outputs"] = tuple(map(_shape, table.get("outputs", ())))
    values.update({name: _shape(table[name]) for name in ("kernel_c", "bias_c") if name in table})
    return make(Figures, values, where)


def _layers(tables: Sequence[Dict[str, Any]], where: str) -> Tuple[Layer, ...]:
    return tuple(_layer(table, where) for table in tables)


def _layer(table: Dict[str, Any], where: str) -> Layer:
    """A layer from its class and its arguments; a wrapper's ``layer`` is such a table too."""
    arguments = dict(table)
    name = arguments.pop("class", None)
    if name not in LAYERS:
        raise FixtureError(f"{where}: unknown layer class {name!r}; known are {', '.join(LAYERS)}")
    if "layer" in arguments:
        arguments["layer"] = _layer(arguments["layer"], where)
    layer: Layer = make(LAYERS[name], arguments, f"{where}: {name}")
    return layer


def _shape(sizes: Sequence[Any]) -> Shape:
    """TOML has no null: an open size is written as in a summary, "None"."""
    return tuple(None if size == "None" else size for size in sizes)
