"""With nothing to drop, ``training=True`` changes nothing: a step of training begins with the outputs of inference."""

from dataclasses import replace

import numpy as np
import pytest

from conformance.masks import pattern
from conformance.subject.layers import reset_states
from reference_impl import LSTM, RNN, Bidirectional, LSTMCell, StackedRNNCells, TimeDistributed

BATCH, SLICES, STEPS, FEATURES, UNITS = 3, 2, 4, 5, 3
TOP = LSTM(UNITS, return_sequences=True, return_state=True)

#: Layers and how many states each can be given; cells of a stack are of one width: their states could be exchanged.
LAYERS = {
    "LSTM": (TOP, 2),
    "backwards": (LSTM(UNITS, go_backwards=True), 2),
    "unroll": (replace(TOP, unroll=True, go_backwards=True), 2),
    "RNN": (RNN(LSTMCell(UNITS), go_backwards=True), 2),
    "stack": (RNN(StackedRNNCells((LSTMCell(UNITS), LSTMCell(UNITS)))), 0),
    "bidirectional": (Bidirectional(LSTM(UNITS, return_sequences=True), None), 4),
    "time_distributed": (TimeDistributed(LSTM(UNITS)), 0),
}

STATEFUL = {
    "LSTM": replace(TOP, stateful=True),
    "unroll": replace(TOP, stateful=True, unroll=True),
    "bidirectional": Bidirectional(LSTM(UNITS, return_sequences=True, stateful=True)),
}


@pytest.fixture
def same_in_training(by_hand):
    """Hold what a layer returns for inputs, one after the other, to what it returns with ``training=True``."""

    def same_in_training(description, *inputs, **given):
        layer = by_hand(description, inputs[0].shape)
        outputs = []
        for training in (False, True):
            if description.stateful:
                reset_states([layer.layer])
            outputs.append([array for x in inputs for array in layer(x, training=training, **given)])
        assert len(outputs[0]) == len(outputs[1])
        differing = [number for number, pair in enumerate(zip(*outputs)) if not np.array_equal(*pair)]
        assert not differing, f"arrays {differing} are others in training"

    return same_in_training


def inputs_of(name, uniform):
    return uniform(BATCH, *([SLICES] if name == "time_distributed" else []), STEPS, FEATURES)


@pytest.mark.parametrize("name", LAYERS)
def test_masked_layer_in_training(same_in_training, uniform, name):
    x = inputs_of(name, uniform)
    rows = pattern("gaps", x[..., 0, 0].size, STEPS)
    same_in_training(LAYERS[name][0], x, mask=rows.reshape(x.shape[:-1]))


@pytest.mark.parametrize("name", [name for name, (_, states) in LAYERS.items() if states])
def test_layer_that_is_given_states_in_training(same_in_training, uniform, name):
    """A decoder is trained from the states of its encoder."""
    description, states = LAYERS[name]
    given = [uniform(BATCH, UNITS) for _ in range(states)]
    same_in_training(description, inputs_of(name, uniform), initial_state=given)


@pytest.mark.parametrize("name", STATEFUL)
def test_states_are_carried_in_training(same_in_training, uniform, name):
    same_in_training(STATEFUL[name], *(uniform(BATCH, STEPS, FEATURES) for _ in range(2)))


def test_training_reaches_a_layer_within_one_of_ones_own(subject, eager, uniform):
    """Whose ``call`` has no argument ``training``: what it calls drops in training, and only there."""
    keras = subject.keras

    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.lstm = subject.lstm(16, dropout=0.5)

        def call(self, x):
            return self.lstm(x)

    model = keras.models.Sequential([keras.Input(batch_shape=(BATCH, STEPS, FEATURES)), Own()])
    x = subject.tensors(uniform(BATCH, STEPS, FEATURES))
    trained, again = (subject.to_numpy(model(x, training=True)) for _ in range(2))
    plain, same = (subject.to_numpy(model(x)) for _ in range(2))
    assert (trained != again).any(), "nothing is dropped"
    np.testing.assert_array_equal(plain, same)


def test_what_a_layer_does_unless_told_is_nothing_to_the_next(subject, eager, uniform):
    """A layer whose ``call`` has ``training=True``, as some have that prepare data: the LSTM above it drops nothing."""
    keras = subject.keras

    class Preparing(keras.layers.Layer):
        def call(self, x, training=True):
            return x

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.prepare, self.lstm = Preparing(), subject.lstm(16, dropout=0.5)

        def call(self, x):
            return self.lstm(self.prepare(x))

    model, x = Own(), subject.tensors(uniform(BATCH, STEPS, FEATURES))
    first, second = (subject.to_numpy(model(x)) for _ in range(2))
    assert np.array_equal(first, second), "it drops at inference"
