"""The page of versions: HTML that needs nothing beside it, and its twin in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple, Union

from conformance.divergences import Divergence
from conformance.promises import Promise
from conformance.report.html import FOLDER as OF_THE_REPORT
from conformance.report.markdown import escape, table
from conformance.versions.changes import KINDS, changes, kind, sentences, tests
from conformance.versions.summary import Group, Summary, order

FOLDER = Path(__file__).parent / "page"

#: What is said of promises that not all versions make.
OTHERWISE = "Another result, as the documentation of each version has it"

#: Where no test says anything of a version.
NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """What a version shows in a group of tests; ``group`` is None where none of them was run."""

    summary: Summary
    name: str
    group: Optional[Group]

    @property
    def text(self) -> str:
        """How many of the tests that were run agree, of how many, and the largest ratio of those."""
        if self.group is None or not self.group.ran:
            return NOTHING
        ratio = f" {self.group.ratio:.2g}" if self.group.ratio else ""
        failing = f" {len(self.group.failing)}!" if self.group.failing else ""
        return f"{self.group.agreed}/{self.group.ran}{ratio}{failing}"

    @property
    def state(self) -> str:
        """How it is coloured."""
        if self.group is None or not self.group.ran:
            return "nothing"
        if self.group.failing:
            return "failing"
        return "known" if self.group.records else "agrees"

    @property
    def opens(self) -> bool:
        """Whether there is more to say of it."""
        return self.group is not None and bool(self.group.records or self.group.failing or self.group.unsupported)

    @property
    def anchor(self) -> str:
        return f"{self.summary.name}-{self.name}".replace(" ", "-")


@dataclass(frozen=True)
class Departure:
    """A record as the page shows it: the versions that it is about."""

    record: Divergence
    versions: Sequence[Summary]
    ranges: str


@dataclass(frozen=True)
class Page:
    """All that is shown."""

    versions: Sequence[Summary]
    families: Sequence[Tuple[str, Sequence[Summary]]]
    rows: Sequence[Tuple[str, Sequence[Cell]]]
    departures: Sequence[Tuple[str, Sequence[Departure]]]
    promises: Sequence[Tuple[Promise, str]]
    steps: Sequence[Sequence[str]]


def page(summaries: Sequence[Summary], register: Sequence[Divergence], promises: Sequence[Promise]) -> Page:
    """What the page shows of these versions."""
    versions = order(summaries)
    families = [(name, list(group)) for name, group in groupby(versions, key=lambda summary: summary.family)]
    names = sorted({name for summary in versions for name in summary.groups})
    return Page(
        versions,
        families,
        [(name, [Cell(summary, name, summary.groups.get(name)) for summary in versions]) for name in names],
        [(said, list(_departures(of_kind, families, register))) for of_kind, said in KINDS.items()],
        [(promise, _ranges(promise, families)) for promise in promises],
        [list(sentences(changes(*pair, register, promises))) for pair in _steps(versions)],
    )


def _departures(
    of_kind: str, families: Sequence[Tuple[str, Sequence[Summary]]], register: Sequence[Divergence]
) -> Iterator[Departure]:
    """The records of a kind that are about some of the versions, those that are about most first."""
    found = []
    for record in register:
        if kind(record) == of_kind:
            about = [summary for _, family in families for summary in family if record.concerns(summary.versions)]
            found.append(Departure(record, about, _ranges(record, families)))
    yield from sorted((one for one in found if one.versions), key=lambda one: -len(one.versions))


def _ranges(record: Union[Divergence, Promise], families: Sequence[Tuple[str, Sequence[Summary]]]) -> str:
    """The versions that a record is about, or that make a promise, in words."""
    told = []
    for name, family in families:
        about = [record.concerns(summary.versions) for summary in family]
        if all(about):
            told.append(f"{name} (all)" if len(family) > 1 else name)
        elif any(about):
            told.append(f"{name}: {', '.join(_runs(family, about))}")
    return "; ".join(told)


def _runs(family: Sequence[Summary], about: Sequence[bool]) -> Iterator[str]:
    """Unbroken runs of versions, each by its first and its last; of one Keras only some TensorFlows may be meant."""
    for holds, run in groupby(zip(family, about), key=lambda item: item[1]):
        if holds:
            yield _run([summary for summary, _ in run], family)


def _run(run: Sequence[Summary], family: Sequence[Summary]) -> str:
    first, last = run[0], run[-1]
    if first.keras != last.keras:
        return f"{_whole(first, run, family) or _one(first)} – {_whole(last, run, family) or _one(last)}"
    return _whole(first, run, family) or _one(first) + (f" – {last.tensorflow}" if first != last else "")


def _whole(summary: Summary, run: Sequence[Summary], family: Sequence[Summary]) -> str:
    """A Keras by its version, if a run has it on every TensorFlow."""
    return summary.keras if all(other in run for other in family if other.keras == summary.keras) else ""


def _one(summary: Summary) -> str:
    return f"{summary.keras} on TensorFlow {summary.tensorflow}"


def _steps(versions: Sequence[Summary]) -> Iterator[Tuple[Summary, Summary]]:
    """Neighbours among the versions of TensorFlow's Keras."""
    chain = [summary for summary in versions if summary.flavour == "tensorflow.keras"]
    yield from zip(chain, chain[1:])


def markdown(shown: Page) -> Iterator[str]:
    """The lines of the page in Markdown."""
    yield "# Across versions"
    yield ""
    yield from INTRODUCTION
    for said, departures in shown.departures:
        yield f"## {said}"
        yield ""
        rows = [(one.record.departs, one.ranges, one.record.id) for one in departures]
        yield from table(("what departs", "in", "record"), rows)
    yield f"## {OTHERWISE}"
    yield ""
    yield from table(
        ("what is promised", "in", "promise"), [(one.says, ranges, one.id) for one, ranges in shown.promises]
    )
    yield "## From each version to the next"
    yield ""
    for head, *lines in shown.steps:
        yield f"**{escape(head)}**"
        yield ""
        yield from (f"- {escape(line)}" for line in lines)
        yield ""
    yield "## All versions"
    yield ""
    yield from LEGEND
    for number, (family, versions) in enumerate(shown.families):
        yield f"### {family}"
        yield ""
        first = sum(len(others) for _, others in shown.families[:number])
        columns = slice(first, first + len(versions))
        columns_of = ("tests", *(f"{version.keras} on {version.tensorflow}, {version.tier}" for version in versions))
        yield from table(columns_of, [(name, *(cell.text for cell in cells[columns])) for name, cells in shown.rows])


INTRODUCTION = (
    "Written by `python -m conformance.versions page`, from what is kept of the results of `tox run -m matrix` in",
    "[`versions/`](versions) and from [`fixtures/divergences.toml`](../fixtures/divergences.toml), which has why each",
    "departs, a link upstream and a program that shows it. [`versions.html`](versions.html) is the same, to be opened.",
    "",
    "`python -m conformance.versions diff tf2.4 tf2.21` says what changes between two of them:",
    "`tf2.4` is TensorFlow 2.4 with the Keras it brings, `tf2.18-keras3.7` a Keras of its own.",
    "",
)

LEGEND = (
    "`35/42 0.45`: of 42 tests that this version can run, 35 have the promised result, 7 depart as is on record,",
    "and the largest error of those 35 is 0.45 of its tolerance. `2!`: 2 fail and are on no record. –: nothing to",
    "run, or not run yet.",
    "",
)


def html(shown: Page) -> str:
    """The page in HTML. Needs Jinja2."""
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415 (need not be there)

    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    style = "".join((folder / "page.css").read_text(encoding="utf-8") for folder in (OF_THE_REPORT, FOLDER))
    rendered: str = environment.get_template("page.html").render(
        page=shown, otherwise=OTHERWISE, style=style, tests=tests
    )
    return rendered
