"""A run as lines of JSON: what ``pytest --report-log=results.jsonl`` leaves, with a header and a footer of ours.

::

    python -m conformance.report.results results.jsonl        the end of the run again; 0 if it is whole and green

pytest-reportlog writes a line for each phase of each test as it ends, so a run that is killed loses nothing that it had
done; without a footer it is incomplete. ``docs/results.schema.json`` describes the lines.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence

from _pytest.reports import pytest_report_from_serializable

from conformance.command import parser, run
from conformance.observation import Environment
from conformance.report.terminal import summarize

HEADER, FOOTER = "ConformanceHeader", "ConformanceFooter"

#: pytest's exit statuses of a run that was not stopped: all passed, or some tests failed.
ENDS = (0, 1)

#: What a header tells of a run; one of another version may lack some of it, but none the first.
NEEDED = ("keras", "backend", "tier")
HEADED = (*(own.name for own in fields(Environment)), "tier", "version", "chosen")

#: What a run may have of the tests of its tier: all, those of some files, some of those in a file.
ALL, FILES, SOME = "all", "files", "some"

#: How the data of a case are drawn; a change of it would make results incomparable.
SEEDS = "the first 32 bits of sha256(case id), for numpy.random.RandomState"


class ResultsError(Exception):
    """There is no such results file, or it is none; the message is one line that says which."""


@dataclass(frozen=True)
class Line:
    """A line of the results file that is no report of a test."""

    data: Mapping[str, Any]


@dataclass(frozen=True)
class Test:
    """A test that was run: how it ended, its properties, what pytest printed of it and what a report can draw of it."""

    node: str
    outcome: str
    properties: Mapping[str, Any]
    text: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_case(self) -> bool:
        return "case" in self.properties


@dataclass(frozen=True)
class Results:
    """What a results file tells: what was judged, the tests that were run, what pytest could not read and why, the end.

    Each test is there once, with its call or, where it did not come to that, with what failed instead.
    """

    header: Mapping[str, str]
    tests: Sequence[Test]
    unread: Mapping[str, str] = field(default_factory=dict)
    footer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cases(self) -> List[Mapping[str, Any]]:
        """The properties of each case."""
        return [test.properties for test in self.tests if test.is_case]

    @property
    def failed(self) -> FrozenSet[str]:
        """Tests that failed, and files that could not be read."""
        return frozenset((*self.unread, *(test.node for test in self.tests if test.outcome == "failed")))

    @property
    def passed(self) -> FrozenSet[str]:
        return frozenset(test.node for test in self.tests if test.outcome == "passed")

    @property
    def complete(self) -> bool:
        """Whether the run came to its end and every test was run."""
        return bool(self.footer) and len(self.tests) >= self.footer["collected"] and self.footer["exitstatus"] in ENDS

    @property
    def green(self) -> bool:
        """Whether it came to its end and nothing failed."""
        return self.complete and self.footer["exitstatus"] == 0 and not self.failed


def header(environment: Environment, version: str, tier: str, chosen: str) -> Line:
    """The header: what is judged, by which version of this project, and which tests: a tier, and what of it."""
    told = {"version": version, "tier": tier, "chosen": chosen, "seeds": SEEDS}
    return Line({"$report_type": HEADER, **told, **asdict(environment)})


def footer(exitstatus: int, collected: int) -> Line:
    """The footer: how the run ended and how many tests it had."""
    return Line({"$report_type": FOOTER, "exitstatus": int(exitstatus), "collected": collected})


def read(path: Path) -> Results:
    """Read a results file, the last line of which may be broken off. Raises ResultsError."""
    lines = list(_lines(path))
    try:
        return _results(lines)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{path}: a line is not as docs/results.schema.json says: {error!r}") from error
    except StopIteration:
        raise ResultsError(f"{path}: has no header of this project; was it written by pytest --report-log?") from None


def _results(lines: Sequence[Mapping[str, Any]]) -> Results:
    header = next(line for line in lines if line.get("$report_type") == HEADER)
    tests: Dict[str, Test] = {}
    for line in lines:
        test = _test(line) if line.get("$report_type") == "TestReport" else None
        if test and (line["when"] == "call" or test.outcome != "passed"):
            tests[test.node] = test
    return Results(
        header={name: str(header[name] if name in NEEDED else header.get(name, "")) for name in HEADED},
        tests=tuple(tests.values()),
        unread={str(line["nodeid"]): _text(line) for line in lines if _is_unread(line)},
        footer=next((line for line in lines if line.get("$report_type") == FOOTER), {}),
    )


def _is_unread(line: Mapping[str, Any]) -> bool:
    return line.get("$report_type") == "CollectReport" and line["outcome"] == "failed"


def _test(line: Mapping[str, Any]) -> Test:
    properties = dict(line["user_properties"])
    if "case" in properties:
        properties = {"case": properties["case"], "verdict": properties["verdict"], "ratio": 0.0, **properties}
    text = str(line.get("wasxfail") or _text(line))
    return Test(str(line["nodeid"]), str(line["outcome"]), properties, text, line.get("evidence") or {})


def _text(line: Mapping[str, Any]) -> str:
    """What pytest printed of a test or a file, as pytest prints it; ``node``, the worker that ran it, is gone."""
    report: Any = pytest_report_from_serializable({name: value for name, value in line.items() if name != "node"})
    return str(report.longreprtext)


def _lines(path: Path) -> Iterator[Dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
        except ValueError as error:
            if number < len(lines):
                raise ResultsError(f"{path}, line {number}: is no JSON: {error}") from error
            return
        if not isinstance(data, dict):
            raise ResultsError(f"{path}, line {number}: is no object")
        yield data


def describe(results: Results) -> Iterator[str]:
    """The end of the run, and whether there was one."""
    yield f"{results.header['keras']} on {results.header['backend']}, tier {results.header['tier']}"
    yield from summarize(results.cases)
    yield f"{len(results.passed)} passed, {len(results.failed)} failed"
    if not results.complete:
        yield f"INCOMPLETE: {len(results.tests)} of {results.footer.get('collected', 'the')} tests were run to the end"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = parser("conformance.report.results", __doc__)
    options.add_argument("file", type=Path, metavar="FILE")
    try:
        results = read(options.parse_args(arguments).file)
    except ResultsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(*describe(results), sep="\n")  # noqa: T201
    return 0 if results.green else 1


if __name__ == "__main__":
    run(main)
