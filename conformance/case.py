"""A case: one fully specified experiment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Set, Tuple, TypeVar, Union

from conformance.masks import PATTERNS
from reference_impl import Bidirectional, Layer, Model, TimeDistributed
from reference_impl.cells import Cell
from reference_impl.layers import Dense, Embedding
from reference_impl.types import Shape

#: How the Keras model is put together. "input_shape" is Sequential with ``input_shape=`` on its first layer, "layer"
#: calls the layers one after another with no model around them.
APIS = ("sequential", "input_shape", "functional", "subclass", "layer")

#: How the model is run; ``conformance/subject/modes.py`` says what each is.
MODES = (
    "call",
    "function",
    "compiled",
    "predict",
    "predict_batches",
    "predict_on_batch",
    "run_eagerly",
    "dataset",
    "mirrored",
)

#: What a model is converted to and then run as; ``conformance/subject/conversion.py`` says what each is.
CONVERSIONS = ("tflite", "tflite_of_model", "tflite_of_open_batch", "litert", "onnx")

#: Dtypes and mixed policies; a mixed one keeps float32 weights and computes in what it is called after.
DTYPES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")

#: What the inputs hold; ``conformance/data.py`` says what each is.
VALUES = ("usual", "integers", "huge", "denormal", "infinite", "nan", "nan_masked")

#: How many sequences TimeDistributed gives its layer for each row of the batch.
SEQUENCES = 2

Described = TypeVar("Described")

#: Values of options by name, as text; a list stands for any of its values.
Options = Mapping[str, Union[str, Sequence[str]]]


@dataclass(frozen=True)
class Call:
    """One of the calls of a case: how many time steps its input has, and whether states are reset before it."""

    steps: int
    reset: bool = False


@dataclass(frozen=True)
class Case:
    """A model, the size of its input and how it is built and run.

    The id is all that the drawn data depend on, so it never changes its meaning. ``initial_state`` gives the first
    layer states of its own, as further inputs of the model; ``weight_scale`` is how much larger than usual the drawn
    weights are. ``mask`` names a pattern, which a Masking or Embedding layer of the model finds in its input, or which
    is given as an array of ``mask_dtype``. With ``open_steps`` the model does not know the number of time steps, and
    is called with two.
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
    mask: str = ""
    mask_dtype: str = ""
    open_steps: bool = False
    values: str = "usual"

    def __post_init__(self) -> None:
        given = {
            "api": APIS,
            "mode": (*MODES, *CONVERSIONS),
            "dtype": DTYPES,
            "values": VALUES,
            "mask": ("", *PATTERNS),
        }
        for name, known in given.items():
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; known are {', '.join(known)}")

    @property
    def compute_dtype(self) -> str:
        """The dtype of operations and outputs."""
        return self.dtype.replace("mixed_", "")

    @property
    def variable_dtype(self) -> str:
        """The dtype of weights."""
        return "float32" if self.dtype.startswith("mixed_") else self.dtype

    @property
    def mask_source(self) -> str:
        """Where a mask comes from: "argument", "Masking", "Embedding" or, if there is none, "none"."""
        if not self.mask:
            return "none"
        return "argument" if self.mask_dtype else type(self.model.layers[0]).__name__

    @property
    def stateful(self) -> bool:
        """Whether some layer carries its states from one call to the next."""
        return any(layer.stateful for layer in self.model.layers)

    @property
    def calls(self) -> Tuple[Call, ...]:
        """A stateful case is called, called again, and once more after a reset; one of open steps with two lengths."""
        first, second = Call(self.steps), Call(self.steps + 2 if self.open_steps else self.steps)
        if self.stateful:
            return (first, second, Call(self.steps, reset=True))
        return (first, second) if self.open_steps else (first,)

    @property
    def input_shape(self) -> Shape:
        """Shape of the first input: (batch, T, d) as a rule."""
        return self.shape_of_input(0, self.steps)

    def shape_of_input(self, number: int, steps: Any) -> Shape:
        """Shape of an input with so many steps; each input has a step more than the one before it."""
        first, last = self.model.layers[0], self.model.layers[-1]
        if isinstance(first, Cell):
            return (self.batch, self.features)
        sequences = isinstance(last, TimeDistributed) and not isinstance(last.layer, Dense)
        time = ((SEQUENCES,) if sequences else ()) + (steps if steps is None else steps + number,)
        return (self.batch, *time) if isinstance(first, Embedding) else (self.batch, *time, self.features)

    def shapes_of_inputs(self, steps: Any) -> List[Shape]:
        """Shapes of all inputs; ``shape_of_input`` says how they differ."""
        return [self.shape_of_input(number, steps) for number in range(self.model.inputs)]

    @property
    def symbolic_shapes(self) -> List[Shape]:
        """Shapes of the inputs as the model is told them: None for a batch that may vary and for open steps."""
        batch = self.batch if self.stateful or self.mode == "tflite_of_model" else None
        return [(batch, *shape[1:]) for shape in self.shapes_of_inputs(None if self.open_steps else self.steps)]

    @cached_property
    def weight_names(self) -> List[List[str]]:
        """By layer the names of its weights, with the layer's number in front where another has the same."""
        shapes = self.model.weight_shapes(self.input_shape)
        times = Counter(name for own in shapes for name in own)
        return [
            [f"layer {number}'s {name}" if times[name] > 1 else name for name in own]
            for number, own in enumerate(shapes, 1)
        ]

    @cached_property
    def options(self) -> List[Dict[str, Set[str]]]:
        """For each layer its arguments and the case's, as text; "layer" has its class and that of a wrapped one."""
        own = {field.name for field in fields(self)} - {"id", "model", "weight_scale"}
        common = {name: {str(getattr(self, name))} for name in (*own, "mask_source")}
        common.update(model={type(self.model).__name__}, rank={str(len(self.input_shape))}, backward_layer={""})
        return [{**common, **_arguments(layer), "place": self._place(layer)} for layer in self.model.layers]

    def _place(self, layer: Layer) -> Set[str]:
        """Whether a layer is the first of the model, the last, both or neither, and whether it lies below another."""
        first, last = self.model.layers[0], self.model.layers[-1]
        places = {"first": layer is first, "last": layer is last, "below": layer is not last}
        return {place for place, holds in places.items() if holds}

    def has(self, some: Options) -> bool:
        """Whether one layer of the case has all these options."""
        return any(having(own, some) for own in self.options)


def having(options: Mapping[str, Set[str]], some: Options) -> bool:
    """Whether a layer that has these options has some."""
    wanted = {name: {value} if isinstance(value, str) else set(value) for name, value in some.items()}
    return all(options.get(name, set()) & values for name, values in wanted.items())


def map_layers(described: Described, change: Callable[[Any], Any]) -> Described:
    """A model with every layer and cell changed, those inside others first."""
    if isinstance(described, tuple):
        return tuple(map_layers(item, change) for item in described)  # type: ignore[return-value]
    if not isinstance(described, (Layer, Model)):
        return described
    arguments = {field.name: getattr(described, field.name) for field in fields(described)}  # type: ignore[arg-type]
    parts = {name: map_layers(own, change) for name, own in arguments.items() if isinstance(own, (Layer, tuple))}
    changed = replace(described, **parts) if parts else described  # type: ignore[type-var]
    return change(changed) if isinstance(described, Layer) else changed


def layers_within(layer: Any) -> Iterator[Layer]:
    """A layer, and every layer and cell in it."""
    yield layer
    for field in fields(layer):
        value = getattr(layer, field.name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Layer):
                yield from layers_within(inner)


def _arguments(layer: Any) -> Dict[str, Set[str]]:
    """A layer's arguments; where it wraps others, theirs too, its own taking precedence."""
    own = {field.name: getattr(layer, field.name) for field in fields(layer)}
    arguments = {name: {str(value)} for name, value in own.items() if not isinstance(value, (Layer, tuple))}
    arguments.update((name, {str(len(value))}) for name, value in own.items() if isinstance(value, tuple))
    names = {type(layer).__name__}
    for inner in list(layers_within(layer))[1:]:
        for name, values in _arguments(inner).items():
            if name == "layer":
                names |= values
            elif name not in own:
                arguments[name] = arguments.get(name, set()) | values
    if isinstance(layer, Bidirectional):
        arguments["zero_output_for_mask"] = {str(half.zero_output_for_mask) for half in layer.halves}
        arguments["backward_layer"] = {"given" if layer.backward_layer else "None"}
    return {**arguments, "layer": names}
