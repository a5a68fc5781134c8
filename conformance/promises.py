"""Promises that versions of Keras make otherwise: ``fixtures/promises.toml``.

Each version is held to its own documentation, so that none of these shows as a divergence; but they change what a model
computes that is moved from one version to another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Mapping, Sequence

from conformance.divergences import check_range, within
from conformance.fixtures import FIXTURES, read_records

PROMISES = FIXTURES / "promises.toml"


@dataclass(frozen=True)
class Promise:
    """What the documentation of some versions promises, and that of others does not.

    ``says`` tells both in a sentence. ``versions`` maps "keras" and "tensorflow" to PEP 440 specifiers that must all
    hold, ``where`` has what else it depends on (see ``conformance.divergences``). ``documented`` are links.
    ``program`` is given ``keras``; where the promise is not made it raises an AssertionError, an AttributeError or a
    KeyError.
    """

    id: str
    says: str
    versions: Mapping[str, str]
    documented: Sequence[str]
    program: str
    where: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_range(self.versions, self.where)

    def concerns(self, versions: Mapping[str, str]) -> bool:
        """Whether a subject of these versions makes the promise."""
        return within(self.versions, self.where, versions)


def load_promises(path: Path = PROMISES) -> List[Promise]:
    """All of a file, their ids all different. Raises FixtureError."""
    return read_records(path, "promise", Promise)
