"""Every argument of an LSTM, with a value that is not its default."""

import inspect

import pytest

UNITS = 3

#: Those that are numbers or words.
PLAIN = {
    "units": 7,
    "use_bias": False,
    "unit_forget_bias": False,
    "dropout": 0.25,
    "recurrent_dropout": 0.125,
    "implementation": 1,
    "seed": 7,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "unroll": True,
    "time_major": True,
    "zero_output_for_mask": True,
    "use_cudnn": False,
    "trainable": False,
    "name": "mine",
}

#: Those that are functions or objects: the module of Keras they are from and how one is made.
MADE = {
    "activation": ("activations", lambda module: module.get("relu")),
    "recurrent_activation": ("activations", lambda module: module.get("hard_sigmoid")),
    "kernel_initializer": ("initializers", lambda module: module.Constant(0.25)),
    "recurrent_initializer": ("initializers", lambda module: module.Constant(0.5)),
    "bias_initializer": ("initializers", lambda module: module.Constant(0.75)),
    "kernel_regularizer": ("regularizers", lambda module: module.l2(0.25)),
    "recurrent_regularizer": ("regularizers", lambda module: module.l2(0.5)),
    "bias_regularizer": ("regularizers", lambda module: module.l2(0.75)),
    "activity_regularizer": ("regularizers", lambda module: module.l2(1.0)),
    "kernel_constraint": ("constraints", lambda module: module.MaxNorm(1.0)),
    "recurrent_constraint": ("constraints", lambda module: module.MaxNorm(2.0)),
    "bias_constraint": ("constraints", lambda module: module.MaxNorm(3.0)),
}

#: Layers of one argument or several.
LAYERS = {
    "LSTM": lambda subject, **given: subject.lstm(**{"units": UNITS, **given}),
    "LSTMCell": lambda subject, **given: subject.keras.layers.LSTMCell(**{"units": UNITS, **given}),
    "RNN": lambda subject, **given: subject.keras.layers.RNN(subject.keras.layers.LSTMCell(UNITS), **given),
}


def value_of(subject, name):
    """The value of an argument."""
    if name in PLAIN:
        return PLAIN[name]
    module, make = MADE[name]
    return make(getattr(subject.keras, module))


def takes(subject, kind, name):
    """Whether a layer of this Keras has an argument; a signature with ``**kwargs`` does not say."""
    layer = LAYERS[kind](subject)
    return name in inspect.signature(type(layer)).parameters or hasattr(layer, name)


def with_argument(subject, name, kind="LSTM"):
    """A layer with one argument given, if this Keras has it."""
    if not takes(subject, kind, name):
        pytest.skip(f"the {kind} of this Keras has no argument {name}")
    return LAYERS[kind](subject, **{name: value_of(subject, name)})


def same(one, other):
    """Whether two are equal, or the same function, or objects of the same class and configuration."""
    if not hasattr(other, "get_config"):
        return one is other or one == other
    return type(one) is type(other) and one.get_config() == other.get_config()
