"""A run as lines of JSON: what ``pytest --report-log=results.jsonl`` leaves, with a header and a footer of ours.

::

    python -m conformance.report.results results.jsonl        the end of the run again; 0 if it is whole and green

pytest-reportlog writes a line for each phase of each test as it ends, so a run that is killed loses nothing that it had
done; without a footer it is incomplete. ``docs/results.schema.json`` describes the lines.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Sequence

from conformance.observation import Environment
from conformance.report.terminal import summarize

HEADER, FOOTER = "ConformanceHeader", "ConformanceFooter"

#: pytest's exit statuses of a run that was not stopped: all passed, or some tests failed.
ENDS = (0, 1)

#: How the data of a case are drawn; a change of it would make results incomparable.
SEEDS = "the first 32 bits of sha256(case id), for numpy.random.RandomState"


class ResultsError(Exception):
    """There is no such results file, or it is none; the message is one line that says which."""


@dataclass(frozen=True)
class Line:
    """A line of the results file that is no report of a test."""

    data: Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """What a results file tells: what was judged, the properties of each case, the tests that failed, and the end."""

    header: Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]]
    run: FrozenSet[str]
    passed: FrozenSet[str]
    failed: FrozenSet[str]
    footer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end and every test was run."""
        return bool(self.footer) and len(self.run) >= self.footer["collected"] and self.footer["exitstatus"] in ENDS

    @property
    def green(self) -> bool:
        """Whether it came to its end and nothing failed."""
        return self.complete and self.footer["exitstatus"] == 0 and not self.failed


def header(environment: Environment, version: str, tier: str) -> Line:
    """The header: what is judged, by which version of this project, and which cases."""
    return Line({"$report_type": HEADER, "version": version, "tier": tier, "seeds": SEEDS, **asdict(environment)})


def footer(exitstatus: int, collected: int) -> Line:
    """The footer: how the run ended and how many tests it had."""
    return Line({"$report_type": FOOTER, "exitstatus": int(exitstatus), "collected": collected})


def read(path: Path) -> Results:
    """Read a results file, the last line of which may be broken off. Raises ResultsError."""
    lines = list(_lines(path))
    try:
        return _results(lines)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{path}: a line is not as docs/results.schema.json says: {error!r}") from error
    except StopIteration:
        raise ResultsError(f"{path}: has no header of this project; was it written by pytest --report-log?") from None


def _results(lines: Sequence[Mapping[str, Any]]) -> Results:
    header = next(line for line in lines if line.get("$report_type") == HEADER)
    reports = [line for line in lines if line.get("$report_type") == "TestReport"]
    calls = [report for report in reports if report["when"] == "call"]
    properties = [dict(report["user_properties"]) for report in calls]
    collecting = [line for line in lines if line.get("$report_type") == "CollectReport"]
    return Results(
        header={name: str(header[name]) for name in ("keras", "backend", "tier")},
        cases=[
            {"case": own["case"], "verdict": own["verdict"], "ratio": 0.0, **own} for own in properties if "case" in own
        ],
        run=frozenset(report["nodeid"] for report in reports),
        passed=frozenset(report["nodeid"] for report in calls if report["outcome"] == "passed"),
        failed=frozenset(report["nodeid"] for report in (*reports, *collecting) if report["outcome"] == "failed"),
        footer=next((line for line in lines if line.get("$report_type") == FOOTER), {}),
    )


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
        yield f"INCOMPLETE: {len(results.run)} of {results.footer.get('collected', 'the')} tests were run to the end"


def main(arguments: List[str]) -> int:
    try:
        (path,) = arguments
        results = read(Path(path))
    except (ValueError, ResultsError) as error:
        usage = "usage: python -m conformance.report.results FILE"
        print(usage if isinstance(error, ValueError) else error, file=sys.stderr)  # noqa: T201
        return 2
    print(*describe(results), sep="\n")  # noqa: T201
    return 0 if results.green else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
