"""A run in brief: of each group of tests how many came to which verdict, and why.

A results file has megabytes; its summary has a few thousand bytes, is kept in ``docs/versions/`` and has all that the
page of versions shows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Collection, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from packaging.version import Version

from conformance.divergences import Divergence, load_register
from conformance.fixtures import FIXTURES
from conformance.judge import AGREES, KNOWN, UNSUPPORTED
from conformance.observation import versions
from conformance.report.results import ALL, FILES, Results, ResultsError, Test, read

#: Where the summaries are that the committed page is made of.
FOLDER = FIXTURES.parent / "docs" / "versions"
SUFFIX = ".json"

#: What a summary keeps of a header.
KEPT = ("keras", "backend", "numpy", "python", "onednn")

#: How the text of a skip ends, which is that of a tuple whose last item is the reason.
OF_A_TUPLE = re.compile(r"['\"][)\]]$")

#: A test that is no case and passed.
PASSED = "passed"
FAILED = "failed"

#: Kinds of versions, in the order of the page.
FAMILIES = {
    "tensorflow.keras 2": "Keras 2, of TensorFlow",
    "tensorflow.keras 3": "Keras 3",
    "keras 2": "Keras 2.3.1",
    "tf_keras 2": "tf_keras",
    "tensorflow.compat.v1.keras 2": "TensorFlow 1's layers",
}


@dataclass(frozen=True)
class Group:
    """What a run said of some tests.

    ``ratio`` is the largest of those that agree. ``records`` has how often each known divergence showed,
    ``unsupported`` how many tests were not run for what reason, ``failing`` the names of those that fail, ``unasked``
    how many tests that a record names, of whatever versions it is, were not run.
    """

    verdicts: Mapping[str, int]
    ratio: float
    records: Mapping[str, int]
    unsupported: Mapping[str, int]
    failing: Sequence[str]
    unasked: Mapping[str, int] = field(default_factory=dict)

    @property
    def tests(self) -> int:
        return sum(self.verdicts.values())

    @property
    def ran(self) -> int:
        return sum(count for verdict, count in self.verdicts.items() if verdict != UNSUPPORTED)

    @property
    def agreed(self) -> int:
        return sum(self.verdicts.get(verdict, 0) for verdict in (*AGREES, PASSED))


@dataclass(frozen=True)
class Summary:
    """A run in brief: the name of its environment, its tier, what was judged, and its groups of tests.

    ``chosen`` is what a run has of its tier's tests; of one kept before that was told it is empty.
    """

    name: str
    tier: str
    subject: Mapping[str, str]
    groups: Mapping[str, Group]
    chosen: str = ""

    @property
    def flavour(self) -> str:
        return self.subject["keras"].split()[0]

    @property
    def keras(self) -> str:
        return self.subject["keras"].split()[-1]

    @property
    def tensorflow(self) -> str:
        return self.subject["backend"].split()[-1]

    @property
    def versions(self) -> Dict[str, str]:
        """What registered divergences name of what was judged."""
        return versions(*(self.subject[name] for name in ("keras", "backend", "onednn")))

    @property
    def family(self) -> str:
        kind = f"{self.flavour} {self.keras.partition('.')[0]}"
        return FAMILIES.get(kind, kind)

    @property
    def title(self) -> str:
        return f"{self.subject['keras']} on {self.subject['backend']}"

    @property
    def tests(self) -> int:
        """How many tests were there to run."""
        return sum(group.tests for group in self.groups.values())

    @cached_property
    def records(self) -> Mapping[str, int]:
        """How many tests showed each known divergence."""
        return _total(group.records for group in self.groups.values())

    @cached_property
    def unasked(self) -> Mapping[str, int]:
        """How many of the tests that each known divergence names were not run."""
        return _total(group.unasked for group in self.groups.values())

    @cached_property
    def unsupported(self) -> Mapping[str, int]:
        """How many tests were not run, for what reason."""
        return _total(group.unsupported for group in self.groups.values())

    def of(self, names: Collection[str]) -> Summary:
        """What it says of some groups."""
        return replace(self, groups={name: group for name, group in self.groups.items() if name in names})

    @property
    def failing(self) -> List[str]:
        return [name for group in self.groups.values() for name in group.failing]


def _total(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def order(summaries: Sequence[Summary]) -> List[Summary]:
    """As the page has them: by family, and in each by version."""
    families = list(FAMILIES.values())

    def place(summary: Summary) -> Tuple[int, Version, Version]:
        known = summary.family in families
        return (
            families.index(summary.family) if known else len(families),
            Version(summary.keras),
            Version(summary.tensorflow),
        )

    return sorted(summaries, key=place)


def summarize(results: Results, name: str) -> Summary:
    """A whole run in brief. Raises ResultsError if it did not come to its end."""
    if not results.complete:
        raise ResultsError(f"{name}: the run did not come to its end")
    subject = {kept: results.header[kept] for kept in KEPT}
    groups: Dict[str, List[Test]] = {}
    for test in results.tests:
        groups.setdefault(_group_of(test), []).append(test)
    register = load_register()
    made = {group: _group(tests, subject, register) for group, tests in sorted(groups.items())}
    return Summary(name, results.header["tier"], subject, made, results.header["chosen"])


def updated(kept: Summary, run: Summary) -> Summary:
    """What is known of a version after one more run.

    A run of all tests says all anew, and so does one of as many tests that has every group. Another has only its groups
    replaced, those of whole files, or that it has as many tests of; one of another version, or of fewer tests
    throughout, changes nothing.
    """
    of_tier = run.chosen if run.tier == kept.tier else ""
    if of_tier == ALL or (run.tests >= kept.tests and set(kept.groups) <= set(run.groups)):
        return run
    if run.versions != kept.versions:
        return kept
    had = {name: group.tests for name, group in kept.groups.items() if of_tier != FILES}
    whole = {name: group for name, group in run.groups.items() if group.tests >= had.get(name, 0)}
    return replace(kept, groups={**kept.groups, **whole})


def load(path: Path) -> Summary:
    """The summary of a results file, whose name tells that of its environment, or one that was kept.

    Raises ResultsError.
    """
    if path.suffix == SUFFIX:
        return _kept(path)
    results = read(path)
    tier = f"-{results.header['tier']}"
    return summarize(results, path.stem[: -len(tier)] if path.stem.endswith(tier) else path.stem)


def _kept(path: Path) -> Summary:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Summary(**{**data, "groups": {name: Group(**group) for name, group in data["groups"].items()}})
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultsError(f"{path}: is no summary of a run: {error!r}") from error


def keep(summary: Summary, folder: Path = FOLDER) -> Path:
    """Write a summary where the page finds it."""
    path = folder / f"{summary.name}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(summary), indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _group_of(test: Test) -> str:
    """The topology of a case of the option space; of any other test the file it stands in."""
    file = test.node.partition("::")[0].rpartition("/")[2][len("test_") : -len(".py")].replace("_", " ")
    if file != "space":
        return file
    return f"{test.properties.get('case', '').partition('-')[0]} of the option space".replace("_", " ")


def _group(tests: Sequence[Test], subject: Mapping[str, str], register: Sequence[Divergence]) -> Group:
    unsupported = [test for test in tests if _verdict(test) == UNSUPPORTED]
    verdicts = Counter(map(_verdict, tests))
    ratios = [float(test.properties["ratio"]) for test in tests if test.properties.get("verdict") in AGREES]
    return Group(
        verdicts=dict(verdicts),
        ratio=float(f"{max(ratios, default=0.0):.2g}"),
        records=dict(Counter(str(test.properties["record"]) for test in tests if "record" in test.properties)),
        unsupported=dict(Counter(_reason(test, subject) for test in unsupported)),
        failing=sorted(_name(test) for test in tests if test.outcome == FAILED),
        unasked=dict(Counter(record.id for test in unsupported for record in _naming(test, register))),
    )


def _naming(test: Test, register: Sequence[Divergence]) -> Iterator[Divergence]:
    name = test.node.partition("::")[2]
    return (record for record in register if record.covers_test(name))


def _verdict(test: Test) -> str:
    """The verdict of a case; any other test that is on record or was not run is called as a case is."""
    if "record" in test.properties:
        return KNOWN
    if test.outcome == "skipped":
        return UNSUPPORTED
    return str(test.properties.get("verdict") or test.outcome)


def _reason(test: Test, subject: Mapping[str, str]) -> str:
    """Why a test was not run, without the versions that everything in this run is of."""
    reason = OF_A_TUPLE.sub("", test.text.rpartition("Skipped: ")[2])
    for said, name in ((subject["keras"], "Keras"), (subject["backend"], "TensorFlow")):
        reason = reason.replace(said, name)
    return " ".join(reason.split())


def _name(test: Test) -> str:
    return str(test.properties.get("case") or test.node.partition("::")[2])
