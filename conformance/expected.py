"""What the reference expects of a case."""

from __future__ import annotations

from typing import Callable, Dict, List

import numpy as np

from conformance.case import Case
from conformance.data import Data, seed
from reference_impl import Estimate, estimate
from reference_impl.rounding import Rounding, copies_for
from reference_impl.types import Array


def expected_outputs(case: Case, data: Data) -> Dict[str, Estimate]:
    """By name, each tensor the model returns and the tolerance around it."""
    weights = [weight.astype(np.float64) for weight in data.weights]

    def compute(tile: Callable[[Array], Array], fl: Rounding) -> List[Array]:
        x, *states = (tile(array.astype(np.float64)) for array in (data.x, *data.initial_state))
        return list(case.model(x, weights, states, fl=fl))

    shapes = case.model.output_shapes(case.input_shape)[-1]
    units = min(shape[-1] or 1 for shape in shapes.values())
    return dict(zip(shapes, estimate(compute, case.dtype, seed(case.id), copies_for(case.batch * units))))
