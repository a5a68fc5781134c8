"""A case: one fully specified experiment."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Dict, List, Mapping, Set

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
    def options(self) -> List[Dict[str, Set[str]]]:
        """For each layer its arguments and the case's, as text; "layer" has its class and that of a wrapped one."""
        common = {name: {str(getattr(self, name))} for name in ("api", "mode", "dtype", "initial_state")}
        return [{**common, **_arguments(layer)} for layer in self.model.layers]

    def has(self, some: Mapping[str, str]) -> bool:
        """Whether one layer of the case has all these options."""
        return any(all(value in own.get(name, ()) for name, value in some.items()) for own in self.options)


def map_lstms(model: Model, change: Callable[[LSTM], LSTM]) -> Model:
    """The model with each LSTM changed, those inside Bidirectional too."""

    def changed(layer: Layer) -> Layer:
        if isinstance(layer, Bidirectional):
            return replace(layer, layer=change(layer.layer))
        return change(layer) if isinstance(layer, LSTM) else layer

    return Model(tuple(changed(layer) for layer in model.layers))


def _arguments(layer: Any) -> Dict[str, Set[str]]:
    arguments = {field.name: {str(getattr(layer, field.name))} for field in fields(layer) if field.name != "layer"}
    inner = _arguments(layer.layer) if hasattr(layer, "layer") else {"layer": set()}
    return {**inner, **arguments, "layer": {type(layer).__name__} | inner["layer"]}
