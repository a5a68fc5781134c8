"""Reading ``fixtures/``: TOML files of records, checked against the dataclass they become."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Type, TypeVar

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The data of the suite lie beside it in a checkout.
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

Record = TypeVar("Record")


class FixtureError(Exception):
    """A fixture is not as it must be; the message is one line that names the file and the place."""


def read_toml(path: Path) -> Dict[str, Any]:
    """A TOML file as a dictionary. Raises FixtureError."""
    try:
        content: Dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FixtureError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FixtureError(f"{path}: {error}") from error
    return content


def read_records(path: Path, table: str, kind: Type[Record]) -> List[Record]:
    """The tables ``[[table]]`` of a TOML file, each made into a ``kind``, all of other ids. Raises FixtureError."""
    content = read_toml(path)
    unknown = sorted(set(content) - {table})
    if unknown:
        raise FixtureError(f"{path}: unknown field {unknown[0]!r}; expected [[{table}]]")
    records = [make(kind, values, place(path, table, number, values)) for number, values in numbered(content, table)]
    called = Counter(values["id"] for _, values in numbered(content, table))
    twice = next((name for name, count in called.items() if count > 1), None)
    if twice is not None:
        raise FixtureError(f"{path}: two records are called {twice!r}")
    return records


def numbered(content: Dict[str, Any], table: str) -> Iterator[Tuple[int, Dict[str, Any]]]:
    """The tables ``[[table]]`` of a file's content, counted from 1."""
    return enumerate(content.get(table, []), 1)


def place(path: Path, table: str, number: int, values: Dict[str, Any]) -> str:
    """Where a table stands, for messages: its file, its number and its id if it has one."""
    name = f" ({values['id']})" if "id" in values else ""
    return f"{path}: {table} {number}{name}"


def make(kind: Type[Record], values: Dict[str, Any], where: str) -> Record:
    """A dataclass from a table, every field known, none missing. Raises FixtureError, which begins with ``where``."""
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise FixtureError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise FixtureError(f"{where}: field {name!r} is missing")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise FixtureError(f"{where}: {error}") from error
