"""The register of known divergences: ``fixtures/divergences.toml``.

A record covers cases by their options and subjects by their versions, and is strict: a covered case must depart exactly
as the record's signature says. One that conforms after all, or departs otherwise, fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

from packaging.specifiers import SpecifierSet

from conformance.case import Case
from conformance.compare import compare
from conformance.data import Data
from conformance.expected import expected_outputs
from conformance.faults import FAULTS
from conformance.fixtures import FIXTURES, FixtureError, read_records
from reference_impl.types import Array


@dataclass(frozen=True)
class Divergence:
    """One departure of some versions from the specification.

    ``versions`` maps "keras" and "tensorflow" to PEP 440 specifiers that must all hold; ``cases`` lists sets of options
    of which one must hold (see ``Case.has``). The signature is either ``raises``, an exception's type, with
    ``saying``, a part of its text, or ``fault``, the named wrong LSTM whose numbers the subject returns. ``program`` is
    the smallest program that shows it: it ends in an AssertionError or in the exception it is about.
    """

    id: str
    departs: str
    why: str
    versions: Mapping[str, str]
    cases: Sequence[Mapping[str, str]]
    program: str
    upstream: str = ""
    raises: str = ""
    saying: str = ""
    fault: str = ""

    def __post_init__(self) -> None:
        if bool(self.raises) == bool(self.fault):
            raise ValueError("give one signature, `raises` or `fault`")
        if self.fault and self.fault not in FAULTS:
            raise ValueError(f"no fault is called {self.fault!r}")
        for name, wanted in self.versions.items():
            if name not in ("keras", "tensorflow"):
                raise ValueError(f"versions of {name!r}; known are keras, tensorflow")
            SpecifierSet(wanted)  # InvalidSpecifier is a ValueError

    def covers(self, case: Case, versions: Mapping[str, str]) -> bool:
        """Whether this record speaks of the case in a subject of these versions."""
        return self.concerns(versions) and any(case.has(some) for some in self.cases)

    def concerns(self, versions: Mapping[str, str]) -> bool:
        """Whether this record speaks of a subject of these versions."""
        return all(
            name in versions and SpecifierSet(wanted).contains(versions[name], prereleases=True)
            for name, wanted in self.versions.items()
        )

    def surprise_raised(self, error: Exception) -> str:
        """What is not as recorded where the subject raised ``error``."""
        if self.raises == type(error).__name__ and self.saying in str(error):
            return ""
        return f"raised {type(error).__name__}, on record is {self.raises or self.fault} {self.saying}".rstrip()

    def surprise_returned(
        self, case: Case, data: Data, outputs: Sequence[Array], conforms: bool, wrong: Sequence[str]
    ) -> str:
        """What is not as recorded where the subject returned ``outputs`` and was ``wrong`` about other questions."""
        if conforms:
            return "conforms, against the record"
        if wrong:
            return f"wrong {', '.join(wrong)}, of which the record does not speak"
        if self.raises:
            return f"returned values, on record is {self.raises}"
        faulty = expected_outputs(FAULTS[self.fault].applied(case), data)
        equal = len(faulty) == len(outputs) and all(
            estimate.value.shape == actual.shape and compare(name, estimate, actual).agrees
            for (name, estimate), actual in zip(faulty.items(), outputs)
        )
        return "" if equal else f"differs otherwise than the fault on record, {self.fault}"


def load_register(path: Path = FIXTURES / "divergences.toml") -> Tuple[Divergence, ...]:
    """The records of a register, their ids all different. Raises FixtureError."""
    records: List[Divergence] = read_records(path, "divergence", Divergence)
    seen: Dict[str, Divergence] = {}
    for record in records:
        if record.id in seen:
            raise FixtureError(f"{path}: two records are called {record.id!r}")
        seen[record.id] = record
    return tuple(records)
