"""Covering arrays over the option space: which rows of words the cases are.

::

    python -m conformance.covering        draw what is missing and write fixtures/cases/, which freezes it

needs allpairspy (``pip install -e ".[cases]"``) for a topology that has no cases yet. It may miss combinations where
many exclude each other; what it misses is added, one row for as many as go together. Cases that exist stay.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from conformance.command import parser
from conformance.expected import sees
from conformance.fixtures import FIXTURES
from conformance.space import OF_GRADIENTS, TOPOLOGIES, Row, Topology

#: Where the arrays are kept, each a file of ids.
CASES = FIXTURES / "cases"

#: Words of two or three options.
Combination = Tuple[Tuple[str, str], ...]

#: By tier, of how many options every combination of words is in some case of each topology.
STRENGTHS = {"default": 2, "full": 3}
TIERS = ("smoke", *STRENGTHS)

#: By array, the topologies that it covers, and of how many options it has every combination of words.
ARRAYS = {**{tier: (TOPOLOGIES, strength) for tier, strength in STRENGTHS.items()}, "gradients": (OF_GRADIENTS, 2)}

#: For an option a word that runs twice or in a graph, and one that does not.
QUICKER = (("steps", "open_steps", "T4"), ("mode", "predict_on_batch", "call"))


def combinations_of(row: Row, strength: int) -> Set[Combination]:
    """The combinations of so many words in a row."""
    return set(combinations(sorted(row.items()), strength))


def allowed(topology: Topology, strength: int) -> Iterator[Combination]:
    """Every combination that some row has: those that can be completed."""
    for options in combinations(sorted(topology.options), strength):
        for words in product(*(topology.options[option] for option in options)):
            combination = tuple(zip(options, words))
            if completed(topology, dict(combination)) is not None:
                yield combination


def completed(topology: Topology, row: Row, wanted: Sequence[Combination] = ()) -> Optional[Dict[str, str]]:
    """A row with these words, and with those of ``wanted`` that it can have beside; None where there is none."""
    if not topology.allows(row):
        return None
    best = dict(row)
    for combination in wanted:
        more = {**best, **dict(combination)}
        if all(best.get(option, word) == word for option, word in combination) and _completed(topology, more):
            best = more
    return _completed(topology, best)


def _completed(topology: Topology, row: Row) -> Optional[Dict[str, str]]:
    """Fill the open options one after another, going back where words exclude each other."""
    if not topology.allows(row):
        return None
    missing = next((option for option in topology.options if option not in row), None)
    if missing is None:
        return dict(row)
    for word in topology.options[missing]:
        found = _completed(topology, {**row, missing: word})
        if found is not None:
            return found
    return None


def drawn(topology: Topology, strength: int) -> List[Dict[str, str]]:
    """The rows allpairspy makes; it comes further where the options of many words come first."""
    from allpairspy import AllPairs  # noqa: PLC0415  needed by this command alone

    options = sorted(topology.options, key=lambda option: -len(topology.options[option]))
    rows = AllPairs(
        [list(topology.options[option]) for option in options],
        filter_func=lambda words: topology.allows(dict(zip(options, words))),
        n=strength,
    )
    return [dict(zip(options, row)) for row in rows]


def counts(topology: Topology, row: Row) -> bool:
    """Whether a row tries its words: its case can see the weights, or is about seeing none of them."""
    return row.get("mask") == "all_masked" or sees(topology.case(topology.id(row)))


def covering(topology: Topology, strength: int, known: Sequence[str] = ()) -> List[str]:
    """The ids of rows in which every allowed combination occurs, ``known`` ones first."""
    rows = [topology.row(case_id) for case_id in known] or drawn(topology, strength)
    rows = [row for row in rows if counts(topology, row)]
    covered = {combination for row in rows for combination in combinations_of(row, strength)}
    missing = [combination for combination in allowed(topology, strength) if combination not in covered]
    while missing:
        row = _telling(topology, missing)
        rows.append(row)
        covered = combinations_of(row, strength)
        missing = [combination for combination in missing if combination not in covered]
    return [topology.id(row) for row in _needed(_thrifty(topology, rows, strength), strength)]


def _thrifty(topology: Topology, rows: Sequence[Row], strength: int) -> List[Dict[str, str]]:
    """The rows with quick words in place of slow ones, where other rows do for the combinations that go."""
    times = Counter(combination for row in rows for combination in combinations_of(row, strength))
    thrifty = [dict(row) for row in rows]
    for (option, slow, quick), row in product(QUICKER, thrifty):
        cheap = {**row, option: quick}
        gone = combinations_of(row, strength) - combinations_of(cheap, strength)
        needless = row.get(option) == slow and min(times[combination] for combination in gone) > 1
        if needless and topology.allows(cheap) and counts(topology, cheap):
            times.subtract(gone)
            times.update(combinations_of(cheap, strength) - combinations_of(row, strength))
            row.update(cheap)
    return thrifty


def _needed(rows: Sequence[Row], strength: int) -> Iterator[Row]:
    """The rows without those all of whose combinations others have too."""
    times = Counter(combination for row in rows for combination in combinations_of(row, strength))
    for row in rows:
        own = combinations_of(row, strength)
        if min(times[combination] for combination in own) > 1:
            times.subtract(own)
        else:
            yield row


def _telling(topology: Topology, missing: Sequence[Combination]) -> Dict[str, str]:
    """A row that counts, with the first missing combination and others that go with it, whichever those are."""
    for start in range(1, len(missing) + 1):
        row = completed(topology, dict(missing[0]), [*missing[start:], *missing[1:start]])
        if row is not None and counts(topology, row):
            return row
    raise ValueError(f"{topology.name}: no case sees anything with {dict(missing[0])}")


def words_of(case_id: str) -> Set[Tuple[str, str]]:
    """For each option the word that an id has, and its topology."""
    topology = TOPOLOGIES[case_id.split("-", maxsplit=1)[0]]
    return {("topology", topology.name), *topology.row(case_id).items()}


def essence(ids: Sequence[str]) -> List[str]:
    """As few of these cases as have every word and every topology, as far as taking the richest first goes."""
    remaining = {case_id: words_of(case_id) for case_id in ids}
    wanted = set().union(*remaining.values())
    chosen = []
    while wanted:
        richest = max(remaining, key=lambda case_id: len(remaining[case_id] & wanted))
        wanted -= remaining.pop(richest)
        chosen.append(richest)
    return chosen


def frozen_ids(tier: str) -> List[str]:
    """The ids of an array that ``fixtures/cases/`` holds; a tier has those too that found something beyond pairs."""
    files = (tier, "found") if tier in STRENGTHS else (tier,)
    ids = (case_id for name in files for case_id in (CASES / f"{name}.txt").read_text(encoding="utf-8").split())
    return list(dict.fromkeys(ids))


def freeze() -> None:
    """Complete every array and write it; the smoke tier is part of the default one."""
    by_tier = {
        array: [
            case_id
            for topology in topologies.values()
            for case_id in covering(topology, strength, _known(topology, CASES / f"{array}.txt"))
        ]
        for array, (topologies, strength) in ARRAYS.items()
    }
    by_tier["smoke"] = essence(by_tier["default"])
    for tier, ids in by_tier.items():
        (CASES / f"{tier}.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        print(f"{tier}: {len(ids)} cases")  # noqa: T201


def _known(topology: Topology, file: Path) -> List[str]:
    """The ids of a file that are of the topology and still in the option space."""
    ids = file.read_text(encoding="utf-8").split() if file.exists() else []
    return [
        case_id for case_id in ids if case_id.split("-", maxsplit=1)[0] == topology.name and _is_case(topology, case_id)
    ]


def _is_case(topology: Topology, case_id: str) -> bool:
    try:
        return bool(topology.row(case_id))
    except ValueError:
        return False


if __name__ == "__main__":
    parser("conformance.covering", __doc__).parse_args()
    freeze()
