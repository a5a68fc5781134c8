"""Dropout at inference: what it drops is drawn by chance, and found in what was returned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from conformance.case import Case
from conformance.compare import Comparison
from conformance.data import Data
from conformance.expected import expected_outputs, returned
from conformance.faults.fault import Fault
from reference_impl import LSTM, RNN, Bidirectional, DropoutMasks, Estimate, LSTMCell, Shared, StackedRNNCells
from reference_impl.rounding import round_to
from reference_impl.types import Array

#: A cell, and how many features it reads.
Reading = Tuple[LSTMCell, int]

#: Whatever the rows of a batch may drop is tried where it takes no more rows than this: 12 entries of three rows.
MOST_ROWS = 2**14

#: In half precision some of all that may be dropped comes near to any numbers.
PRECISE = ("float32", "float64")


def may_drop(case: Case) -> bool:
    """Whether a case has entries that dropout at inference may drop, and few enough to find out which."""
    return case.compute_dtype in PRECISE and entries(case) > 0 and case.batch * 2 ** entries(case) <= MOST_ROWS


def hardly_dropping(case: Case, data: Data) -> Data:
    """The data with that dropped, of all that may be, which makes the least difference."""
    return found(case, data, list(expected_outputs(case, data).values())) if may_drop(case) else data


def found(case: Case, data: Data, like: Sequence[Estimate]) -> Data:
    """The data with that dropped with which the reference comes nearest to ``like``, in tolerances.

    The rows of a batch do not mix: each is held by itself to all that it may drop, in one call after another. To keep
    every entry, though times 1/(1 - rate), is another fault: at least one is dropped, or the data are as they were.
    """
    each, drops, drawn = len(like) // len(case.calls), False, data
    choices = _choices(entries(case))
    for number in range(len(case.calls)):
        until = replace(drawn, calls=drawn.calls[: number + 1])
        trial = with_masks(case, until, number, np.repeat(choices, case.batch, axis=0))
        own, last = like[number * each : (number + 1) * each], number == len(case.calls) - 1
        with np.errstate(all="ignore"):
            numbers = returned(case, trial, lambda array: np.concatenate([array] * len(choices)))
            chosen = _nearest(numbers[-each:], own, must_drop=last and not drops)
        drawn = with_masks(case, drawn, number, choices[chosen])
        drops = drops or bool(chosen.any())
    return drawn if drops else data


def _choices(count: int) -> Array:
    """All ways of dropping some entries: (2 ** count, count), true where one is dropped; in the first none."""
    dropped: Array = np.arange(2**count)[:, np.newaxis] >> np.arange(count) & 1 == 1
    return dropped


def _nearest(numbers: Sequence[Array], like: Sequence[Estimate], must_drop: bool) -> Array:
    """For each row of the batch the number of the choice that comes nearest to ``like``: (batch,).

    ``numbers`` are what the batch returns with each of the choices. A choice that cannot be told from dropping nothing,
    as where a row is masked, drops nothing.
    """
    tensors = [array.reshape(-1, *one.value.shape) for array, one in zip(numbers, like)]
    distances = _distances(tensors, [one.value for one in like], like)
    shows = _distances(tensors, [tensor[0] for tensor in tensors], like) > 1.0
    distances[1:][~shows[1:]] = np.inf
    chosen: Array = distances.argmin(axis=0)
    row = distances[1:].min(axis=0).argmin()
    if must_drop and not chosen.any() and shows[1:, row].any():
        chosen[row] = 1 + distances[1:, row].argmin()
    return chosen


def _distances(tensors: Sequence[Array], values: Sequence[Array], like: Sequence[Estimate]) -> Array:
    """How many tolerances the rows of tensors (choices, batch, ...) are from values (batch, ...): (choices, batch)."""
    ratios = (Comparison("", value, own, one.tolerance).ratios for own, value, one in zip(tensors, values, like))
    distances: Array = np.max([own.reshape(*own.shape[:2], -1).max(axis=-1) for own in ratios], axis=0)
    return distances


def with_masks(case: Case, data: Data, number: int, dropped: Array) -> Data:
    """The data with masks in one call; ``dropped`` (rows, entries) says of each entry whether it is dropped."""
    masks, start = [], 0
    for reading in _readings(case):
        both: List[Any] = []
        for rate, gates, size in _drawn(reading):
            own, start = dropped[:, start : start + gates * size], start + gates * size
            both.append(_mask(own.reshape(-1, gates, size), rate, case.compute_dtype) if size else None)
        masks.append(DropoutMasks(*both))
    calls = (*data.calls[:number], replace(data.calls[number], dropout=tuple(masks)), *data.calls[number + 1 :])
    return replace(data, calls=calls)


def _mask(dropped: Array, rate: float, dtype: str) -> Array:
    """The mask of the four gates, (rows, 4, size), which either share one or have their own."""
    kept = round_to(np.array(1.0 / (1.0 - rate)), dtype)
    return np.repeat(np.where(dropped, 0.0, kept), 4 // dropped.shape[1], axis=1)


def _drawn(reading: Reading) -> List[Tuple[float, int, int]]:
    """For x and for h the rate, how many masks the gates have, and the entries of each, none where nothing is dropped.

    The gates share one mask of x where a single product computes them all.
    """
    cell, features = reading
    gates = 1 if cell.implementation == 2 and not cell.recurrent_dropout else 4
    both = ((cell.dropout, features), (cell.recurrent_dropout, cell.units))
    return [(rate, gates, size if 0.0 < rate < 1.0 else 0) for rate, size in both]


def entries(case: Case) -> int:
    """How many entries the masks of a row have in a call: each may be dropped or not."""
    return sum(gates * size for reading in _readings(case) for _, gates, size in _drawn(reading))


def _readings(case: Case) -> Iterator[Reading]:
    """The cells of a case in the order in which they run, but for those in TimeDistributed, which run too often."""
    layers = zip(case.model.layers, case.model.input_shapes(case.input_shape))
    for layer, shape in [*layers] * (2 if isinstance(case.model, Shared) else 1):
        yield from _cells(layer, shape[-1])


def _cells(layer: Any, features: int) -> List[Reading]:
    if isinstance(layer, LSTM):
        return _cells(layer.rnn, features)
    if isinstance(layer, RNN):
        return _cells(layer.cell, features)
    if isinstance(layer, Bidirectional):
        return [reading for half in layer.halves for reading in _cells(half, features)]
    if isinstance(layer, StackedRNNCells):
        return list(zip(layer.cells, layer.widths(features)))
    return [(layer, features)] if isinstance(layer, LSTMCell) else []


OF_DROPOUT: Dict[str, Fault] = {
    "dropout_at_inference": Fault(
        "dropout or recurrent_dropout drops entries at inference", of_data=hardly_dropping, found=found, where=may_drop
    )
}
