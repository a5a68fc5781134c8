"""What a case was given and what it returned, as numbers for pictures: of the batch row that is furthest off."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from conformance.compare import Comparison
from conformance.expression import names, program, words
from conformance.judge import Judgement
from conformance.report.terminal import of_weight
from reference_impl import Embedding
from reference_impl.types import Array

#: Tensors, and units of each, that are kept: those furthest off.
TENSORS, UNITS = 4, 16

#: Characters of a program that is kept; ``--reproductions`` writes the longer ones too.
LONGEST_SCRIPT = 50_000

#: Significant digits that are kept; a picture shows three.
DIGITS = 5


def evidence(judgement: Judgement, script: str = "") -> Dict[str, Any]:
    """What a report draws and quotes of a case; ``script`` is the program that reproduces it, if there is one.

    ``docs/results.schema.json`` describes it. A number that is not finite is None.
    """
    furthest = sorted(judgement.comparisons, key=lambda comparison: -comparison.ratio)[:TENSORS]
    place = furthest[0].worst if furthest else (0, 0)
    return {
        "words": words(judgement.case),
        "keras": [*program(judgement.case), *judgement.then],
        "inputs": _inputs(judgement, place, furthest[0].name if furthest else ""),
        "tensors": [_tensor(comparison) for comparison in furthest],
        "script": script if len(script) <= LONGEST_SCRIPT else "",
    }


def _inputs(judgement: Judgement, place: Tuple[int, ...], name: str) -> List[Dict[str, Any]]:
    """Every input of the call that returned a tensor of this name, (T, d), and its mask, of the row of a place."""
    if not judgement.data:
        return []
    inputs = judgement.data.calls[int(name.partition(" of call ")[2] or 1) - 1]
    tokens = isinstance(judgement.case.model.layers[0], Embedding)
    arrays = [x[..., np.newaxis] if tokens else x for x in inputs.x]
    return [
        {"name": name, "values": _numbers(np.atleast_2d(_of_row(x, place, 2))), "mask": _mask(mask, place)}
        for name, x, mask in zip(names("x", judgement.case), arrays, inputs.masks)
    ]


def _mask(mask: Optional[Array], place: Tuple[int, ...]) -> Optional[List[bool]]:
    return None if mask is None else list(map(bool, _of_row(mask, place, 1)))


def _of_row(array: Array, place: Tuple[int, ...], axes: int) -> Array:
    """The last axes of an array, in the row of the batch, and the sequence of it, that a place is in."""
    row: Array = array[place[: max(array.ndim - axes, 1)]]
    return row


def _tensor(comparison: Comparison) -> Dict[str, Any]:
    """Expected and actual values and ratios, each (T, units); a tensor without time has one step."""
    vector = comparison.expected.ndim == 1
    expected, actual, ratios = (
        np.atleast_2d(array if vector else _of_row(array, comparison.worst, 2))
        for array in (comparison.expected, comparison.actual, comparison.ratios)
    )
    units = np.sort(np.argsort(-ratios.max(axis=0), kind="stable")[:UNITS])
    return {
        "name": comparison.name,
        "over_time": comparison.expected.ndim > 2,
        "where": "" if vector else f" in {'row' if of_weight(comparison.name) else 'batch row'} {comparison.worst[0]}",
        "units": list(map(int, units)),
        "expected": _numbers(expected[:, units]),
        "actual": _numbers(actual[:, units]),
        "ratios": _numbers(ratios[:, units]),
        "ratio": min(comparison.ratio, float(np.finfo(float).max)),
        "wrong": comparison.count,
        "size": int(comparison.expected.size),
    }


def _numbers(array: Array) -> List[Any]:
    """Nested lists of a few digits; JSON has no infinity and no NaN."""
    if array.ndim:
        return [_numbers(part) for part in array]
    return float(f"{float(array):.{DIGITS}g}") if np.isfinite(array) else None  # type: ignore[return-value]
