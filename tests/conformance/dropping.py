"""Layers that drop, how they are built and called in training, and the masks that equal seeds draw."""

import random
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from by_hand import call

from conformance.dropout import KINDS, Reader, constant_weights
from conformance.subject.build import flat
from conformance.subject.layers import set_weights
from reference_impl import LSTM, RNN, Bidirectional, DropoutMasks, LSTMCell, Model, StackedRNNCells

BATCH, STEPS, FEATURES, UNITS = 4, 4, 24, 16
ONES = np.ones((BATCH, STEPS, FEATURES), "float32")
READERS = [Reader(kind, FEATURES, UNITS) for kind in KINDS]

#: How often a test of drawn numbers may fail by chance.
FALSE_ALARM = 1e-9

#: Rates of dropout and recurrent dropout whose 1/(1 - rate) is an integer.
RATES = {"neither": (0.0, 0.0), "inputs": (0.5, 0.0), "recurrent": (0.0, 0.75), "both": (0.5, 0.75)}

LINEAR = {"activation": None, "recurrent_activation": None}
READER, READER_CELL = READERS[0].layer, LSTMCell(UNITS, **LINEAR)

each_kind = pytest.mark.parametrize("reader", READERS, ids=KINDS)


def set_seed(subject, number):
    """Seed all that Keras draws from: since Keras 2.7 by its own function, before by what its guide said to do."""
    if hasattr(subject.keras.utils, "set_random_seed"):
        subject.keras.utils.set_random_seed(number)
    else:
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        subject.tensorflow.random.set_seed(number)


def dropping(description, rates):
    """A layer with these rates in each of its cells."""
    if isinstance(description, StackedRNNCells):
        return StackedRNNCells(tuple(dropping(cell, rates) for cell in description.cells))
    inner = {RNN: "cell", Bidirectional: "layer"}.get(type(description))
    if inner:
        return replace(description, **{inner: dropping(getattr(description, inner), rates)})
    return replace(description, dropout=rates[0], recurrent_dropout=rates[1])


def only(kind, rate):
    """The rates of a layer that drops entries of one kind."""
    return (rate, 0.0) if kind == "inputs" else (0.0, rate)


def built(subject, description, shape=ONES.shape):
    layer = subject.layer(description, "float32")
    layer.build(shape)
    return layer


def rows_of_layers(**arguments):
    """Layers in a row, with one or several LSTMs between them."""
    returned = {"return_sequences": True, "return_state": True}
    lstm = LSTM(UNITS, **returned, **arguments)
    cells = [LSTMCell(units, **arguments) for units in (UNITS, 12)]
    return {
        "LSTM": (lstm,),
        "RNN_of_two": (RNN(StackedRNNCells(tuple(cells)), **returned),),
        "Bidirectional": (Bidirectional(lstm),),
        "two_layers": (lstm, replace(lstm, units=12)),
    }


ROWS, LINEAR_ROWS = rows_of_layers(), rows_of_layers(**LINEAR)


def row(rows, name, rates):
    return Model(tuple(dropping(layer, RATES[rates]) for layer in rows[name]))


def sizes(model):
    """Features and units of each LSTM of a row."""
    kernels = [shape for own in model.weight_shapes(ONES.shape) for shape in own.values()][::3]
    return [(features, gates // 4) for features, gates in kernels]


def built_row(subject, model, weights):
    layers = [built(subject, *each) for each in zip(model.layers, model.input_shapes(ONES.shape))]
    set_weights(layers, weights)
    return layers


def train(subject, layers, x):
    """The states h, c of each LSTM of a row behind a call in training."""
    states = []
    for layer in layers:
        x, *own = call(subject, layer, x, training=True)
        states += own
    return states


def seeded(subject, model, number, weights, x):
    """The states behind the first call of a row that was built after seeding."""
    set_seed(subject, number)
    return train(subject, built_row(subject, model, weights), x)


@lru_cache(maxsize=None)
def drawn(subject, model, number):
    """The masks of each LSTM of a row in that call, read in turn while all others return ones."""
    masks = [{} for _ in sizes(model)]
    for part, size in enumerate(sizes(model)):
        for kind in KINDS:
            reader = Reader(kind, *size)
            weights = [constant_weights(*other) for other in sizes(model)]
            weights[part] = reader.weights
            states = seeded(subject, model, number, flat(weights), ONES[:, :2])
            masks[part][kind] = reader.masks(states[2 * part])
    return [DropoutMasks(**own) for own in masks]
