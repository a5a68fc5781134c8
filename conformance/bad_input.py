"""Making a mistake with a Keras layer, moment by moment, to see when and how it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from conformance.subject import Subject
from reference_impl.types import Array

CONSTRUCTION, BUILD, CALL = "construction", "build", "call"
#: The moments at which a mistake can show, in their order. A layer is built by its first symbolic call.
MOMENTS = (CONSTRUCTION, BUILD, CALL)

BATCH, STEPS, FEATURES, UNITS = 2, 4, 5, 3

Construct = Callable[[Subject], Any]
Use = Callable[[Subject, Any], Any]


def floats(*shape: int) -> Array:
    return np.full(shape, 0.5, "float32")


def booleans(*shape: int) -> Array:
    return np.ones(shape, "bool")


def strings(*shape: int) -> Array:
    return np.full(shape, "a")


X = floats(BATCH, STEPS, FEATURES)


def lstm(**arguments: Any) -> Construct:
    return lambda subject: subject.lstm(**{"units": UNITS, **arguments})


def layer(name: str, *arguments: Any, **named: Any) -> Construct:
    """A layer of Keras; functions among its arguments, also in a list, make them from the subject."""

    def construct(subject: Subject) -> Any:
        made = {keyword: _made(subject, value) for keyword, value in named.items()}
        return getattr(subject.keras.layers, name)(*_made(subject, list(arguments)), **made)

    return construct


def layer_class(name: str) -> Construct:
    return lambda subject: getattr(subject.keras.layers, name)


def on(*shapes: Tuple[Optional[int], ...]) -> Use:
    """Build a layer by symbolic calls on inputs of these shapes, batch first."""

    def build(subject: Subject, layer: Any) -> Any:
        for shape in shapes:
            layer(subject.keras.layers.Input(batch_shape=shape))
        return layer

    return build


def model(x: Tuple[Optional[int], ...], **further: Any) -> Use:
    """Build a functional model of a layer by inputs of these shapes: x, and a mask or a list of initial states."""

    def build(subject: Subject, layer: Any) -> Any:
        first = subject.keras.layers.Input(batch_shape=x)
        inputs = {name: _inputs(subject, name, shapes) for name, shapes in further.items()}
        return subject.keras.Model([first, *_flat(inputs.values())], layer(first, **inputs))

    return build


def unbuilt(_: Subject, layer: Any) -> Any:
    return layer


def given(*inputs: Any, **further: Any) -> Use:
    """Call a layer on tensors of these values."""

    def call(subject: Subject, layer: Any) -> Any:
        named = {name: subject.tensors(value) for name, value in further.items()}
        return layer(*subject.tensors(list(inputs)), **named)

    return call


def predict(*values: Array) -> Use:
    return lambda _, built: built.predict_on_batch(list(values))


@dataclass(frozen=True)
class Refusal:
    """The exception that met a mistake, and the moment it was raised."""

    moment: str
    error: Exception

    @property
    def message(self) -> str:
        """The exception's type and text in one line."""
        return f"{type(self.error).__name__}: {' '.join(str(self.error).split())}"

    @property
    def kind_is_right(self) -> bool:
        """Whether it is the error of a wrong value or type; of what only a running graph can know, TensorFlow's own."""
        kinds = {"ValueError", "TypeError"} | ({"InvalidArgumentError"} if self.moment == CALL else set())
        return not kinds.isdisjoint(kind.__name__ for kind in type(self.error).__mro__)

    def names(self, words: str) -> bool:
        """Whether the text has one of these words; ``|`` is between alternatives."""
        text = str(self.error)
        return any(re.search(rf"(?<![\w-]){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words.split("|"))

    def complaint(self, words: Sequence[str], latest: str) -> str:
        """What is wrong with this refusal of a mistake that shows at ``latest``, or an empty string."""
        if MOMENTS.index(self.moment) > MOMENTS.index(latest):
            return f"accepted at {latest}, refused only at {self.moment}: {self.message}"
        if not self.kind_is_right:
            return f"raised {self.message}"
        unnamed = " and no ".join(alternatives for alternatives in words if not self.names(alternatives))
        return f"the message names no {unnamed}: {self.message}" if unnamed else ""


def refusal(subject: Subject, construct: Construct, build: Use, call: Use) -> Optional[Refusal]:
    """What the subject raises, if anything, as a layer is made, built and called; each is given what the last made."""
    moment = CONSTRUCTION
    try:
        layer = construct(subject)
        moment = BUILD
        built = build(subject, layer)
        moment = CALL
        if subject.eager:
            call(subject, built)
    except Exception as error:  # of what type it may be is what is asked
        return Refusal(moment, error)
    return None


def _inputs(subject: Subject, name: str, shapes: Any) -> Any:
    if isinstance(shapes, list):
        return [_inputs(subject, name, shape) for shape in shapes]
    return subject.keras.layers.Input(batch_shape=shapes, dtype="bool" if name == "mask" else "float32")


def _made(subject: Subject, value: Any) -> Any:
    if isinstance(value, list):
        return [_made(subject, item) for item in value]
    return value(subject) if callable(value) else value


def _flat(values: Iterable[Any]) -> List[Any]:
    return [item for value in values for item in (value if isinstance(value, list) else [value])]
