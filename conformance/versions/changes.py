"""What changed between two versions, in sentences, worst first."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, FrozenSet, Iterator, List, Sequence

from conformance.divergences import Divergence
from conformance.fixtures import FIXTURES
from conformance.promises import Promise
from conformance.versions.summary import Summary

SILENT, DIES, RAISES, BAD_INPUT = "silently wrong", "the process dies", "raises", "bad input"

#: What a departure does to who meets it, the worst first, with what is said of all that do so.
KINDS: Dict[str, str] = {
    SILENT: "Another result than promised, without a word",
    DIES: "The process dies",
    RAISES: "An exception where a result was promised",
    BAD_INPUT: "Bad input that is let pass, or refused without saying what is wrong",
}

#: The file whose tests give bad input.
OF_BAD_INPUT = FIXTURES.parent / "tests" / "conformance" / "test_bad_input.py"


def kind(record: Divergence) -> str:
    """What a departure does to who meets it."""
    if record.crashes:
        return DIES
    if not record.cases and {pattern.partition("[")[0] for pattern in record.tests} <= _tests_of_bad_input():
        return BAD_INPUT
    return SILENT if record.is_silent else RAISES


@lru_cache(maxsize=None)
def _tests_of_bad_input() -> FrozenSet[str]:
    return frozenset(re.findall(r"^def (test_\w+)", OF_BAD_INPUT.read_text(encoding="utf-8"), re.MULTILINE))


def covering(register: Sequence[Divergence], summary: Summary) -> List[Divergence]:
    """The records that are about a version, the worst first, then those that most tests show."""
    about = [record for record in register if record.concerns(summary.versions)]
    ranks = list(KINDS)
    return sorted(about, key=lambda record: (ranks.index(kind(record)), -summary.records.get(record.id, 0)))


@dataclass(frozen=True)
class Changes:
    """From one version to another: the records that are about only one of them, and what else only one shows.

    A record is ``brought`` and not ``worse`` where the old version could run none of its tests, and ``gone`` and not
    ``better`` where the new one can run none. ``promised`` are the promises that only one of them makes, ``failing``
    the names of tests that fail in the new version alone, ``not_run`` and ``run`` why tests were run only in the old
    one and only in the new one, of the groups that had the same tests in both; ``unalike`` are the others.
    """

    old: Summary
    new: Summary
    worse: Sequence[Divergence]
    brought: Sequence[Divergence]
    better: Sequence[Divergence]
    gone: Sequence[Divergence]
    promised: Sequence[Promise]
    failing: Sequence[str]
    not_run: Sequence[str]
    run: Sequence[str]
    unalike: Sequence[str]

    @property
    def any(self) -> bool:
        told = (self.worse, self.brought, self.better, self.gone, self.promised, self.failing, self.not_run, self.run)
        return any(told)


def changes(old: Summary, new: Summary, register: Sequence[Divergence], promises: Sequence[Promise]) -> Changes:
    """What changed from one version to another."""
    before, after = covering(register, old), covering(register, new)
    tests_before = {name: group.tests for name, group in old.groups.items()}
    alike = {name for name, group in new.groups.items() if group.tests == tests_before.get(name)}
    not_run_before, not_run_now = old.of(alike).unsupported, new.of(alike).unsupported
    more = [record for record in after if record not in before]
    fewer = [record for record in before if record not in after]
    brought = [record for record in more if _only_in(new, old, record)]
    gone = [record for record in fewer if _only_in(old, new, record)]
    return Changes(
        old,
        new,
        worse=[record for record in more if record not in brought],
        brought=brought,
        better=[record for record in fewer if record not in gone],
        gone=gone,
        promised=[one for one in promises if one.concerns(old.versions) != one.concerns(new.versions)],
        failing=[name for name in new.failing if name not in old.failing],
        not_run=[reason for reason in not_run_now if reason not in not_run_before],
        run=[reason for reason in not_run_before if reason not in not_run_now],
        unalike=[name for name in new.groups if name not in alike],
    )


def _only_in(one: Summary, other: Summary, record: Divergence) -> bool:
    """Whether one version shows a record, and the other could run none of the tests that the record names."""
    shown = one.records.get(record.id, 0)
    return bool(shown) and shown + one.unasked.get(record.id, 0) == other.unasked.get(record.id, 0)


def sentences(changed: Changes) -> Iterator[str]:
    """Lines to read: what is worse in the new version, the worst first, then what is better."""
    yield f"from {changed.old.title} to {changed.new.title}: {_in_short(changed)}"
    yield from (f"fails, and is on no record: {name}" for name in changed.failing)
    yield from (f"documented otherwise: {promise.says} ({promise.id})" for promise in changed.promised)
    yield from _of_each_kind("worse", changed.worse, changed.new, "before", (*changed.better, *changed.gone))
    yield from _of_each_kind(f"in what {changed.old.keras} did not have", changed.brought, changed.new)
    yield from (
        f"can no longer be run: {reason} ({tests(changed.new.unsupported[reason])})" for reason in changed.not_run
    )
    yield from _of_each_kind("better, no longer so", changed.better, changed.old, "now", changed.worse)
    yield from _of_each_kind("gone with what it was in", changed.gone, changed.old)
    yield from (
        f"can be run now, but not in {changed.old.keras}: {reason} ({tests(changed.old.unsupported[reason])})"
        for reason in changed.run
    )
    if changed.unalike:
        yield f"what can be run is not compared where the two runs had other tests: {', '.join(changed.unalike)}"


def _in_short(changed: Changes) -> str:
    """How much of what kind changes."""
    if not changed.any:
        return "nothing changes that this suite asks for"
    kinds = Counter(map(kind, changed.worse))
    of_kinds = ", ".join(f"{kinds[name]} {name}" for name in KINDS if kinds[name])
    brought = f", {len(changed.brought)} in what {changed.old.keras} did not have" if changed.brought else ""
    gone = f", {len(changed.gone)} gone with what they were in" if changed.gone else ""
    promised = f"{len(changed.promised)} documented otherwise, " if changed.promised else ""
    worse = f"{len(changed.worse)} worse" + (f" ({of_kinds})" if of_kinds else "")
    return f"{promised}{worse}{brought}, {len(changed.better)} better{gone}"


def _of_each_kind(
    word: str, records: Sequence[Divergence], shown: Summary, then: str = "", others: Sequence[Divergence] = ()
) -> Iterator[str]:
    """Records in sentences; each names the ``others`` that are about the same, by which it was, or is, otherwise."""
    for record in records:
        akin = " and ".join(other.id for other in others if record.overlaps(other))
        told = ", ".join((record.id, *_count(record, shown), *([f"{then} {akin}"] if akin else [])))
        yield f"{word}, {kind(record)}: {record.departs} ({told})"


def _count(record: Divergence, shown: Summary) -> List[str]:
    """How many tests showed it; none may where only the smoke tier was run."""
    count = shown.records.get(record.id, 0)
    return [tests(count)] if count else []


def tests(count: int) -> str:
    return f"{count} test" + ("s" if count != 1 else "")


def unexplained(summary: Summary, register: Sequence[Divergence]) -> Iterator[str]:
    """What the register does not say of a version as its run showed it, in lines."""
    about = {record.id for record in register if record.concerns(summary.versions)}
    for name in summary.failing:
        yield f"{summary.name}: {name} fails, and is on no record"
    for name in sorted(set(summary.records) - about):
        yield f"{summary.name}: {name} showed, but the register has no such record of this version"
