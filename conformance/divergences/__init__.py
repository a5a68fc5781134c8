"""The register of known divergences: ``fixtures/divergences.toml``.

A record covers cases by their options and subjects by their versions, and is strict: a covered case must depart exactly
as the record's signature says. One that conforms after all, or departs otherwise, fails.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Mapping, Pattern, Protocol, Sequence, Tuple, Union

from packaging.specifiers import SpecifierSet

from conformance.case import Options
from conformance.faults import FAULTS
from conformance.faults.training import TRAINING_FAULTS
from conformance.fixtures import FIXTURES, read_records

REGISTER = FIXTURES / "divergences.toml"

#: What else than its outputs is asked of a case, in this order.
GRADIENTS, SECOND_ORDER, TRAINING = "gradients", "second-order gradients", "training"
QUESTIONS = ("", GRADIENTS, SECOND_ORDER, TRAINING)

#: What a departure may depend on beside versions: whether TensorFlow computes with oneDNN, and whose layers they are,
#: those of TensorFlow 1 or of 2.
WHERE = {"onednn": ("on", "off"), "layers": ("v1", "v2")}

#: The same in words.
KNOWN_WHERE = ", ".join(f"{name} = {' or '.join(values)}" for name, values in WHERE.items())

#: What a test raises whose subject did not raise, but answered wrongly.
OF_TESTS = frozenset(["AssertionError", "Failed"])


class HasOptions(Protocol):
    """A case or a program."""

    def has(self, some: Options) -> bool: ...


@dataclass(frozen=True)
class Divergence:
    """One departure of some versions from the specification.

    ``versions`` maps "keras" and "tensorflow" to PEP 440 specifiers that must all hold. ``cases`` lists sets of
    options of which one must hold (see ``Case.has``); ``tests`` lists patterns of names of tests that hold Keras to
    a promise without a case, such as ``test_bad_units[*]``. The signature is ``raises``, an exception's type ("one
    or another"), with ``saying``, a part of its text or several of which it has one, or ``fault``, the named wrong
    LSTM whose numbers the subject returns, or ``wrong``, the question it answers wrongly ("shapes", "values"), or
    ``crashes``: the process dies, so what is covered is not run. ``question`` is "gradients" where the outputs are
    right, "second-order gradients" where the gradients are too, and "training" where gradients are: then its cases
    are programs and its faults those of training. ``where`` has what else of a subject it depends on (see
    ``WHERE``). ``program`` is the smallest program that shows it: it ends in an AssertionError, in the exception it
    is about, or in the crash. ``upstream`` is the thread about it; where there is none, ``promised`` is what the
    documentation promises, with links, in Markdown.
    """

    id: str
    departs: str
    why: str
    versions: Mapping[str, str]
    program: str
    cases: Sequence[Options] = ()
    tests: Sequence[str] = ()
    upstream: str = ""
    promised: str = ""
    raises: str = ""
    saying: Union[str, Sequence[str]] = ""
    fault: str = ""
    wrong: str = ""
    crashes: bool = False
    question: str = ""
    where: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        returned = sum(map(bool, (self.fault, self.wrong, self.crashes)))
        raising = not returned or (bool(self.tests) and not self.crashes)
        if returned > 1 or raising != bool(self.raises):
            raise ValueError("give a signature: `crashes` or `raises`, for cases `fault` or `wrong` too")
        if not self.saying and not OF_TESTS.isdisjoint(self.raises.split(" or ")):
            raise ValueError(f"say what is said: every test that fails raises {' or '.join(sorted(OF_TESTS))}")
        if not self.cases and not self.tests:
            raise ValueError("give `cases` or `tests`")
        if self.question not in QUESTIONS:
            raise ValueError(f"question {self.question!r}; known are {', '.join(QUESTIONS[1:])}")
        if self.fault and self.fault not in (TRAINING_FAULTS if self.question == TRAINING else FAULTS):
            raise ValueError(f"no fault is called {self.fault!r}")
        check_range(self.versions, self.where)

    def covers(self, case: HasOptions, question: str = "") -> bool:
        """Whether this record speaks of what is asked of the case."""
        return self.question == question and any(case.has(some) for some in self.cases)

    def covers_test(self, name: str) -> bool:
        """Whether this record speaks of the test of this name."""
        return any(_expression(pattern).match(name) for pattern in self.tests)

    def overlaps(self, other: Divergence) -> bool:
        """Whether both speak of one test or of one set of options, and of the same that is asked."""
        tests = any(map(other.covers_test, self.tests)) or any(map(self.covers_test, other.tests))
        return self.question == other.question and (tests or any(some in other.cases for some in self.cases))

    def concerns(self, versions: Mapping[str, str]) -> bool:
        """Whether this record speaks of a subject of these versions; what they do not say does not decide."""
        return within(self.versions, self.where, versions)

    @property
    def is_silent(self) -> bool:
        """Whether a covered subject returns something that is wrong, and does not, or not always, raise itself."""
        return bool(self.fault or self.wrong) or not OF_TESTS.isdisjoint(self.raises.split(" or "))

    @property
    def sentence(self) -> str:
        """Why what it covers is not as promised, for pytest."""
        return f"known divergence {self.id}: {self.departs}"

    @property
    def signature(self) -> str:
        """What a covered subject shows, in words."""
        if self.fault or self.wrong:
            return f"the fault {self.fault}" if self.fault else f"wrong {self.wrong}"
        return f"{self.raises} {' or '.join(self.phrases)}".rstrip() or "a crash"

    @property
    def phrases(self) -> Sequence[str]:
        """What the exception's text says, or some things of which it says one."""
        return [self.saying] if isinstance(self.saying, str) else self.saying

    def is_of(self, kind: str, text: str) -> bool:
        """Whether an exception of a type of this name, with this text, is the one on record."""
        return kind in self.raises.split(" or ") and any(phrase in text for phrase in self.phrases)

    def surprise_raised(self, error: Exception) -> str:
        """What is not as recorded where the subject raised ``error``."""
        if self.is_of(type(error).__name__, str(error)):
            return ""
        return f"raised {type(error).__name__}, on record is {self.signature}"


def check_range(wanted: Mapping[str, str], where: Mapping[str, str]) -> None:
    """Raises ValueError where these say nothing that can be known of a subject."""
    for name, specifier in wanted.items():
        if name not in ("keras", "tensorflow"):
            raise ValueError(f"versions of {name!r}; known are keras, tensorflow")
        SpecifierSet(specifier)  # InvalidSpecifier is a ValueError
    for name, value in where.items():
        if value not in WHERE.get(name, ()):
            raise ValueError(f"where {name} = {value!r}; known are {KNOWN_WHERE}")


def within(wanted: Mapping[str, str], where: Mapping[str, str], versions: Mapping[str, str]) -> bool:
    """Whether versions are among those that are ``wanted``, and ``where`` they must be if they say so."""
    if any(versions.get(name, value) != value for name, value in where.items()):
        return False
    return all(
        name in versions and SpecifierSet(specifier).contains(versions[name], prereleases=True)
        for name, specifier in wanted.items()
    )


@lru_cache(maxsize=None)
def _expression(pattern: str) -> Pattern[str]:
    """A pattern compiled once: each test is held against those of all records. Its [ is the one of a test's name."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def load_register(path: Path = REGISTER) -> Tuple[Divergence, ...]:
    """The records of a register, their ids all different. Raises FixtureError."""
    return tuple(read_records(path, "divergence", Divergence))
