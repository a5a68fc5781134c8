"""Stateful layers: what is carried from call to call, and what makes them forget."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from by_hand import agree, call, matches

from conformance.subject.build import flat
from conformance.subject.layers import reset_states
from reference_impl import LSTM, RNN, Bidirectional, LSTMCell, StackedRNNCells

BATCH, STEPS, FEATURES, UNITS = 2, 3, 5, 3
SHAPE = (BATCH, STEPS, FEATURES)

CELLS = {"one": (LSTMCell(3),), "two": (LSTMCell(4), LSTMCell(3))}
LAYERS = {
    "LSTM": LSTM(UNITS, stateful=True, return_sequences=True),
    "RNN": RNN(LSTMCell(UNITS), stateful=True, return_sequences=True),
    "RNN_of_one": RNN(StackedRNNCells(CELLS["one"]), stateful=True, return_sequences=True),
    "RNN_of_two": RNN(StackedRNNCells(CELLS["two"]), stateful=True, return_sequences=True),
    "Bidirectional": Bidirectional(LSTM(UNITS, stateful=True, return_sequences=True)),
}
READING_FORWARDS = [name for name in LAYERS if name != "Bidirectional"]

each_layer = pytest.mark.parametrize("name", LAYERS)


@each_layer
def test_next_call_starts_where_the_last_ended(by_hand, uniform, name):
    layer = by_hand(LAYERS[name], SHAPE)
    first, second, third = uniform(*SHAPE), uniform(*SHAPE), uniform(*SHAPE)
    agree(layer(first), layer.expected(first))
    agree(layer(second), layer.expected(first, second))
    agree(layer(third), layer.expected(first, second, third))


@pytest.mark.parametrize("name", READING_FORWARDS)
def test_two_halves_are_the_whole(by_hand, uniform, name):
    """Steps that come in two calls, of other lengths, give what they give in one."""
    layer = by_hand(LAYERS[name], (BATCH, None, FEATURES))
    x = uniform(BATCH, 5, FEATURES)
    halves = [layer(half) for half in (x[:, :2], x[:, 2:])]
    agree([np.concatenate(parts, axis=1) for parts in zip(*halves)], layer.expected(x))


@each_layer
def test_training_carries_too(by_hand, uniform, name):
    layer = by_hand(LAYERS[name], SHAPE)
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    agree(layer(first, training=True), layer.expected(first))
    agree(layer(second), layer.expected(first, second))


@each_layer
def test_layer_that_is_not_stateful_starts_anew(by_hand, uniform, name):
    layer = by_hand(changed(LAYERS[name], stateful=False), SHAPE)
    x = uniform(*SHAPE)
    for _ in range(2):
        agree(layer(x), layer.expected(x))


#: Layers of which every half and every cell is to be reset.
RESET = {**LAYERS, "both_halves": replace(LAYERS["Bidirectional"], merge_mode=None)}


@pytest.mark.parametrize("name", RESET)
@pytest.mark.parametrize("method", ["reset_states", "reset_state"])
def test_reset_forgets(by_hand, uniform, name, method):
    layer = by_hand(RESET[name], SHAPE)
    if not hasattr(layer.layer, method):
        pytest.skip(f"layers of this Keras have no {method}()")
    x = uniform(*SHAPE)
    layer(uniform(*SHAPE))
    getattr(layer.layer, method)()
    agree(layer(x), layer.expected(x))


def test_bidirectional_without_states_refuses_to_be_reset(subject):
    """There is nothing to reset in a layer that is not stateful."""
    layer = subject.layer(Bidirectional(LSTM(UNITS)), "float32")
    with pytest.raises(AttributeError, match="stateful"):
        layer.reset_states()


def test_reset_of_a_model_forgets_in_all_layers(subject, by_hand, uniform):
    """Resetting a model, as the documentation of RNN has it, resets its stateful layers, those in a Bidirectional too.

    The method is ``reset_states`` in Keras 2 and ``reset_state`` in Keras 3.
    """
    lstm = by_hand(LAYERS["LSTM"], SHAPE)
    bidirectional = by_hand(LAYERS["Bidirectional"], (BATCH, STEPS, UNITS))
    x = subject.keras.Input(batch_shape=SHAPE)
    model = subject.keras.Model(x, bidirectional.layer(lstm.layer(x)))
    x, before = uniform(*SHAPE), uniform(*SHAPE)
    afresh = call(subject, model, x)
    call(subject, model, before)
    (model.reset_states if subject.generation == 2 else model.reset_state)()
    again = call(subject, model, x)
    assert np.array_equal(again, afresh)


def test_reset_of_a_model_reaches_a_model_within_it(subject, by_hand, uniform):
    """A model that is a layer of another is reset with it."""
    lstm = by_hand(LAYERS["LSTM"], SHAPE)
    inner, x = model_of(subject, lstm), subject.keras.Input(batch_shape=SHAPE)
    model = subject.keras.Model(x, inner(x))
    if not hasattr(model, "reset_states"):
        pytest.skip("models of this Keras have no reset_states()")
    x, before = uniform(*SHAPE), uniform(*SHAPE)
    model.predict_on_batch(before)
    model.reset_states()
    agree([model.predict_on_batch(x)], lstm.expected(x))


@each_layer
def test_reset_to_given_values(by_hand, uniform, name):
    """``reset_states([h, c])`` of Keras 2 makes them the states the next call starts from."""
    layer = by_hand(LAYERS[name], SHAPE)
    if "states" not in inspect.signature(layer.layer.reset_states).parameters:
        pytest.skip("reset_states() of this layer of this Keras takes no states")
    x, states = uniform(*SHAPE), [uniform(*shape) for shape in LAYERS[name].state_shapes(SHAPE)]
    layer(uniform(*SHAPE))
    layer.layer.reset_states(nested(states, name))
    agree(layer(x), layer.expected(x, initial_state=states))


def test_batch_input_shape_tells_the_size_of_the_batch(subject, by_hand, uniform):
    """Of the first layer of a Sequential it is how stateful layers of Keras 2 are told it, says their documentation."""
    if subject.generation > 2:
        pytest.skip("layers of this Keras have no batch_input_shape=")
    lstm = by_hand(LAYERS["LSTM"], SHAPE)
    model = subject.keras.Sequential([subject.layer(LAYERS["LSTM"], "float32", batch_input_shape=SHAPE)])
    model.set_weights(lstm.weights)
    assert tuple(model.input_shape) == SHAPE
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    agree([model.predict_on_batch(first)], lstm.expected(first))
    agree([model.predict_on_batch(second)], lstm.expected(first, second))


@each_layer
def test_given_initial_state_is_carried_on(by_hand, uniform, name):
    layer = by_hand(LAYERS[name], SHAPE)
    states = [uniform(*shape) for shape in LAYERS[name].state_shapes(SHAPE)]
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    agree(layer(first, initial_state=nested(states, name)), layer.expected(first, initial_state=states))
    agree(layer(second), layer.expected(first, second, initial_state=states))


@each_layer
def test_given_initial_state_replaces_what_was_carried(by_hand, uniform, name):
    """``initial_state`` is documented as what is "passed to the first call of the cell", stateful or not."""
    layer = by_hand(LAYERS[name], SHAPE)
    states = [uniform(*shape) for shape in LAYERS[name].state_shapes(SHAPE)]
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    layer(first)
    output = layer(second, initial_state=nested(states, name))
    assert not matches(output, layer.expected(first, second)), "the given initial_state was ignored"
    agree(output, layer.expected(second, initial_state=states))


@each_layer
def test_initial_state_may_be_a_tuple(subject, by_hand, uniform, name):
    """States that come in a tuple are those that come in a list."""
    layer = by_hand(changed(LAYERS[name], stateful=False), SHAPE)
    x, states = uniform(*SHAPE), [uniform(*shape) for shape in LAYERS[name].state_shapes(SHAPE)]
    given = tuple(subject.tensors(nested(states, name)))
    agree(layer(x, initial_state=given), layer.expected(x, initial_state=states))


def nested(states, name):
    """Of a stack of cells each cell's states are a list of their own."""
    return [states[i : i + 2] for i in range(0, len(states), 2)] if name.startswith("RNN_of") else states


@each_layer
@pytest.mark.parametrize("rows", [1, BATCH + 1])
def test_another_batch_size_is_refused(by_hand, uniform, name, rows):
    """There is a state for each row, no more and no less; it is still there for a batch of the right size."""
    layer = by_hand(LAYERS[name], SHAPE)
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    layer(first)
    with pytest.raises(Exception, match=r"batch size|expected shape|Incompatible shapes|Tensor's shape"):
        layer(uniform(rows, STEPS, FEATURES))
    agree(layer(second), layer.expected(first, second))


@each_layer
def test_masked_row_keeps_its_state(by_hand, uniform, name):
    """Where all steps of a row are masked its states pass through the call as they were, beside those of other rows."""
    layer = by_hand(LAYERS[name], SHAPE)
    inputs = [uniform(*SHAPE) for _ in range(3)]
    everything = np.ones((BATCH, STEPS), dtype=bool)
    masks = [everything, np.array([[False, False, False], [True, True, False]]), everything]
    for calls, (x, mask) in enumerate(zip(inputs, masks), 1):
        agree(layer(x, mask=mask), layer.expected(*inputs[:calls], masks=masks[:calls]))


@each_layer
def test_states_are_kept_in_the_layer(by_hand, uniform, name):
    """``layer.states`` are those the last call ended in; a Bidirectional's the forward half's, then the backward's."""
    layer = by_hand(LAYERS[name], SHAPE)
    if not hasattr(layer.layer, "states"):
        pytest.skip("Bidirectional of this Keras has no states of its own")
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    layer.description = changed(LAYERS[name], return_state=True)
    for inputs in ([first], [first, second]):
        layer(inputs[-1])
        agree([state.numpy() for state in flat(layer.layer.states)], layer.expected(*inputs)[1:])


def test_stateful_bidirectional_returns_its_states(by_hand, uniform):
    layer = by_hand(Bidirectional(LSTM(UNITS, stateful=True, return_state=True)), SHAPE)
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    agree(layer(first), layer.expected(first))
    agree(layer(second), layer.expected(first, second))


@each_layer
@pytest.mark.parametrize("dtype", ["float64", "mixed_float16"])
def test_states_of_other_dtypes(by_hand, uniform, name, dtype):
    """States are as precise as the layer computes."""
    layer = by_hand(LAYERS[name], SHAPE, dtype=dtype)
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    agree(layer(first), layer.expected(first))
    agree(layer(second), layer.expected(first, second))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["LSTM", "Bidirectional"])
def test_call_without_side_effects_hands_on_its_states(by_hand, uniform, name):
    """``stateless_call`` returns all that a call changes, and takes it back; the layer itself stays at rest."""
    layer = by_hand(LAYERS[name], SHAPE)
    if not hasattr(layer.layer, "stateless_call"):
        pytest.skip("this Keras has no stateless_call")
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    trainable, changing = (
        [variable.value for variable in own]
        for own in (layer.layer.trainable_variables, layer.layer.non_trainable_variables)
    )
    for x in (first, second):
        outputs, changing = layer.layer.stateless_call(trainable, changing, x)
    found = [layer.subject.to_numpy(one) for one in flat(outputs)]
    assert not matches(found, layer.expected(second)), "the second call starts from zeros"
    agree(found, layer.expected(first, second))
    agree(layer(first), layer.expected(first))


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_float16"])
def test_states_are_variables_of_the_layer(by_hand, uniform, dtype):
    """States have the dtype of variables: float32 in a layer that computes in float16."""
    lstm = by_hand(LAYERS["LSTM"], SHAPE, dtype=dtype)
    lstm(uniform(*SHAPE))
    kept = [np.dtype(getattr(state.dtype, "name", state.dtype)) for state in lstm.layer.states]
    assert kept == [np.dtype(dtype.replace("mixed_float16", "float32"))] * 2


@pytest.mark.parametrize("name", ["LSTM", "RNN_of_two", "Bidirectional"])
def test_predict_carries_from_batch_to_batch(subject, by_hand, uniform, name):
    """Of 4 rows in batches of 2 the last two follow the first two; the next ``predict`` follows them."""
    layer = by_hand(LAYERS[name], SHAPE)
    model = model_of(subject, layer)
    first, second, third = uniform(*SHAPE), uniform(*SHAPE), uniform(*SHAPE)
    outputs = model.predict(np.concatenate([first, second]), batch_size=BATCH, verbose=0)
    agree([outputs[:BATCH]], layer.expected(first))
    assert not matches([outputs[BATCH:]], layer.expected(second)), "the second batch started from zeros"
    agree([outputs[BATCH:]], layer.expected(first, second))
    agree([model.predict(third, batch_size=BATCH, verbose=0)], layer.expected(first, second, third))


def test_fit_carries_from_batch_to_batch(subject, by_hand, uniform):
    """Two batches of training, without a step of learning, leave the states that ``predict`` then starts from."""
    layer = by_hand(LAYERS["LSTM"], SHAPE)
    model = model_of(subject, layer)
    model.compile(optimizer=subject.keras.optimizers.SGD(0.0), loss="mse")
    first, second, third = uniform(*SHAPE), uniform(*SHAPE), uniform(*SHAPE)
    inputs, targets = np.concatenate([first, second]), np.zeros((2 * BATCH, STEPS, UNITS))
    model.fit(inputs, targets, batch_size=BATCH, shuffle=False, verbose=0)
    agree([model.predict(third, batch_size=BATCH, verbose=0)], layer.expected(first, second, third))


@pytest.mark.usefixtures("eager")
def test_reset_between_epochs_of_training(subject, by_hand, uniform):
    """By a callback, as people do who train on pieces of long sequences: each epoch starts from zeros."""
    layer = by_hand(LAYERS["LSTM"], SHAPE)
    model = model_of(subject, layer)
    model.compile(optimizer=subject.keras.optimizers.SGD(0.0), loss="mse")
    first, second, targets = uniform(*SHAPE), uniform(*SHAPE), uniform(2 * BATCH, STEPS, UNITS)
    between = subject.keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: reset_states([layer.layer]))
    given = {"batch_size": BATCH, "shuffle": False, "verbose": 0, "callbacks": [between]}
    found = model.fit(np.concatenate([first, second]), targets, epochs=3, **given).history["loss"]
    anew, carried = (
        ((np.concatenate([one[0].value, other[0].value]) - targets) ** 2).mean()
        for one, other in (
            (layer.expected(first), layer.expected(first, second)),
            (layer.expected(first, second, first), layer.expected(first, second, first, second)),
        )
    )
    assert not np.isclose(found[1], carried), "the second epoch starts where the first ended"
    assert np.allclose(found, anew)


@pytest.mark.usefixtures("eager")
def test_evaluate_carries_from_batch_to_batch(subject, by_hand, uniform):
    """Its loss is that of a second batch that follows the first."""
    layer = by_hand(LAYERS["LSTM"], SHAPE)
    model = model_of(subject, layer)
    model.compile(loss="mse", run_eagerly=True)
    first, second, targets = uniform(*SHAPE), uniform(*SHAPE), uniform(2 * BATCH, STEPS, UNITS)
    found = model.evaluate(np.concatenate([first, second]), targets, batch_size=BATCH, verbose=0)
    carried, anew = (
        ((np.concatenate([layer.expected(first)[0].value, of_second[0].value]) - targets) ** 2).mean()
        for of_second in (layer.expected(first, second), layer.expected(second))
    )
    assert not np.isclose(found, anew), "the second batch started from zeros"
    assert np.isclose(found, carried)


@pytest.mark.parametrize("name", ["LSTM", "Bidirectional"])
def test_smaller_last_batch_is_refused(subject, by_hand, uniform, name):
    """A stateful layer sees whole batches: three rows in batches of two cannot be carried on from row to row."""
    model = model_of(subject, by_hand(LAYERS[name], SHAPE))
    x = uniform(BATCH + 1, STEPS, FEATURES)
    try:
        outputs = model.predict(x, batch_size=BATCH, verbose=0)
    except (ValueError, subject.tensorflow.errors.OpError):
        pass  # of a graph, TensorFlow may say no more than that it was cancelled
    else:
        raise AssertionError(f"{len(x)} rows were accepted and gave {len(outputs)}")


def model_of(subject, layer):
    x = subject.keras.Input(batch_shape=SHAPE)
    return subject.keras.Model(x, layer.layer(x))


def changed(description, **changes):
    """A layer with other arguments; a Bidirectional with others of the layer it holds."""
    if isinstance(description, Bidirectional):
        return replace(description, layer=changed(description.layer, **changes))
    return replace(description, **changes)


#: All of them, and halves of which each has the states of two cells.
RETURNING_STATES = {**LAYERS, "Bidirectional_of_two": Bidirectional(LAYERS["RNN_of_two"])}


@pytest.mark.parametrize("name", RETURNING_STATES)
def test_states_are_taken_back_as_they_were_returned(by_hand, uniform, name):
    """What a call returns behind its output is the initial state that the next call takes, nested as it is."""
    layer = by_hand(changed(RETURNING_STATES[name], stateful=False, return_state=True), (BATCH, None, FEATURES))
    if not layer.subject.eager:
        pytest.skip("this Keras does not compute eagerly")
    first, second = (layer.subject.tensors(uniform(*SHAPE)) for _ in range(2))
    _, *states = layer.layer(first)
    outputs = [layer.subject.to_numpy(output) for output in flat(layer.layer(second, initial_state=states))]
    given = [layer.subject.to_numpy(state) for state in flat(states)]
    agree(outputs, layer.expected(layer.subject.to_numpy(second), initial_state=given))
