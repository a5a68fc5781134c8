"""A run as one self-contained HTML page, made of a results file.

::

    python -m conformance.report.html results.jsonl report.html

Needs the extra ``report``, Jinja2 and Matplotlib; it runs on any machine and Python, away from the TensorFlow that was
judged. Whatever stands in the file is shown as text: Jinja2 escapes it, and a content security policy lets the page run
its own script alone.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from conformance.command import parser, run
from conformance.judge import CONFORMS, DIVERGES, KNOWN, UNSUPPORTED, UNTRUSTED
from conformance.report.results import Results, ResultsError, Test, read
from conformance.report.terminal import causes

FOLDER = Path(__file__).parent / "page"

#: Cases that are drawn: the first of each cause, and so many in all. The others have their reports in text.
FIRST_OF_A_CAUSE, DRAWN = 5, 60

#: Verdicts, and what other tests than cases come to: what a reader looks for first.
ORDER = (DIVERGES, "failed", KNOWN, UNTRUSTED, CONFORMS, "passed", UNSUPPORTED, "skipped")


@dataclass(frozen=True)
class Row:
    """A test as the page shows it; ``anchor`` is empty where there is nothing to be opened."""

    test: Test
    anchor: str
    drawn: bool = False

    @property
    def name(self) -> str:
        """The id of a case; else the test's own name, with its file."""
        return str(self.test.properties.get("case") or self.test.node.replace("tests/conformance/", ""))

    @property
    def verdict(self) -> str:
        return str(self.test.properties.get("verdict") or self.test.outcome)

    @property
    def topology(self) -> str:
        """The first word of a case's id, whatever was asked of it; the documents name their examples otherwise."""
        if "document" in self.test.properties:
            return "documented"
        return self.name.rpartition(" ")[2].partition("-")[0] if self.test.is_case else "no case"

    @property
    def message(self) -> str:
        """What is wrong, or on record, in a line."""
        lines = self.test.text.strip().splitlines() or [""]
        last = next((line[2:].strip() for line in lines if line.startswith("E ")), lines[0])
        said = str(self.test.properties.get("message") or (last if self.test.outcome != "passed" else ""))
        return said[len(DIVERGES) + 2 :] if said.startswith(f"{DIVERGES}: ") else said

    @property
    def ratio(self) -> str:
        ratio = self.test.properties.get("ratio")
        return "" if ratio is None or self.verdict == UNSUPPORTED else f"{float(ratio):.2g}"

    def pictures(self, part: str) -> List[Any]:
        """What is drawn of the test in a part of the page, in which it has a place of its own."""
        from markupsafe import Markup  # noqa: PLC0415 (comes with Jinja2, which need not be there)

        from conformance.report.pictures import pictures  # noqa: PLC0415 (needs Matplotlib)

        name = f"{part}-{hashlib.sha256(self.test.node.encode()).hexdigest()[:8]}"
        drawn = pictures(self.test.evidence, name) if self.drawn else ()
        return [picture._replace(svg=Markup(picture.svg)) for picture in drawn]


def missing() -> str:
    """What of the extra ``report`` is not installed, in a line, or an empty string."""
    absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if not absent:
        return ""
    return (
        f"needs {' and '.join(absent)} (pip install 'keras-lstm-conformance[report]'), on any machine that has the file"
    )


def render(results: Results) -> str:
    """The page. Needs what ``missing`` asks for. Raises ResultsError where the evidence of a test is none."""
    try:
        return _rendered(results)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"evidence of a test is not as docs/results.schema.json says: {error!r}") from error


def _rendered(results: Results) -> str:
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415

    rows = _rows(results.tests)
    template = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("page.html")
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    page: str = template.render(
        header=results.header,
        state=_state(results),
        counts=_counts(rows),
        causes=list(causes([case for case in results.cases if case["verdict"] == DIVERGES])),
        rows=rows,
        failing=[row for row in rows if row.anchor],
        documents=_documents(rows),
        unread=results.unread,
        words=sorted({word for row in rows if row.test.is_case for word in row.name.split("-")[1:]}),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page


def _rows(tests: Sequence[Test]) -> List[Row]:
    """Every test, those that fail with an anchor and the evidence of some of them drawn."""
    drawn = _drawn(tests)
    return [
        Row(test, f"test-{number}" if test.outcome == "failed" else "", number in drawn)
        for number, test in enumerate(tests)
    ]


def _drawn(tests: Sequence[Test]) -> Set[int]:
    """Which tests are drawn: the documented examples, the first of each cause, then the others as far as they go."""
    documented = {number for number, test in enumerate(tests) if test.evidence and "document" in test.properties}
    ranks: Dict[int, int] = {}
    times: Counter[str] = Counter()
    for number, test in enumerate(tests):
        if test.evidence and number not in documented:
            cause = str(test.properties.get("causes") or test.properties.get("message", ""))
            ranks[number] = max(0, times[cause] - FIRST_OF_A_CAUSE)
            times[cause] += 1
    return documented.union(sorted(ranks, key=ranks.__getitem__)[:DRAWN])


def _state(results: Results) -> Tuple[str, str]:
    """Whether the run is complete and green, as a word and a sentence."""
    ran, failed = len(results.tests), len(results.failed)
    if not results.complete:
        collected = results.footer.get("collected")
        return (
            "incomplete",
            f"Incomplete: {ran} tests{f' of {collected}' if collected else ''} were run, {failed} failed",
        )
    return (
        ("green", f"All of {ran} tests as they should be")
        if results.green
        else ("red", f"{failed} of {ran} tests fail")
    )


def _counts(rows: Sequence[Row]) -> Dict[str, Mapping[str, int]]:
    """For each topology how many rows have which verdict, the verdicts in the order of all."""
    verdicts = {row.verdict for row in rows}
    present = [verdict for verdict in ORDER if verdict in verdicts]
    own = {topology: Counter(row.verdict for row in rows if row.topology == topology) for topology in _topologies(rows)}
    return {topology: {verdict: count[verdict] for verdict in present} for topology, count in own.items()}


def _topologies(rows: Sequence[Row]) -> List[str]:
    found = Counter(row.topology for row in rows)
    return [topology for topology, _ in found.most_common()]


def _documents(rows: Sequence[Row]) -> Dict[str, List[Row]]:
    """The documented examples, by the document's title."""
    titles = dict.fromkeys(str(row.test.properties["document"]) for row in rows if "document" in row.test.properties)
    return {title: [row for row in rows if row.test.properties.get("document") == title] for title in titles}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = parser("conformance.report.html", __doc__)
    options.add_argument("results", type=Path, metavar="RESULTS")
    options.add_argument("page", type=Path, metavar="PAGE")
    chosen = options.parse_args(arguments)
    try:
        needed = missing()
        if needed:
            raise ResultsError(needed)
        page = render(read(chosen.results))
        chosen.page.write_text(page, encoding="utf-8", errors="backslashreplace")
    except (OSError, ResultsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    run(main)
