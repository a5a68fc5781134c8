"""The option space: for each topology its options, their values and what cannot go together.

A value is a word. The words of a case, joined, are its id, which therefore says all that the case is and never changes
its meaning: ``lstm-B3-T4-D2-right_padding-sequential-predict-masking-U3-relu-last-backwards``. A default that goes
without saying is the empty word.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Dict, FrozenSet, Mapping, Sequence, Tuple

from conformance.case import MODES, Case
from conformance.masks import PATTERNS
from reference_impl import (
    LSTM,
    RNN,
    Bidirectional,
    Embedding,
    EncoderDecoder,
    Layer,
    LSTMCell,
    Masking,
    Model,
    Shared,
    StackedRNNCells,
    TimeDistributed,
)

#: An option's words, each with the arguments it stands for.
Words = Mapping[str, Mapping[str, Any]]
#: For each option a word.
Row = Mapping[str, str]

#: Arguments of a case: sizes, and how it is built and run.
OF_THE_CASE: Dict[str, Words] = {
    "batch": {"B3": {"batch": 3}, "B1": {"batch": 1}},
    "steps": {"T4": {"steps": 4}, "T1": {"steps": 1}, "open_steps": {"steps": 3, "open_steps": True}},
    "features": {"D2": {"features": 2}, "D1": {"features": 1}},
    "values": {
        "": {},
        "integers": {"values": "integers"},
        "huge": {"values": "huge"},
        "denormal": {"values": "denormal"},
        "infinite": {"values": "infinite"},
        "nan": {"values": "nan"},
        "nan_masked": {"values": "nan_masked"},
    },
    "mask": {"": {}, **{name: {"mask": name} for name in PATTERNS}},
    "states": {"": {}, "initial_state": {"initial_state": True}},
    "api": {name: {"api": name} for name in ("functional", "sequential", "subclass", "layer")},
    "mode": {name: {"mode": name} for name in MODES},
    "dtype": {
        "": {},
        **{name: {"dtype": name} for name in ("float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")},
    },
}

#: How a mask comes to the layer: ``front`` makes a layer in front of it, given the features.
SOURCES: Words = {
    "": {},
    "masking": {"front": lambda features: Masking(0.5)},
    "embedding": {"front": lambda features: Embedding(7, features, mask_zero=True)},
    "mask_argument": {"mask_dtype": "bool"},
    "integer_mask": {"mask_dtype": "int32"},
}

#: Arguments of a cell.
OF_THE_CELL: Dict[str, Words] = {
    "units": {"U3": {"units": 3}, "U1": {"units": 1}},
    "activation": {
        "": {},
        "relu": {"activation": "relu"},
        "linear": {"activation": None},
        "softsign": {"activation": "softsign"},
    },
    "recurrent_activation": {
        "": {},
        "hard_sigmoid_gates": {"recurrent_activation": "hard_sigmoid"},
        "tanh_gates": {"recurrent_activation": "tanh"},
    },
    "bias": {"": {}, "no_bias": {"use_bias": False}},
    "dropout": {
        "": {},
        "dropout": {"dropout": 0.5},
        "recurrent_dropout": {"recurrent_dropout": 0.5},
    },
    "implementation": {"": {}, "implementation1": {"implementation": 1}},
}

#: Arguments of RNN, and of LSTM too.
OF_THE_LOOP: Dict[str, Words] = {
    "returns": {
        "last": {},
        "sequences": {"return_sequences": True},
        "state": {"return_state": True},
        "sequences_state": {"return_sequences": True, "return_state": True},
    },
    "direction": {"": {}, "backwards": {"go_backwards": True}},
    "loop": {"": {}, "unroll": {"unroll": True}},
    "zero_output": {"": {}, "zero_output": {"zero_output_for_mask": True}},
    "stateful": {"": {}, "stateful": {"stateful": True}},
}

#: Arguments of Bidirectional; "own_backward" gives it a second layer that differs from the first.
OF_BIDIRECTIONAL: Dict[str, Words] = {
    "merge": {
        "": {},
        **{name: {"merge_mode": name} for name in ("sum", "mul", "ave")},
        "both": {"merge_mode": None},
    },
    "backward_layer": {"": {}, "own_backward": {"own_backward": True}},
}

#: How many cells a stack has: what each is wider than the topmost.
CELLS: Words = {"two_cells": {"wider": (1, 0)}, "one_cell": {"wider": (0,)}, "three_cells": {"wider": (2, 1, 0)}}

#: What lies below the topmost layer of a stack.
BELOW: Words = {"two_layers": {}, "bidirectional_below": {"below": Bidirectional}}

#: Words that exclude each other: no row has a word of each of these sets.
EXCLUDED: Tuple[Mapping[str, FrozenSet[str]], ...] = tuple(
    {option: frozenset(words.split("|")) for option, words in excluded.items()}
    for excluded in (
        # A mask has a source and the other way round; Masking finds 0.5, which no integer and no NaN is.
        {"mask": "", "source": "masking|embedding|mask_argument|integer_mask"},
        {"mask": "|".join(PATTERNS), "source": ""},
        {"mask": "", "values": "nan_masked"},
        # Nothing would be left that depends on the weights; all_masked is for that.
        {"mask": "masked_row", "batch": "B1"},
        {"mask": "masked_row|first_step|last_step", "steps": "T1"},
        {"values": "nan|infinite", "batch": "B1"},
        {"source": "masking", "values": "nan_masked|integers"},
        {"source": "embedding", "values": "integers|huge|denormal|infinite|nan|nan_masked"},
        # Sequential has one input and one output.
        {"api": "sequential", "source": "mask_argument|integer_mask"},
        {"api": "sequential", "states": "initial_state"},
        {"api": "sequential", "returns": "state|sequences_state"},
        {"api": "sequential", "merge": "both"},
        # A layer by itself has no predict.
        {"api": "layer", "mode": "predict|predict_batches|predict_on_batch|run_eagerly|dataset|mirrored"},
        # A stateful layer sees whole batches, on one device.
        {"stateful": "stateful", "mode": "predict_batches|mirrored"},
        {"steps": "open_steps", "loop": "unroll"},
        # Beyond the range of half precision, and what overflows or is not finite in any.
        {"values": "huge|denormal|integers", "dtype": "float16|bfloat16|mixed_float16|mixed_bfloat16"},
        {"values": "huge|infinite", "activation": "relu|linear|softsign"},
        {"values": "huge|infinite", "recurrent_activation": "tanh_gates"},
        {"values": "denormal|integers", "dtype": "float64"},
    )
)


@dataclass(frozen=True)
class Topology:
    """A way to put LSTMs together: its options, and the model that the arguments of their words describe."""

    name: str
    options: Mapping[str, Words]
    build: Callable[..., Model]

    def allows(self, row: Row) -> bool:
        """Whether these words, of all options or of some, can go together."""
        return not any(all(row.get(option) in words for option, words in some.items()) for some in EXCLUDED)

    def id(self, row: Row) -> str:
        """The id of the case of a row."""
        return "-".join([self.name, *(row[option] for option in self.options if row[option])])

    def row(self, case_id: str) -> Dict[str, str]:
        """The words of an id. Raises ValueError for a word too many or too few, or where words exclude each other."""
        words = set(case_id.split("-")[1:])
        row = {}
        for option, known in self.options.items():
            found = words & set(known) or {""}
            row[option] = found.pop()
            if found or row[option] not in known:
                raise ValueError(f"{case_id}: not one word for {option}, which knows {', '.join(filter(None, known))}")
        if self.id(row) != case_id or not self.allows(row):
            raise ValueError(f"{case_id}: no such case in the option space")
        return row

    def case(self, case_id: str) -> Case:
        """The case of an id. Raises ValueError as ``row`` does."""
        arguments: Dict[str, Any] = {}
        for option, word in self.row(case_id).items():
            arguments.update(self.options[option][word])
        own = {name: arguments.pop(name) for name in OF_A_CASE & set(arguments)}
        front = arguments.pop("front", None)
        model = self.build(**arguments)
        if front:
            model = Model((front(own["features"]), *model.layers))
        return Case(case_id, model, **own)


OF_A_CASE = {field.name for field in fields(Case)}


def _cell(**arguments: Any) -> Model:
    return Model((LSTMCell(**arguments),))


def _lstm(**arguments: Any) -> Model:
    return Model((LSTM(**arguments),))


def _rnn(**arguments: Any) -> Model:
    loop = {name: arguments.pop(name) for name in OF_RNN & set(arguments)}
    return Model((RNN(LSTMCell(**arguments), **loop),))


def _cells(units: int, wider: Sequence[int], **arguments: Any) -> Model:
    loop = {name: arguments.pop(name) for name in OF_RNN & set(arguments)}
    return Model((RNN(StackedRNNCells(tuple(LSTMCell(units + more, **arguments) for more in wider)), **loop),))


def _stack(units: int, below: Callable[[LSTM], Layer] = lambda layer: layer, **arguments: Any) -> Model:
    lower = {**arguments, "return_sequences": True, "return_state": False}
    return Model((below(LSTM(units + 1, **lower)), LSTM(units, **arguments)))


def _bidirectional(merge_mode: Any = "concat", own_backward: bool = False, **arguments: Any) -> Model:
    layer = LSTM(**arguments)
    backward = replace(layer, activation="softsign", use_bias=True, go_backwards=not layer.go_backwards)
    return Model((Bidirectional(layer, merge_mode, backward if own_backward else None),))


def _time_distributed(**arguments: Any) -> Model:
    return Model((TimeDistributed(LSTM(**arguments)),))


def _encoder_decoder(**arguments: Any) -> Model:
    encoder = {**arguments, "return_sequences": False, "return_state": True}
    return EncoderDecoder((LSTM(**encoder), LSTM(**{**arguments, "stateful": False})))


def _shared(**arguments: Any) -> Model:
    return Shared((LSTM(**arguments),))


OF_RNN = {field.name for field in fields(RNN)}


def _without(options: Mapping[str, Words], **unwanted: str) -> Dict[str, Words]:
    """Options without some of their words, given as ``option="word|word"``, or altogether with ``option="*"``."""
    return {
        option: {word: value for word, value in words.items() if word not in unwanted.get(option, "-").split("|")}
        for option, words in options.items()
        if unwanted.get(option) != "*"
    }


LAYER: Dict[str, Words] = {**OF_THE_CASE, "source": SOURCES, **OF_THE_CELL, **OF_THE_LOOP}

# What one topology has tried is not tried in all: neither every mask, nor values that try the arithmetic, nor a dtype
# that Keras cannot initialize, nor, where the code that runs is the same, the modes that take long.
ARITHMETIC = "huge|denormal|infinite|nan"
MODERATE = _without(LAYER, values=ARITHMETIC, mask="first_step|last_step|all_masked", dtype="bfloat16")
LITTLE = _without(MODERATE, mode="function|compiled|predict|predict_batches|run_eagerly|dataset|mirrored")
TWO_INPUTS = _without(LITTLE, api="sequential", source="masking|embedding", stateful="*")

TOPOLOGIES: Dict[str, Topology] = {
    topology.name: topology
    for topology in (
        Topology("lstm", LAYER, _lstm),
        Topology(
            "cell",
            {
                **_without(
                    OF_THE_CASE, mask="*", api="sequential", values=f"nan_masked|{ARITHMETIC}", dtype="bfloat16"
                ),
                "steps": {"": {"steps": 1}},
                "states": {"": {"initial_state": True}},
                **OF_THE_CELL,
            },
            _cell,
        ),
        Topology("rnn", LITTLE, _rnn),
        Topology("cells", {"cells": CELLS, **MODERATE}, _cells),
        Topology("stack", {"layers": BELOW, **LITTLE}, _stack),
        Topology("bidirectional", {**MODERATE, **OF_BIDIRECTIONAL}, _bidirectional),
        Topology(
            "time_distributed",
            _without(LITTLE, states="*", returns="state|sequences_state", stateful="*"),
            _time_distributed,
        ),
        Topology("encoder_decoder", TWO_INPUTS, _encoder_decoder),
        Topology("shared", TWO_INPUTS, _shared),
    )
}


def _differentiated(topology: Topology) -> Topology:
    """The options of a topology that gradients depend on, without words that try the forward pass alone."""
    options = _without(
        topology.options,
        steps="open_steps",
        values=f"integers|nan_masked|{ARITHMETIC}",
        mask="left_padding|first_step|last_step|masked_row",
        source="integer_mask",
        api="sequential|subclass",
        mode="|".join(set(MODES) - set(DIFFERENTIATING)),
        dtype="bfloat16|mixed_bfloat16|float16",
        dropout="dropout|recurrent_dropout",
        stateful="stateful",
    )
    return replace(topology, options=options)


#: What a model is run in while its gradients are recorded.
DIFFERENTIATING = ("call", "function", "compiled")

#: The part of the option space that gradients are asked of; its ids are ids of the whole.
OF_GRADIENTS: Dict[str, Topology] = {name: _differentiated(topology) for name, topology in TOPOLOGIES.items()}


def case(case_id: str) -> Case:
    """The case of an id. Raises ValueError where the option space has none."""
    name = case_id.split("-", maxsplit=1)[0]
    if name not in TOPOLOGIES:
        raise ValueError(f"{case_id}: unknown topology {name!r}; known are {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[name].case(case_id)
