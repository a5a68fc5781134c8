"""Which models of the option space are kept, in a file or as a copy, and in which way."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple

from conformance import space
from conformance.case import Case, map_layers
from conformance.data import seed
from conformance.subject import COPIES, FORMATS
from reference_impl import LSTM, Layer, LSTMCell


def kept_cases(ids: Sequence[str], most: Optional[int]) -> List[Tuple[str, str, Case]]:
    """Models of the option space: the id of each, the way of keeping it, which the id decides, and its case.

    Of each topology each way has the first ``most`` of these ids. ``implementation`` is the usual one: it decides the
    rounding, and whether it is kept is asked by itself.
    """
    quick = [name for name in (*FORMATS, *COPIES) if name != "savedmodel"]
    kept: Dict[Tuple[str, str], List[str]] = {}
    for case_id in ids:
        kept.setdefault((case_id.split("-")[0], quick[seed(case_id) % len(quick)]), []).append(case_id)
    return [(case_id, way, _to_keep(space.case(case_id))) for (_, way), own in kept.items() for case_id in own[:most]]


def _to_keep(case: Case) -> Case:
    model = map_layers(case.model, _of_usual_implementation)
    return replace(case, model=model, api="functional", mode="call")


def _of_usual_implementation(layer: Layer) -> Layer:
    return replace(layer, implementation=2) if isinstance(layer, (LSTM, LSTMCell)) else layer
