"""A run as Markdown, for the summary page of a CI job."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

from conformance.judge import DIVERGES
from conformance.observation import Environment
from conformance.report.terminal import causes

#: What Markdown or HTML would take for its own.
ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|#~&"})

#: A summary page shows a megabyte; these are far less.
MOST = 200


def render(
    environment: Environment, cases: Sequence[Mapping[str, Any]], failed: Sequence[Tuple[str, str]]
) -> Iterator[str]:
    """The lines: verdicts, causes, and failing tests. ``failed`` has the node id and the message of each of those."""
    yield f"## {escape(environment.lines[0])}"
    yield ""
    if cases:
        yield from table(("verdict", "cases"), Counter(case["verdict"] for case in cases).most_common())
    failing = [case for case in cases if case["verdict"] == DIVERGES]
    if failing:
        yield from table(
            ("cases", "cause", "such as"), [(count, cause, such) for count, cause, such in causes(failing)]
        )
    if failed:
        yield from table(("failing test", "message"), failed[:MOST])
    yield f"{len(failed) or 'No'} failing tests" + (f", of which {MOST} are shown" if len(failed) > MOST else "")


def escape(text: Any) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(str(text).translate(ESCAPED).split())


def table(head: Tuple[str, ...], rows: Sequence[Tuple[Any, ...]]) -> List[str]:
    """The lines of a table, and an empty one."""
    lines = [head, ("---",) * len(head), *(tuple(map(escape, row)) for row in rows)]
    return [*(f"| {' | '.join(map(str, line))} |" for line in lines), ""]
