"""Reports for Keras: one for each record that the newest version shows and no thread tells of, in Markdown."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Sequence

from packaging.version import Version

from conformance.divergences import Divergence
from conformance.report.markdown import ESCAPED, escape
from conformance.versions.changes import KINDS, covering, kind
from conformance.versions.summary import Summary

#: Whose order tells when a departure began: Keras as TensorFlow brings it, and Keras as a package of its own.
FLAVOURS = ("tensorflow.keras", "keras")


def reports(summaries: Sequence[Summary], register: Sequence[Divergence]) -> Dict[str, List[str]]:
    """The lines of all reports, and of their table of contents, by the names of their files."""
    versions = sorted(
        (summary for summary in summaries if summary.flavour in FLAVOURS),
        key=lambda summary: (Version(summary.keras), Version(summary.tensorflow)),
    )
    if not versions:
        return {}
    shown = covering(register, versions[-1])
    made = {_file(record): list(_report(record, versions)) for record in shown if not record.upstream}
    return {"README.md": list(_contents(shown, versions)), **made}


def _file(record: Divergence) -> str:
    return f"{record.id}.md"


def _report(record: Divergence, versions: Sequence[Summary]) -> Iterator[str]:
    *_, newest = versions
    yield f"# {escape(record.departs)}"
    yield ""
    yield f"{newest.title}, Python {newest.subject['python']}."
    yield f"First bad version of Keras: {_first_bad(record, versions)}."
    yield f"All that are bad: {', '.join(f'`{name} {bad}`' for name, bad in record.versions.items())}."
    yield ""
    yield "```python"
    yield record.program.strip()
    yield "```"
    yield ""
    yield "## What happens"
    yield ""
    yield _ending(record)
    yield ""
    yield _prose(record.why)
    yield ""
    yield "## What was promised"
    yield ""
    yield record.promised.strip()
    yield ""


def _contents(shown: Sequence[Divergence], versions: Sequence[Summary]) -> Iterator[str]:
    yield f"# Reports for {versions[-1].title}"
    yield ""
    yield from INTRODUCTION
    for of_kind, said in KINDS.items():
        records = [record for record in shown if kind(record) == of_kind]
        if records:
            yield f"## {said}"
            yield ""
            yield "| what departs | first bad Keras | |"
            yield "| --- | --- | --- |"
            for record in records:
                link = f"[thread]({record.upstream})" if record.upstream else f"[report]({_file(record)})"
                yield f"| {escape(record.departs)} | {_first_bad(record, versions)} | {link} |"
            yield ""


def _first_bad(record: Divergence, versions: Sequence[Summary]) -> str:
    """The oldest version that shows it, and the one before, both of those that were judged."""
    first = [record.concerns(summary.versions) for summary in versions].index(True)
    if not first:
        return f"{versions[0].keras} (nothing older was judged)"
    before, bad = versions[first - 1 : first + 1]
    if before.keras != bad.keras:
        return f"{bad.keras} ({before.keras} is without it)"
    return f"{bad.keras} of TensorFlow {bad.tensorflow} (that of {before.tensorflow} is without it)"


def _ending(record: Divergence) -> str:
    """What the program comes to."""
    if re.search(r"\bassert\b|AssertionError", record.program):
        return "The program ends in an AssertionError."
    words = f" with the words “{_prose(record.phrases[0])}”" if len(record.phrases) == 1 else ""
    return f"The program raises {record.raises}{words}."


def _prose(text: str) -> str:
    """Text of which Markdown takes nothing for its own but what stands between backticks."""
    parts = text.split("`")
    return " ".join("`".join(part if n % 2 else part.translate(ESCAPED) for n, part in enumerate(parts)).split())


INTRODUCTION = (
    "One report for each departure on record that no thread we know of tells of: a program, what it comes to, what the",
    "documentation promises, and since when; the worst first. Where there is a thread, it is given instead.",
    "Every program is run as a test. Written by `python -m conformance.versions upstream`, from",
    "[`fixtures/divergences.toml`](../../fixtures/divergences.toml).",
    "",
)
