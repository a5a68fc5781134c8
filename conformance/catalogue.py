"""The cases: every kind of model over a grid of sizes, and every option at a small size.

An id reads ``kind-api-B3-T20-D5-U8-returns``, with batch, time steps, features and units, or ends in the option it
tries; see ``_named``. It never changes its meaning.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from conformance.case import MODES, Case
from reference_impl import LSTM, Bidirectional, Dense, Layer, Masking, Model, TimeDistributed
from reference_impl.activations import FUNCTIONS
from reference_impl.wrappers import MERGE_MODES

Layers = Tuple[Layer, ...]
Size = Tuple[int, int, int, int]

#: Batch, time steps, features, units: each one or many, and different where one could pass for another.
SIZES: Tuple[Size, ...] = (
    (1, 1, 1, 1),
    (2, 1, 3, 4),
    (1, 2, 1, 5),
    (3, 5, 2, 1),
    (2, 7, 4, 3),
    (3, 20, 5, 8),
    (32, 20, 1, 6),
    (5, 13, 32, 7),
    (2, 11, 3, 128),
)
#: Of many steps, which take long.
LONG: Size = (2, 200, 3, 4)
LONG_AND_WIDE: Size = (1, 200, 8, 128)
SMALL: Size = (2, 7, 4, 3)
#: More than registers hold, and no multiple of their width.
WIDE_AND_ODD: Size = (17, 19, 21, 35)

#: The names Keras knows, and None; the older ``hard_sigmoid`` is another definition, not another name.
ACTIVATIONS: Tuple[Optional[str], ...] = (*sorted(set(FUNCTIONS) - {"hard_sigmoid_keras2"}), None)

#: Functions that differ from another one beyond a corner only, and how much larger weights must be to get there.
KINKED = (
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "linear",
    "relu",
    "relu6",
    "sparse_plus",
    "sparse_sigmoid",
)
WIDE = 16.0

#: What a layer returns, by the arguments that say so.
RETURNS: Dict[str, Dict[str, Any]] = {
    "last": {},
    "sequences": {"return_sequences": True},
    "state": {"return_state": True},
    "sequences_state": {"return_sequences": True, "return_state": True},
}

#: An API and what is returned; Sequential refuses layers with several outputs.
WAYS: Tuple[Tuple[str, str], ...] = (
    ("sequential", "last"),
    ("sequential", "sequences"),
    *(("functional", returns) for returns in RETURNS),
)

#: A kind of model from its top LSTM. The layers of a stack differ in width, so that none passes for another.
KINDS: Dict[str, Callable[[LSTM], Layers]] = {
    "single": lambda top: (top,),
    "stack2": lambda top: (LSTM(top.units + 1, return_sequences=True), top),
    "stack3": lambda top: (LSTM(top.units + 2, return_sequences=True), *KINDS["stack2"](top)),
    "bidirectional": lambda top: (Bidirectional(top),),
}


def grid(kind: str, tier: str = "full") -> Iterator[Case]:
    """Every size with everything a layer can return, in both APIs; of many steps all in one case.

    The default tier has every pair: each size in each way, in one kind after another.
    """
    turn = list(KINDS).index(kind)
    for (row, size), (column, (api, returns)) in product(enumerate(SIZES), enumerate(WAYS)):
        if tier == "full" or (turn + row - column) % len(KINDS) == 0:
            yield _named(kind, returns, _case(size, KINDS[kind](LSTM(size[3], **RETURNS[returns])), api=api))
    for size, mode in ((LONG, "call"), (LONG_AND_WIDE, "predict")):
        layers = KINDS[kind](LSTM(size[3], **RETURNS["sequences_state"]))
        yield _named(kind, "sequences_state", _case(size, layers, mode=mode))


def options() -> Iterator[Case]:
    """Activations, bias, direction, initial states, dtype, ``predict`` and merge modes, one at a time."""
    top = LSTM(SMALL[3], return_sequences=True, return_state=True)
    for name in ACTIVATIONS:
        yield _named("activation", str(name), _case(SMALL, (replace(top, activation=name),)))
        yield _named("recurrent_activation", str(name), _case(SMALL, (replace(top, recurrent_activation=name),)))
    for name in KINKED:
        yield _named("activation", f"{name}-wide", _case(SMALL, (replace(top, activation=name),), weight_scale=WIDE))
        gates = replace(top, recurrent_activation=name)
        yield _named("recurrent_activation", f"{name}-wide", _case(SMALL, (gates,), weight_scale=WIDE))
    for kind, build in KINDS.items():
        yield _named(kind, "no_bias", _case(SMALL, build(replace(top, use_bias=False))))
        yield _named(kind, "go_backwards", _case(SMALL, build(replace(top, go_backwards=True))))
        yield _named(kind, "initial_state", _case(SMALL, build(top), initial_state=True))
        yield _named(kind, "float64", _case(SMALL, build(top), dtype="float64"))
        yield _named(kind, "predict", _case(SMALL, build(top), mode="predict"))
    for mode, returns in product(MERGE_MODES, RETURNS):
        layer = Bidirectional(LSTM(SMALL[3], **RETURNS[returns]), merge_mode=mode)
        yield _named("bidirectional", f"merge_{mode}-{returns}", _case(SMALL, (layer,)))


def modes() -> Iterator[Case]:
    """Stacks, of layers and on a Bidirectional, in the modes in which the option space does not run them."""
    top = LSTM(SMALL[3], return_sequences=True, return_state=True)
    below = Bidirectional(LSTM(SMALL[3] + 1, return_sequences=True))
    for mode in (mode for mode in MODES if mode not in ("call", "predict_on_batch")):
        yield _named("bidirectional_below", mode, _case(SMALL, (below, top), mode=mode))
        if mode != "predict":  # one of the options
            yield _named("stack2", mode, _case(SMALL, KINDS["stack2"](top), mode=mode))


def wide() -> Iterator[Case]:
    """Masks, states, directions and wrappers where kernels that compute many rows or columns at a time have a rest."""
    layer = LSTM(WIDE_AND_ODD[3], return_sequences=True, return_state=True)
    gaps, padded = ({"mask": pattern, "mask_dtype": "bool"} for pattern in ("gaps", "right_padding"))
    for what, layers, how in (
        ("gaps", (layer,), gaps),
        ("right_padding", (layer,), padded),
        ("zero_output", (replace(layer, zero_output_for_mask=True),), gaps),
        ("backwards", (replace(layer, go_backwards=True),), padded),
        ("initial_state", (layer,), {"initial_state": True}),
        ("stateful", (replace(layer, stateful=True),), {}),
    ):
        yield _named("single", what, _case(WIDE_AND_ODD, layers, **how))
    yield _named("bidirectional", "right_padding", _case(WIDE_AND_ODD, (Bidirectional(layer),), **padded))
    yield _named("stack2", "right_padding", _case(WIDE_AND_ODD, KINDS["stack2"](layer), **padded))


def heads() -> Iterator[Case]:
    """Dense layers on top of each kind of model, on the last output and on every step."""
    for kind, build in KINDS.items():
        last, sequences = LSTM(SMALL[3]), LSTM(SMALL[3], return_sequences=True)
        for api in ("sequential", "functional"):
            yield _named(kind, "dense", _case(SMALL, (*build(last), Dense(2)), api=api))
            yield _named(kind, "dense_each_step", _case(SMALL, (*build(sequences), Dense(2, "softmax")), api=api))
            distributed = TimeDistributed(Dense(2, "tanh"))
            yield _named(kind, "time_distributed", _case(SMALL, (*build(sequences), distributed), api=api))


def conversions() -> Iterator[Case]:
    """Models that are converted: what a converter has one operation for, what it must take apart, and batch sizes."""
    last, sequences = LSTM(SMALL[3]), LSTM(SMALL[3], return_sequences=True)
    top = replace(sequences, return_state=True)
    masked = {"mask": "right_padding"}
    for mode in ("tflite", "litert", "onnx"):
        yield _named("single", mode, _case(SMALL, (top,), mode=mode))
        for batch in (1, 5):
            yield _named("single", mode, _case((batch, *SMALL[1:]), (top,), mode=mode))
        yield _named("single", f"{mode}-last", _case(SMALL, (last,), mode=mode))
        yield _named("single", f"{mode}-no_bias", _case(SMALL, (replace(top, use_bias=False),), mode=mode))
        yield _named("single", f"{mode}-go_backwards", _case(SMALL, (replace(top, go_backwards=True),), mode=mode))
        yield _named("single", f"{mode}-unroll", _case(SMALL, (replace(top, unroll=True),), mode=mode))
        dropping = replace(top, unroll=True, dropout=0.5, recurrent_dropout=0.5)
        yield _named("single", f"{mode}-dropout", _case(SMALL, (dropping,), mode=mode))
        yield _named("single", f"{mode}-initial_state", _case(SMALL, (top,), mode=mode, initial_state=True))
        yield _named("single", f"{mode}-mask", _case(SMALL, (top,), mode=mode, mask_dtype="bool", **masked))
        yield _named("single", f"{mode}-masking", _case(SMALL, (Masking(), top), mode=mode, **masked))
        yield _named("activation", f"{mode}-relu", _case(SMALL, (replace(top, activation="relu"),), mode=mode))
        gates = replace(top, recurrent_activation="hard_sigmoid")
        yield _named("recurrent_activation", f"{mode}-hard_sigmoid", _case(SMALL, (gates,), mode=mode))
        yield _named("stack2", mode, _case(SMALL, KINDS["stack2"](top), mode=mode))
        yield _named("bidirectional", mode, _case(SMALL, KINDS["bidirectional"](top), mode=mode))
        yield _named("single", f"{mode}-dense", _case(SMALL, (last, Dense(2)), mode=mode))
    mode = "tflite_of_model"
    yield _named("single", mode, _case(SMALL, (last,), mode=mode))
    yield _named("single", f"{mode}-go_backwards", _case(SMALL, (replace(sequences, go_backwards=True),), mode=mode))
    yield _named("single", f"{mode}-initial_state", _case(SMALL, (sequences,), mode=mode, initial_state=True))
    yield _named("single", f"{mode}-states", _case(SMALL, (top,), mode=mode))
    yield _named("single", "tflite_of_open_batch", _case(SMALL, (top,), mode="tflite_of_open_batch"))


def _case(size: Size, layers: Layers, **how: Any) -> Case:
    batch, steps, features, _ = size
    return Case("", Model(layers), batch, steps, features, **how)


def _named(kind: str, what: str, case: Case) -> Case:
    """The case with its id: kind of model, API, sizes (units are the top layer's), and what it returns or tries."""
    top: Any = case.model.layers[-1]
    units = getattr(top, "layer", top).units
    sizes = f"B{case.batch}-T{case.steps}-D{case.features}-U{units}"
    return replace(case, id=f"{kind}-{case.api}-{sizes}-{what}")
