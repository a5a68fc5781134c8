"""What the programs of the register do in the versions that are installed here, each in a process of its own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from conformance.divergences import Divergence
from conformance.fixtures import FixtureError

#: How a program ended, if not in another exception or its death: as its record says, or at its last line.
SHOWN, NOT_SHOWN, DIED = "shown", "not shown", "dies"

#: How much of another exception is told.
TOLD = 100


@dataclass(frozen=True)
class Showing:
    """What the programs did in one environment: for each record's id how its program ended."""

    versions: Mapping[str, str]
    ends: Mapping[str, str]


def run_programs(records: Sequence[Divergence], versions: Mapping[str, str]) -> Showing:
    """Run the programs of records on the Keras of these versions, which is the one that is installed."""
    # The server of forks imports what every program does once, and nothing computes in it.
    context: Any = get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras", __name__])
    return Showing(installed(versions), {record.id: _end(record, context) for record in records})


def installed(versions: Mapping[str, str]) -> Dict[str, str]:
    """What a program can depend on; it names itself whose layers it is about."""
    return {name: version for name, version in versions.items() if name != "layers"}


def _end(record: Divergence, context: Any) -> str:
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(record.program, writing))
    process.start()
    writing.close()
    try:
        raised = reading.recv()
    except EOFError:
        raised = DIED
    process.join()
    if record.crashes:
        return SHOWN if process.exitcode < 0 else raised or NOT_SHOWN
    if not raised:
        return NOT_SHOWN
    kind, _, text = raised.partition(":")
    return SHOWN if kind == "AssertionError" or record.is_of(kind, text) else raised[:TOLD]


def _run(program: str, writing: Connection) -> None:
    """Run a program and send what it raised in a line, or nothing."""
    for stream in (1, 2):  # what TensorFlow has to say is not asked for
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    raised = ""
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    except Exception as error:  # whatever it ends in is what it shows
        raised = f"{type(error).__name__}: {' '.join(str(error).split())}"
    writing.send(raised)


def surprises(records: Sequence[Divergence], showing: Showing) -> List[str]:
    """What the programs did that their records do not say, in sentences."""
    return [told for told in (surprise(record, records, showing) for record in records) if told]


def surprise(record: Divergence, records: Sequence[Divergence], showing: Showing) -> str:
    """What the program of one of these records did that it does not say, or nothing."""
    end, concerned = showing.ends.get(record.id, "not asked"), record.concerns(showing.versions)
    if concerned and end != SHOWN:
        return f"{record.id}: is on record for {_range(record)}, but here its program is: {end}"
    if end == SHOWN and not concerned and not told_elsewhere(record, records, showing.versions):
        return f"{record.id}: is on record for {_range(record)} only, but its program shows it here too"
    return ""


def told_elsewhere(record: Divergence, records: Sequence[Divergence], versions: Mapping[str, str]) -> bool:
    """Whether another record, about these versions, is about the same tests or cases or has the same fault."""
    about = (other for other in records if other is not record and other.concerns(versions))
    return any(record.overlaps(other) or _same_fault(record, other) for other in about)


def _same_fault(one: Divergence, other: Divergence) -> bool:
    return bool(one.fault) and (one.fault, one.question) == (other.fault, other.question)


def _range(record: Divergence) -> str:
    return " and ".join(f"{name} {wanted}" for name, wanted in record.versions.items())


def keep(showing: Showing, path: Path) -> None:
    """Write what the programs did, for ``read``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(showing), indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Showing:
    """What was kept. Raises FixtureError."""
    try:
        return Showing(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise FixtureError(f"{path}: is not what `divergences check --keep` leaves: {error}") from error
