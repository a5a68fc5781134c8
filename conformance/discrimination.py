"""How far each case is from the nearest wrong LSTM, and which cases are too near to one to be trusted.

::

    python -m conformance.discrimination               writes fixtures/untrusted.txt
    python -m conformance.discrimination MATRIX.csv    writes all distances: a row for a case, a column for a fault

A distance is the largest difference between what a fault returns and what is right, in tolerances. A fault applies to a
case where it makes a difference that float64 could show; of one that does something by chance, what is nearest to the
right numbers counts. Faults of the arithmetic (a product in float16, a coarse tanh)
lie as near as their format does, whatever the case, and are left out of this; that cases catch them is tested.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, Optional, Sequence, Tuple

import numpy as np

from conformance import catalogue, space
from conformance.case import Case
from conformance.command import parser
from conformance.compare import largest_ratio
from conformance.covering import frozen_ids
from conformance.data import draw
from conformance.documented import load_documents
from conformance.expected import expected_outputs, returned
from conformance.faults import ARITHMETIC, FAULTS, applied
from conformance.fixtures import FIXTURES
from reference_impl.rounding import FORMATS

#: How many tolerances a case must be from the nearest fault that applies to it.
TRUSTED = 100.0

UNTRUSTED = FIXTURES / "untrusted.txt"


@lru_cache(maxsize=None)
def untrusted() -> FrozenSet[str]:
    """The ids of cases nearer to a fault than that; in them to agree says little."""
    return frozenset(line.split()[0] for line in UNTRUSTED.read_text(encoding="utf-8").splitlines())


def cases(tier: str) -> Iterator[Case]:
    """The documented examples, the catalogue, and the cases of the option space that a tier has."""
    yield from (example.case for document in load_documents() for example in document.example)
    yield from (case for kind in catalogue.KINDS for case in catalogue.grid(kind, tier))
    yield from (*catalogue.options(), *catalogue.modes(), *catalogue.wide(), *catalogue.heads())
    yield from catalogue.conversions()
    yield from map(space.case, frozen_ids(tier))


def distances(case: Case) -> Dict[str, float]:
    """By name, the distances of the faults that apply to a case."""
    data = draw(case)
    with np.errstate(all="ignore"):  # a wrong LSTM may well overflow
        expected = list(expected_outputs(case, data).values())
        names = [name for name, fault in FAULTS.items() if fault.where(case) and name not in ARITHMETIC]
        found = {name: largest_ratio(expected, returned(*applied([name], case, data))) for name in names}
    finest = FORMATS["float64"].unit_roundoff / FORMATS[case.compute_dtype].unit_roundoff
    return {name: value for name, value in found.items() if value > finest}


def nearest(case: Case) -> Tuple[str, float]:
    """The fault that is nearest to a case, and how near; none at an infinite distance where none applies."""
    return min(distances(case).items(), key=lambda item: item[1], default=("", np.inf))


def write_untrusted() -> None:
    """A line for each untrusted case of any tier: its id, the nearest fault and the distance."""
    every = {case.id: case for tier in ("default", "full") for case in cases(tier)}
    found = {case_id: nearest(case) for case_id, case in every.items()}
    lines = (f"{case_id} {name} {value:.2g}\n" for case_id, (name, value) in found.items() if value < TRUSTED)
    UNTRUSTED.write_text("".join(lines), encoding="utf-8")


def write_matrix(file: Path) -> None:
    """The distances of the default tier; an empty cell where a fault does not apply."""
    names = [name for name in FAULTS if name not in ARITHMETIC]
    with file.open("w", encoding="utf-8", newline="") as target:
        rows = csv.writer(target)
        rows.writerow(["case", *names])
        for case in cases("default"):
            found = distances(case)
            rows.writerow([case.id, *(f"{found[name]:.3g}" if name in found else "" for name in names)])


def main(arguments: Optional[Sequence[str]] = None) -> None:
    options = parser("conformance.discrimination", __doc__)
    options.add_argument("matrix", type=Path, nargs="?", metavar="MATRIX.csv")
    matrix = options.parse_args(arguments).matrix
    if matrix:
        write_matrix(matrix)
    else:
        write_untrusted()


if __name__ == "__main__":
    main()
