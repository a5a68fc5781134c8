"""The numbers of a case, drawn from its id alone.

The streams of ``numpy.random.RandomState`` are frozen, so a case has the same bytes on every NumPy, in every order and
in every process. Nothing is constant or symmetric: no two gates, units, rows or steps are alike and h0 differs from c0,
since weights that are all equal cannot tell one gate order from another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from conformance.case import Case
from conformance.masks import pattern
from reference_impl import DropoutMasks, Embedding, Masking
from reference_impl.rounding import round_to
from reference_impl.types import Array, Shape

#: Largest magnitude of an input, an initial state and a bias.
INPUT_LIMIT, STATE_LIMIT, BIAS_LIMIT = 1.0, 1.0, 0.25


@dataclass(frozen=True)
class Inputs:
    """What one call is given: an array for each input, for each its mask, (batch, T), or None, and initial states.

    Every x is (batch, T, d) as a rule, see ``Case.input_shape``; ``states`` is empty or holds the first recurrent
    layer's, each (batch, u). ``dropout`` has masks for each LSTM cell; none are drawn but by a fault.
    """

    x: List[Array]
    masks: List[Optional[Array]]
    states: Sequence[Array] = ()
    dropout: Tuple[DropoutMasks, ...] = ()


@dataclass(frozen=True)
class Data:
    """Inputs of each call, and weights in the order of ``get_weights()``. Half precision comes as float32."""

    calls: Tuple[Inputs, ...]
    weights: List[Array]

    @property
    def x(self) -> Array:
        """The first input of the first call."""
        return self.calls[0].x[0]

    @property
    def initial_state(self) -> Sequence[Array]:
        """The states given to the first call."""
        return self.calls[0].states


def seed(text: str) -> int:
    """A 32-bit seed from a case id."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def draw(case: Case) -> Data:
    """Draw the data of a case."""
    random = np.random.RandomState(seed(case.id))

    def uniform(shape: Shape, limit: float) -> Array:
        return limit * (2.0 * random.random_sample(shape) - 1.0)

    count = case.model.inputs
    first, *others = [shape for call in case.calls for shape in case.shapes_of_inputs(call.steps)]
    x = [uniform(first, INPUT_LIMIT)]
    weights = [
        uniform(shape, case.weight_scale * _weight_limit(name, shape))
        for layer in case.model.weight_shapes(case.input_shape)
        for name, shape in layer.items()
    ]
    states = [_stored(uniform(shape, STATE_LIMIT), case.variable_dtype) for shape in state_shapes(case)]
    x += [uniform(shape, INPUT_LIMIT) for shape in others]
    calls = [_inputs(case, x[start : start + count], states) for start in range(0, len(x), count)]
    return Data(tuple(calls), [_stored(array, case.variable_dtype) for array in weights])


def state_shapes(case: Case) -> Sequence[Shape]:
    """Shapes of the initial states the case gives its first recurrent layer."""
    if not case.initial_state:
        return ()
    shapes = case.model.state_shapes(case.input_shape)
    given = next((own for own in shapes if own), ())
    if not given:
        raise ValueError(f"{case.id}: no layer takes an initial state")
    return given


#: What becomes of the inputs, given the mask or None.
VALUES: Dict[str, Callable[[Array, Optional[Array]], Array]] = {
    "usual": lambda x, mask: x,
    "integers": lambda x, mask: np.round(4.0 * x),
    "huge": lambda x, mask: 1e4 * x,
    "denormal": lambda x, mask: 1e-39 * x,
    "infinite": lambda x, mask: _with_one(x, np.inf),
    "nan": lambda x, mask: _with_one(x, np.nan),
    "nan_masked": lambda x, mask: x if mask is None else np.where(mask[..., np.newaxis], x, np.nan),
}


def _inputs(case: Case, x: List[Array], states: Sequence[Array]) -> Inputs:
    masks = [_mask(case, array) for array in x]
    return Inputs([_input(case, array, mask) for array, mask in zip(x, masks)], masks, states)


def _mask(case: Case, x: Array) -> Optional[Array]:
    """The mask of an input; what has an axis more than (batch, T, d) has a mask of an axis more."""
    if not case.mask:
        return None
    shape = x.shape if isinstance(case.model.layers[0], Embedding) else x.shape[:-1]
    rows = int(np.prod(shape[:-1]))
    return pattern(case.mask, rows, shape[-1]).reshape(shape)


def _input(case: Case, x: Array, mask: Optional[Array]) -> Array:
    """An input whose masked steps the first layer finds, or whose mask is given beside it."""
    first = case.model.layers[0]
    if isinstance(first, Embedding):
        tokens = 1 + np.floor((first.input_dim - 1) * 0.5 * (x + 1.0))
        return (tokens if mask is None else np.where(mask, tokens, 0)).astype("int32")
    values = VALUES[case.values](x, mask)
    if isinstance(first, Masking) and mask is not None:
        # A step of which only some features equal the mask value counts.
        values[..., 0] = np.where(mask & (values.shape[-1] > 1), first.mask_value, values[..., 0])
        values = np.where(mask[..., np.newaxis], values, first.mask_value)
    return values.astype("int32") if case.values == "integers" else _stored(values, case.variable_dtype)


def _with_one(x: Array, value: float) -> Array:
    """x with one element of the last row, in the middle of its steps, replaced."""
    x = x.copy()
    middle = tuple(size // 2 for size in x.shape[1:-1])
    place = (-1, *middle, 0)
    x[place] = value
    return x


def _stored(array: Array, dtype: str) -> Array:
    """The nearest values of a dtype, as float64 for float64 and as float32 for all else."""
    return round_to(array, dtype).astype("float64" if dtype == "float64" else "float32")


def _weight_limit(name: str, shape: Shape) -> float:
    """1/√(1 + fan-in) for a matrix, so that x·W is no larger than x whatever the width; embeddings are inputs."""
    if name == "embeddings":
        return INPUT_LIMIT
    fan_in, *rest = shape
    return float(1.0 / np.sqrt(1.0 + (fan_in or 0))) if rest else BIAS_LIMIT
