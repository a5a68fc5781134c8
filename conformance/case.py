"""A case: one fully specified experiment."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Dict, Iterator, Set, Tuple

from reference_impl import LSTM, Bidirectional, Model
from reference_impl.model import Layer
from reference_impl.types import Shape

#: How the Keras model is put together. "input_shape" is Sequential with ``input_shape=`` on its first layer.
APIS = ("sequential", "input_shape", "functional")

#: How the model is run: ``model(x)``, or ``model.predict(x)``.
MODES = ("call", "predict")

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """A model, the size of its input and how it is built and run.

    The id is all that the drawn data depend on, so it never changes its meaning. ``initial_state`` gives the first
    layer states of its own, as further inputs of a functional model; ``weight_scale`` is how much larger than usual the
    drawn weights are.
    """

    id: str
    model: Model
    batch: int
    steps: int
    features: int
    api: str = "functional"
    mode: str = "call"
    dtype: str = "float32"
    initial_state: bool = False
    weight_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, value, known in (("api", self.api, APIS), ("mode", self.mode, MODES), ("dtype", self.dtype, DTYPES)):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; known are {', '.join(known)}")

    @property
    def input_shape(self) -> Shape:
        """(batch, T, d)."""
        return (self.batch, self.steps, self.features)

    @property
    def options(self) -> Dict[str, Set[str]]:
        """Each argument of the case and its layers with the values it takes, as text; "layer" has the classes."""
        options: Dict[str, Set[str]] = {}
        for layer in self.model.layers:
            for name, value in _arguments(layer):
                options.setdefault(name, set()).add(value)
        for name in ("api", "mode", "dtype", "initial_state"):
            options[name] = {str(getattr(self, name))}
        return options


def map_lstms(model: Model, change: Callable[[LSTM], LSTM]) -> Model:
    """The model with each LSTM changed, those inside Bidirectional too."""

    def changed(layer: Layer) -> Layer:
        if isinstance(layer, Bidirectional):
            return replace(layer, layer=change(layer.layer))
        return change(layer) if isinstance(layer, LSTM) else layer

    return Model(tuple(changed(layer) for layer in model.layers))


def _arguments(layer: Any) -> Iterator[Tuple[str, str]]:
    yield "layer", type(layer).__name__
    for field in fields(layer):
        value = getattr(layer, field.name)
        if field.name == "layer":
            yield from _arguments(value)
        else:
            yield field.name, str(value)
