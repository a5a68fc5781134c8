"""Reading the table that ``model.summary()`` prints.

Keras 2 sets the columns under their titles, Keras 3 draws boxes; both let a cell run over several lines.
"""

from __future__ import annotations

import ast
import re
from typing import Any, List, Optional, Tuple

from conformance.observation import Summary, SummaryRow
from reference_impl.types import Shape

TITLES = ("Layer (type)", "Output Shape", "Param #", "Connected to")

#: Keras 2 cuts or wraps cells in its own width of 65, Keras 3 crops the table of any width but its own 80.
WIDTH_KERAS_2 = 500


def read_summary(model: Any, generation: int) -> Summary:
    """Call ``model.summary()`` and read what it prints."""
    lines: List[str] = []
    width = {"line_length": WIDTH_KERAS_2} if generation == 2 else {}
    model.summary(print_fn=lambda text, **_: lines.append(text), **width)
    return parse_summary("\n".join(lines))


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
    value = ast.literal_eval(text)
    return tuple(value) if isinstance(value, list) else (value,)


def _total(text: str, name: str) -> Optional[int]:
    match = re.search(rf"^\s*{name} params: ([\d,]+)", text, re.MULTILINE)
    return _number(match[1]) if match else None


def _number(text: str) -> int:
    return int(text.replace(",", ""))
