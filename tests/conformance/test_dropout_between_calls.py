"""When dropout draws, and from which seed: what calls in training and at inference have to do with each other."""

import inspect

import numpy as np
import pytest
from by_hand import call
from dropping import (
    BATCH,
    FEATURES,
    ONES,
    RATES,
    READER_CELL,
    READERS,
    ROWS,
    STEPS,
    UNITS,
    dropping,
    row,
    seeded,
    set_seed,
)

pytestmark = pytest.mark.usefixtures("drawn_from_the_id")


@pytest.mark.parametrize("name", ["LSTM", "Bidirectional"])
def test_equal_seeds_give_equal_results(subject, uniform, name):
    """The global seed decides what is dropped."""
    model = row(ROWS, name, "both")
    x = uniform(BATCH, 2, FEATURES)
    weights = [uniform(*shape) for own in model.weight_shapes(ONES.shape) for shape in own.values()]
    first, again, other = (seeded(subject, model, number, weights, x) for number in (7, 7, 8))
    assert all(np.array_equal(*pair) for pair in zip(first, again)), "equal seeds give different results"
    assert not any(np.array_equal(*pair) for pair in zip(first, other)), "different seeds give equal results"


SEEDED = {
    "LSTM": lambda subject, **arguments: subject.lstm(UNITS, **arguments),
    "RNN": lambda subject, **arguments: subject.keras.layers.RNN(subject.keras.layers.LSTMCell(UNITS, **arguments)),
    "Bidirectional": lambda subject, **arguments: subject.keras.layers.Bidirectional(subject.lstm(UNITS, **arguments)),
}


@pytest.mark.parametrize("rates", ["inputs", "both"])
@pytest.mark.parametrize("name", SEEDED)
def test_equal_seed_arguments_give_equal_results(subject, uniform, name, rates):
    """Layers with an equal ``seed`` drop the same in their first calls, and the same in their second."""
    if "seed" not in inspect.signature(subject.keras.layers.LSTMCell).parameters:
        pytest.skip("layers of this Keras have no seed=")
    x, weights = uniform(BATCH, 2, FEATURES), {}
    rate, of_h = RATES[rates]

    def two_calls(number):
        layer = SEEDED[name](subject, dropout=rate, recurrent_dropout=of_h, seed=number)
        layer.build(ONES.shape)
        layer.set_weights([weights.setdefault(at, uniform(*w.shape)) for at, w in enumerate(layer.get_weights())])
        return [call(subject, layer, x, training=True)[0] for _ in range(2)]

    first, again, other = (two_calls(number) for number in (7, 7, 8))
    assert np.array_equal(first, again), "layers with equal seeds give different results"
    assert not np.array_equal(first[0], other[0]), "layers with different seeds give equal results"
    assert not np.array_equal(*first), "both calls give equal results"


def test_cell_keeps_its_masks_until_they_are_reset(subject):
    """A cell that is called by hand, step by step, drops the same until ``reset_dropout_mask()`` and its like for h."""
    cell = subject.layer(dropping(READER_CELL, RATES["both"]), "float32")
    cell.build((BATCH, FEATURES))
    x, states = ONES[:, 0], [subject.tensors(np.ones((BATCH, UNITS), "float32"))] * 2
    if not hasattr(cell, "reset_dropout_mask"):
        pytest.skip("cells of this Keras do not say how to reset their masks")
    resets = {"inputs": cell.reset_dropout_mask, "recurrent": cell.reset_recurrent_dropout_mask}
    for reader in READERS:
        cell.set_weights(reader.weights)
        first, second = (call(subject, cell, x, states=states, training=True)[0] for _ in range(2))
        assert np.array_equal(first, second), f"{reader.kind}: two steps have different masks"
        resets[reader.kind]()
        third = call(subject, cell, x, states=states, training=True)[0]
        assert not np.array_equal(first, third), f"{reader.kind}: the mask outlives its reset"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("training", [True, False])
def test_training_given_to_the_layer_is_heeded_in_a_model(subject, training):
    """``layer(x, training=True)`` in a functional model drops whatever the model is doing; ``False`` never does.

    That is how dropout at inference (Gal and Ghahramani, 2016) is written.
    """
    x = subject.keras.Input((1, 64))
    model = subject.keras.Model(x, subject.lstm(UNITS, dropout=0.5)(x, training=training))
    value = subject.tensors(np.ones((1, 1, 64), "float32"))
    first, second = (subject.to_numpy(model(value, training=not training)) for _ in range(2))
    assert np.array_equal(first, second) != training, f"training={training} was overridden by the call of the model"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("how", ["eager", "function"])
def test_training_given_as_a_tensor_is_heeded(subject, how):
    """``training`` is "Boolean or boolean scalar tensor", says ``Model.call`` of Keras 2."""
    if subject.generation > 2:
        pytest.skip("training is a boolean of Python in this Keras")
    x = subject.keras.Input((1, 64))
    model = subject.keras.Model(x, subject.lstm(UNITS, dropout=0.5)(x))
    value, called = subject.tensors(np.ones((1, 1, 64), "float32")), model
    if how == "function":
        called = subject.tensorflow.function(lambda x, training: model(x, training=training))
    for training in (True, False):
        given = subject.tensors(np.array(training))
        first, second = (subject.to_numpy(called(value, training=given)) for _ in range(2))
        assert np.array_equal(first, second) != training, f"training={training} was not heeded"


def test_predicting_leaves_training_as_it_was(subject):
    """What is drawn in training does not depend on whether ``predict`` was called before."""
    states = []
    for predicts in (False, False, True):
        subject.keras.backend.clear_session()
        set_seed(subject, 1)
        x = subject.keras.Input((1, 8))
        model = subject.keras.Model(x, subject.lstm(UNITS, dropout=0.5)(x))
        model.set_weights([np.full(weight.shape, 0.25, "float32") for weight in model.get_weights()])
        model.compile("sgd", "mse")
        inputs = np.ones((4, 1, 8), "float32")
        if predicts:
            model.predict(inputs, verbose=0)
        model.fit(inputs, np.zeros((4, UNITS), "float32"), verbose=0)
        states.append(model.get_weights()[0])
    before, again, after = states
    if not np.array_equal(before, again):
        pytest.skip("a seed does not decide what this Keras draws in training")
    assert np.array_equal(before, after), "predict changed what fit draws"


def test_refused_call_leaves_nothing_behind(subject):
    """After a call that fails, the layer takes a good one of another batch size."""
    layer = subject.lstm(UNITS, dropout=0.5)
    call(subject, layer, ONES[:2])
    with pytest.raises(Exception):  # noqa: B017, PT011  whatever it is, it is not what is asked here
        call(subject, layer, ONES, mask=np.ones((7, STEPS), "bool"))
    (outputs,) = call(subject, layer, ONES[:2], training=True)
    assert outputs.shape == (2, UNITS)
