"""Reading the table that ``model.summary()`` prints.

Keras 2 sets the columns under their titles, Keras 3 draws boxes; a list of shapes may run over several lines.
"""

from __future__ import annotations

import ast
import os
import re
from typing import Any, Iterator, List, Optional, Tuple
from unittest import mock

from conformance.observation import Summary, SummaryRow
from reference_impl.types import Shape

TITLES = ("Layer (type)", "Output Shape", "Param #", "Connected to")

#: Wide enough for no cell to be cut. Keras 3 also crops the table to the width of the terminal, told by COLUMNS.
WIDTH = 500


class UnreadableSummaryError(Exception):
    """``model.summary()`` prints what this module cannot read: the harness is at fault, or the subject strange."""


def read_summary(model: Any) -> Summary:
    """Call ``model.summary()`` and read what it prints. Raises UnreadableSummaryError."""
    lines: List[str] = []
    with mock.patch.dict(os.environ, COLUMNS=str(WIDTH + 20)):
        model.summary(line_length=WIDTH, print_fn=lambda text, **_: lines.append(text))
    text = "\n".join(lines)
    try:
        return parse_summary(text)
    except (SyntaxError, TypeError, ValueError, StopIteration, IndexError) as error:
        raise UnreadableSummaryError(text) from error


def parse_summary(text: str) -> Summary:
    """The rows, input layers left out, and the totals of a printed summary."""
    table = _boxes(text) if "│" in text else _columns(text)
    rows = (_row(*cells[:3]) for cells in table)
    return Summary(
        tuple(row for row in rows if row.layer != "InputLayer"),
        _total(text, "Total"),
        _total(text, "Trainable"),
        _total(text, "Non-trainable"),
    )


def _boxes(text: str) -> List[List[str]]:
    """Cells of a Keras 3 table: a rule of box characters stands between two rows."""
    table: List[List[str]] = []
    for line in text.splitlines():
        if line.startswith(("┡", "├")):
            table.append([])
        elif line.startswith("│"):
            table[-1] = _joined(table[-1], line.strip("│").split("│"))
    return table


def _columns(text: str) -> List[List[str]]:
    """Cells of a Keras 2 table: a row begins where the first column is not empty."""
    lines = text.splitlines()
    header = next(number for number, line in enumerate(lines) if TITLES[0] in line)
    starts = [lines[header].index(title) for title in TITLES if title in lines[header]]
    table: List[List[str]] = []
    for line in lines[header + 1 :]:
        if line.startswith("Total params"):
            break
        if set(line) <= set("_= "):
            continue
        cells = [line[start:end] for start, end in zip(starts, [*starts[1:], None])]
        if cells[0].strip():
            table.append([])
        table[-1] = _joined(table[-1], cells)
    return table


def _joined(row: List[str], cells: List[str]) -> List[str]:
    return [f"{old} {new.strip()}".strip() for old, new in zip(row or [""] * len(cells), cells)]


def _row(layer: str, shapes: str, parameters: str) -> SummaryRow:
    return SummaryRow(re.sub(r".*\((.*)\)$", r"\1", layer), _shapes(shapes), _number(parameters))


def _shapes(text: str) -> Tuple[Shape, ...]:
    return tuple(_flat(ast.literal_eval(text)))


def _flat(value: Any) -> Iterator[Shape]:
    """The shapes in nested lists and tuples of them: Keras 2 keeps the states of a cell together."""
    if all(size is None or isinstance(size, int) for size in value):
        yield value
    else:
        for inner in value:
            yield from _flat(inner)


def _total(text: str, name: str) -> Optional[int]:
    match = re.search(rf"^\s*{name} params: ([\d,]+)", text, re.MULTILINE)
    return _number(match[1]) if match else None


def _number(text: str) -> int:
    return int(text.replace(",", ""))
