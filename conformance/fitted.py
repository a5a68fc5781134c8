"""Holding what ``fit`` left to the reference's own run, whose rounding errors are known from perturbed runs."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np

from conformance.data import seed
from reference_impl import Estimate
from reference_impl.rounding import FORMATS, TOLERANCE_FACTOR, OneCopy, Rounding
from reference_impl.types import Array

DTYPE = "float32"


def roundings(program_id: str, runs: int) -> List[Rounding]:
    """The rounding of so many perturbed runs of a program."""
    first = seed(program_id)
    return [OneCopy(FORMATS[DTYPE].unit_roundoff, first + number) for number in range(runs)]


def spread_of(right: Array, runs: Sequence[Array]) -> float:
    """The largest σ of all elements."""
    sigma = np.sqrt(np.mean([np.square(run - right) for run in runs], axis=0))
    return float(f"{sigma.max():.3g}")


def known_to(right: Array, spread: float) -> Estimate:
    """What the reference trained, whose perturbed runs have this spread."""
    tolerance = TOLERANCE_FACTOR * spread + FORMATS[DTYPE].underflow
    return Estimate(right, np.full(right.shape, tolerance))
