"""Ranges of versions from what the programs of the register did in several environments."""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from conformance.divergences import Divergence
from conformance.divergences.showing import NOT_SHOWN, SHOWN, Showing, surprise, told_elsewhere

LOWER, UPPER = (">=", ">"), ("<=", "<")


class RangeError(Exception):
    """No range fits what was seen; the message is one line."""


def revised(record: Divergence, records: Sequence[Divergence], showings: Sequence[Showing]) -> str:
    """The range of one of these records, made to fit what its program did; the one it has where that fits.

    A bound that does not fit moves to the last version that shows it. Raises RangeError where what shows it and what
    does not do not lie apart, or where it depends on more than one package.
    """
    (name, old), *others = record.versions.items()
    if not any(surprise(record, records, showing) for showing in showings if record.id in showing.ends):
        return old
    if others or record.where:
        raise RangeError(f"{record.id}: depends on more than one thing; its range is to be found by hand")
    shown, hidden = _asked(record, name, records, showings)
    if not shown:
        raise RangeError(f"{record.id}: shows nowhere, and is not needed")
    excluded = _excluded(old, shown)
    hidden = [version for version in hidden if SpecifierSet(",".join(excluded)).contains(version)]
    between = [version for version in hidden if shown[0] < version < shown[-1]]
    if between:
        raise RangeError(f"{record.id}: shows in {shown[0]} and in {shown[-1]}, but not in {between[0]}")
    bounds = [
        _bound(old, LOWER, shown[0], [version for version in hidden if version < shown[0]]),
        _bound(old, UPPER, shown[-1], [version for version in hidden if version > shown[-1]]),
    ]
    return ",".join(filter(None, (*bounds, *excluded)))


def _asked(
    record: Divergence, name: str, records: Sequence[Divergence], showings: Sequence[Showing]
) -> Tuple[List[Version], List[Version]]:
    """The versions of a package, in order, that show a record and those that do not; what another tells is left out."""
    by_end = {
        wanted: sorted(
            Version(own.versions[name])
            for own in showings
            if own.ends.get(record.id) == wanted
            and name in own.versions
            and (record.concerns(own.versions) or not told_elsewhere(record, records, own.versions))
        )
        for wanted in (SHOWN, NOT_SHOWN)
    }
    return by_end[SHOWN], by_end[NOT_SHOWN]


def _bound(old: str, operators: Sequence[str], last: Version, beyond: Sequence[Version]) -> str:
    """The clause for one end of a range: the old one, if it lets in the last version that shows and none beyond."""
    clauses = [clause for clause in SpecifierSet(old) if clause.operator in (*operators, "==")]
    for clause in clauses:
        if clause.operator in operators and clause.contains(last) and not any(map(clause.contains, beyond)):
            return str(clause)
    return f"{operators[0]}{last}" if beyond or clauses else ""


def _excluded(old: str, shown: Sequence[Version]) -> List[str]:
    """The clauses that are no bounds, such as ``!=2.3.1``, as long as they let in what shows."""
    others = (clause for clause in SpecifierSet(old) if clause.operator in ("!=", "~="))
    return [str(clause) for clause in others if all(map(clause.contains, shown))]


def rewritten(register: str, record: Divergence, versions: str) -> str:
    """The text of a register with another range for a record, and nothing else changed."""
    (name,) = record.versions
    within = rf'(?ms)(^id = "{re.escape(record.id)}"$.*?^versions = ){{[^}}]*}}'
    return re.sub(within, lambda found: f'{found[1]}{{ {name} = "{versions}" }}', register, count=1)
