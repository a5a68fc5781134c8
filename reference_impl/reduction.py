"""How much of each sample's loss enters the total: sample weights, masks and ``reduction="sum_over_batch_size"``.

Perturbed copies of a batch follow each other on the first axis (see ``rounding``); ``runs`` says how many batches there
are. Sources: ``keras/src/losses/loss.py`` at v3.15.0, ``keras/utils/losses_utils.py`` and
``keras/engine/compile_utils.py`` at v2.15.0 and v2.10.0.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array, Shape


def shares(
    shape: Shape,
    sample_weight: Optional[Array] = None,
    mask: Optional[Array] = None,
    *,
    over_valid: bool,
    runs: int = 1,
    fl: Rounding = exact,
) -> Array:
    """w·m/n, how much of each sample's loss enters the total: Σ w·m·ℓ/n, ``reduction="sum_over_batch_size"``.

    ``shape`` is that of ℓ, (runs·batch, ...). ``sample_weight`` w and the boolean ``mask`` m have that shape or its
    first axes: w (batch,) weighs whole samples, w (batch, T) their time steps. n is the number of samples; with a mask
    and ``over_valid`` (Keras since 2.11; measured: 2.15 and 3.15) of those alone that are not masked, without (2.4 and
    2.10) of all. The weights never enter n. Where all is masked nothing enters; Keras 2.15 makes NaN of it. Raises
    ValueError for another shape.
    """
    weight = np.ones(shape)
    for factor in (sample_weight, mask):
        if factor is not None:
            if factor.shape != shape[: factor.ndim]:
                raise ValueError(f"weights or mask of shape {factor.shape} for losses of shape {shape}")
            weight = fl(weight * factor.reshape(factor.shape + (1,) * (len(shape) - factor.ndim)))
    valid = 1.0 if mask is None or not over_valid else max(float(mask.mean()), 1.0 / mask.size)
    return fl(weight * (runs / (weight.size * valid)))


def total(losses: Array, share: Array, runs: int = 1, fl: Rounding = exact) -> Array:
    """Σ share·ℓ for each run: (runs,), for losses and shares (runs·batch, ...)."""
    return fl(fl(losses * share).reshape((runs, -1)).sum(axis=1))


def total_gradient(gradient: Array, share: Array, fl: Rounding = exact) -> Array:
    """∂Σ share·ℓ/∂ŷ from ∂ℓ/∂ŷ, both (runs·batch, ..., d)."""
    return fl(gradient * share[..., np.newaxis])
