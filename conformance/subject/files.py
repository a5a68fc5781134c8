"""Ways of keeping a model: files it is saved in, and copies made of its configuration.

What a version has no function for is found out from the functions it has.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import dataclass
from inspect import signature
from io import StringIO
from pathlib import Path
from typing import Any, Callable, Dict, List

from conformance.subject.build import flat

Keras = Any
Model = Any
Program = Callable[[], Model]
Missing = Callable[[Keras], str]


def _nothing(keras: Keras) -> str:
    return ""


@dataclass(frozen=True)
class Format:
    """One way of keeping a model.

    ``save`` writes it to a path, ``load`` returns the model that is kept there. Where weights alone are kept, the model
    is made anew from the program, which ``load`` is given. ``whole`` says that the program is not needed, ``weighed``
    that the weights are kept. ``unwritten`` and ``unread`` say what a version lacks for it, in words, or nothing.
    """

    suffix: str
    save: Callable[[Keras, Model, Path], None]
    load: Callable[[Keras, Path, Program], Model]
    whole: bool = True
    weighed: bool = True
    unwritten: Missing = _nothing
    unread: Missing = _nothing


class Served:
    """A SavedModel in Keras 3: a layer that computes, without configuration or layers of its own."""

    def __init__(self, keras: Keras, path: Path) -> None:
        self.layers: List[Any] = []
        try:
            self._layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
        except ValueError:  # saved by Keras 2, which exported nothing under the name that Keras 3 does
            self._layer = keras.layers.TFSMLayer(str(path), call_endpoint="serving_default")

    def __call__(self, given: Any) -> List[Any]:
        outputs = self._layer(given)
        return flat(list(outputs.values()) if isinstance(outputs, dict) else outputs)


def _no_zip(keras: Keras) -> str:
    has = "safe_mode" in signature(keras.models.load_model).parameters
    return "" if has else "no .keras, a name under which it writes HDF5"


def _no_saved_model(keras: Keras) -> str:
    has = _takes_formats(keras.Model.save) or _no_served(keras) == ""
    return "" if has and keras.backend.backend() == "tensorflow" else "no SavedModel"


def _no_served(keras: Keras) -> str:
    return "" if hasattr(keras.layers, "TFSMLayer") else "no TFSMLayer"


def _no_checkpoint(keras: Keras) -> str:
    return "" if _takes_formats(keras.Model.save_weights) else "no save_weights(save_format=) for checkpoints"


def _no_old_weights(keras: Keras) -> str:
    return "weights in HDF5 only as .weights.h5" if hasattr(keras, "ops") else ""


def _takes_formats(save: Callable[..., None]) -> bool:
    return "save_format" in signature(save).parameters


def _load_model(keras: Keras, path: Path, program: Program) -> Model:
    safely = {} if _no_zip(keras) else {"safe_mode": True}
    return keras.models.load_model(str(path), **safely)


def _save_for_serving(keras: Keras, model: Model, path: Path) -> None:
    if _takes_formats(keras.Model.save):
        model.save(str(path), save_format="tf")
    else:
        with redirect_stdout(StringIO()):  # it describes what it exports
            model.export(str(path))


def _load_served(keras: Keras, path: Path, program: Program) -> Model:
    return _load_model(keras, path, program) if _takes_formats(keras.Model.save) else Served(keras, path)


def _save_weights(keras: Keras, model: Model, path: Path) -> None:
    model.save_weights(str(path))


def _load_weights(keras: Keras, path: Path, program: Program) -> Model:
    fresh = program()
    status = fresh.load_weights(str(path))
    if hasattr(status, "assert_existing_objects_matched"):  # a checkpoint may lack weights without a word
        status.assert_existing_objects_matched()
    return fresh


FORMATS: Dict[str, Format] = {
    "keras": Format(
        ".keras",
        lambda keras, model, path: model.save(str(path)),
        _load_model,
        unwritten=_no_zip,
        unread=_no_zip,
    ),
    "h5": Format(".h5", lambda keras, model, path: model.save(str(path)), _load_model),
    "savedmodel": Format(
        ".savedmodel", _save_for_serving, _load_served, unwritten=_no_saved_model, unread=_no_saved_model
    ),
    "weights": Format(".weights.h5", _save_weights, _load_weights, whole=False),
    "old_weights": Format(".old.h5", _save_weights, _load_weights, whole=False, unwritten=_no_old_weights),
    "checkpoint": Format(
        ".ckpt",
        lambda keras, model, path: model.save_weights(str(path), save_format="tf"),
        _load_weights,
        whole=False,
        unwritten=_no_checkpoint,
        unread=_no_checkpoint,
    ),
    "json": Format(
        ".json",
        lambda keras, model, path: _write(path, model.to_json()),
        lambda keras, path, program: keras.models.model_from_json(path.read_text()),
        weighed=False,
    ),
}


def _made_again(keras: Keras, model: Model) -> Model:
    return type(model).from_config(model.get_config())


def _cloned(keras: Keras, model: Model) -> Model:
    return keras.models.clone_model(model)


#: Copies that need no file; they have the configuration of the model and weights of their own.
COPIES: Dict[str, Callable[[Keras, Model], Model]] = {"from_config": _made_again, "clone": _cloned}


def _write(path: Path, text: str) -> None:
    path.write_text(text)
