"""Proving the register.

::

    python -m conformance.divergences check [--keep FILE]   0 if the programs of all records show in the versions that
                                                            are installed what their records say, and nowhere else
    python -m conformance.divergences update FILE...        rewrite the ranges that what was kept of several versions
                                                            does not fit; reasons are left alone
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Iterator, Optional, Sequence

from conformance.command import parser, run
from conformance.divergences import REGISTER, load_register
from conformance.divergences.ranges import RangeError, revised, rewritten
from conformance.divergences.showing import SHOWN, keep, read, run_programs, surprises
from conformance.fixtures import FixtureError
from conformance.subject import SubjectError, load


class RegisterError(Exception):
    """The register is not right; the message has a line for each record that is not."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    chosen = _options().parse_args(arguments)
    try:
        for line in chosen.command(chosen):
            print(line)  # noqa: T201
    except RegisterError as error:
        print(error)  # noqa: T201
        return 1
    except (FixtureError, OSError, SubjectError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _options() -> argparse.ArgumentParser:
    options = parser("conformance.divergences", __doc__)
    options.add_argument("--register", type=Path, default=REGISTER, metavar="FILE", help="[fixtures/divergences.toml]")
    commands = options.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="whether the records are right about the installed versions")
    check.add_argument("--keep", type=Path, metavar="FILE", help="write what the programs did, for `update`")
    check.set_defaults(command=_check)
    update = commands.add_parser("update", help="rewrite ranges that do not fit what was kept")
    update.add_argument("kept", type=Path, nargs="+", metavar="FILE")
    update.set_defaults(command=_update)
    return options


def _check(chosen: argparse.Namespace) -> Iterator[str]:
    records, subject = load_register(chosen.register), load("tensorflow.keras")
    showing = run_programs(records, subject.versions)
    if chosen.keep:
        keep(showing, chosen.keep)
    wrong = surprises(records, showing)
    if wrong:
        raise RegisterError("\n".join(wrong))
    counted = Counter(showing.ends.values())
    yield f"{subject.flavour} {subject.version}: {counted[SHOWN]} of {len(records)} records show, as they say"


def _update(chosen: argparse.Namespace) -> Iterator[str]:
    records, showings = load_register(chosen.register), [read(path) for path in chosen.kept]
    register, wrong = chosen.register.read_text(encoding="utf-8"), []
    for record in records:
        try:
            versions = revised(record, records, showings)
        except RangeError as error:
            wrong.append(str(error))
            continue
        if versions not in record.versions.values():
            register = rewritten(register, record, versions)
            yield f"{record.id}: {' and '.join(record.versions.values())} is now {versions}"
    chosen.register.write_text(register, encoding="utf-8")
    if wrong:
        raise RegisterError("\n".join(wrong))


if __name__ == "__main__":
    run(main)
