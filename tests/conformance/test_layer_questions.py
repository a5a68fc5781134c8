"""What a layer answers without being run: shapes, masks, weights, names."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from by_hand import agree, call, near, part_of

from conformance.catalogue import RETURNS
from conformance.subject.build import flat
from conformance.subject.layers import base_name
from conformance.subject.summary import read_summary
from reference_impl import LSTM, RNN, Bidirectional, LSTMCell, StackedRNNCells, TimeDistributed, parameter_count
from reference_impl.wrappers import MERGE_MODES

BATCH, STEPS, FEATURES, UNITS = 2, 6, 5, 3
SHAPE = (BATCH, STEPS, FEATURES)
CELLS = StackedRNNCells((LSTMCell(4), LSTMCell(3)))


def each(make):
    """Parametrize a test with the layers of ``make``, each with every combination of what it returns."""
    made = {f"{name}-{key}": layer for key, returns in RETURNS.items() for name, layer in make(returns).items()}
    return pytest.mark.parametrize("description", list(made.values()), ids=list(made))


def recurrent_layers(returns, merge_modes=MERGE_MODES):
    lstm = LSTM(UNITS, **returns)
    return {
        "LSTM": lstm,
        "RNN": RNN(LSTMCell(UNITS), **returns),
        "StackedRNNCells": RNN(CELLS, **returns),
        **{f"Bidirectional-{mode}": Bidirectional(lstm, merge_mode=mode) for mode in merge_modes},
    }


@each(recurrent_layers)
@pytest.mark.parametrize("shape", [(BATCH, STEPS, FEATURES), (None, None, FEATURES)], ids=["known", "open"])
def test_compute_output_shape(subject, description, shape):
    shapes = shapes_in(subject.layer(description, "float32").compute_output_shape(shape))
    assert shapes == list(description.output_shapes(shape).values()), f"answered {shapes}"


@each(lambda returns: {"TimeDistributed": TimeDistributed(LSTM(UNITS, **returns))})
def test_compute_output_shape_of_a_time_distributed(subject, description):
    shape = (BATCH, 4, STEPS, FEATURES)
    shapes = shapes_in(subject.layer(description, "float32").compute_output_shape(shape))
    assert shapes == list(description.output_shapes(shape).values()), f"answered {shapes}"


@each(lambda returns: recurrent_layers(returns, merge_modes=("concat", None)))
def test_symbolic_outputs_leave_batch_and_time_open(subject, description):
    outputs = flat(subject.layer(description, "float32")(subject.keras.Input((None, FEATURES))))
    expected = description.output_shapes((None, None, FEATURES)).values()
    assert [shape_of(subject, output) for output in outputs] == list(expected)


# The states of a stack of cells come nested, by cell, or in a row, as the generation of Keras has it.
@pytest.mark.usefixtures("eager")
@each(lambda returns: {name: made for name, made in recurrent_layers(returns).items() if name != "StackedRNNCells"})
def test_outputs_come_in_one_row(subject, uniform, description):
    """One output comes alone; several can be unpacked: the output, of each half if not merged, then the states."""
    outputs = subject.layer(description, "float32")(subject.tensors(uniform(*SHAPE)))
    expected = list(description.output_shapes(SHAPE).values())
    outputs = list(outputs) if len(expected) > 1 else [outputs]
    assert [tuple(getattr(output, "shape", ("no tensor",))) for output in outputs] == expected


@each(recurrent_layers)
def test_compute_mask(subject, description):
    """An output with all steps hands the mask on; one without them, and a state, has none."""
    assert handed_on(subject.layer(description, "float32"), description) == expected_masks(description)


@each(lambda returns: {"Bidirectional": Bidirectional(LSTM(UNITS, stateful=True, **returns))})
def test_compute_mask_of_a_stateful_bidirectional(subject, description):
    layer = subject.layer(description, "float32")
    layer.build((BATCH, STEPS, FEATURES))
    assert handed_on(layer, description) == expected_masks(description)


@each(lambda returns: {"LSTM": LSTM(UNITS, **returns), "RNN": RNN(LSTMCell(UNITS), **returns)})
def test_compute_mask_where_masked_outputs_are_zero(subject, description):
    """``zero_output_for_mask=True`` is about the numbers at masked steps; masked they are all the same."""
    try:
        layer = subject.layer(replace(description, zero_output_for_mask=True), "float32")
    except TypeError as error:
        assert "zero_output_for_mask" in str(error)  # noqa: PT017
        pytest.skip("this layer of this Keras has no zero_output_for_mask=")
    assert handed_on(layer, description) == expected_masks(description)


def handed_on(layer, description):
    """The mask of each output, as a layer answers that is given the mask "mask"; those it leaves out are None."""
    masks = flat(layer.compute_mask(None, "mask"))
    return masks + [None] * (len(expected_masks(description)) - len(masks))


def expected_masks(description):
    shapes = description.output_shapes((BATCH, STEPS, FEATURES)).values()
    return ["mask" if len(shape) == 3 else None for shape in shapes]


BUILT = {
    "LSTM": LSTM(UNITS),
    "LSTM-no_bias": LSTM(UNITS, use_bias=False),
    "RNN": RNN(LSTMCell(UNITS)),
    "StackedRNNCells": RNN(CELLS),
    "Bidirectional": Bidirectional(LSTM(UNITS)),
    "TimeDistributed": TimeDistributed(LSTM(UNITS)),
}

each_built = pytest.mark.parametrize("name", BUILT)


def built(subject, name):
    layer = subject.layer(BUILT[name], "float32")
    layer.build((None, 4, None, FEATURES) if name == "TimeDistributed" else (None, None, FEATURES))
    return layer


@each_built
def test_weights(subject, name):
    """Kernel, recurrent kernel and bias of each LSTM, forward before backward, lower cell before upper."""
    layer, expected = built(subject, name), BUILT[name].weight_shapes(FEATURES)
    kinds = ["kernel", "recurrent_kernel", "bias"][: 2 if name == "LSTM-no_bias" else 3]
    assert [base_name(weight.name) for weight in layer.weights] == kinds * (len(expected) // len(kinds))
    assert [tuple(weight.shape) for weight in layer.weights] == list(expected.values())
    assert layer.count_params() == parameter_count(expected.values())


def test_weights_of_a_cell(subject):
    cell = subject.keras.layers.LSTMCell(UNITS)
    cell.build((None, FEATURES))
    expected = LSTMCell(UNITS).weight_shapes(FEATURES)
    assert {base_name(weight.name): tuple(weight.shape) for weight in cell.weights} == expected
    assert cell.count_params() == parameter_count(expected.values())


@each_built
def test_trainable_moves_all_weights(subject, name):
    layer = built(subject, name)
    count = len(BUILT[name].weight_shapes(FEATURES))
    for trainable in (False, True):
        layer.trainable = trainable
        assert len(layer.trainable_weights) == (count if trainable else 0)
        assert len(layer.non_trainable_weights) == (0 if trainable else count)


FROZEN = {
    "LSTM": lambda keras, lstm: lstm(UNITS, trainable=False),
    "RNN": lambda keras, lstm: keras.layers.RNN(keras.layers.LSTMCell(UNITS), trainable=False),
    "RNN-of_frozen": lambda keras, lstm: keras.layers.RNN(keras.layers.LSTMCell(UNITS, trainable=False)),
    "Bidirectional": lambda keras, lstm: keras.layers.Bidirectional(lstm(UNITS), trainable=False),
    "Bidirectional-of_frozen": lambda keras, lstm: keras.layers.Bidirectional(lstm(UNITS, trainable=False)),
}


@pytest.mark.parametrize("name", FROZEN)
def test_layer_made_frozen_has_no_trainable_weights(subject, name):
    layer = FROZEN[name](subject.keras, subject.lstm)
    layer.build((None, None, FEATURES))
    assert len(layer.trainable_weights) == 0, "weights of a layer with trainable=False are trainable"
    assert len(layer.non_trainable_weights) == len(layer.get_weights())


def test_names(subject):
    bidirectional = subject.keras.layers.Bidirectional(subject.lstm(UNITS, name="inner"), name="outer")
    assert subject.lstm(UNITS, name="mine").name == "mine"
    assert bidirectional.name == "outer"
    assert bidirectional.forward_layer.name == "forward_inner"
    assert bidirectional.backward_layer.name == "backward_inner"


def test_bidirectional_takes_the_weights_it_is_given(subject, uniform):
    shapes = Bidirectional(LSTM(UNITS)).weight_shapes(FEATURES).values()
    weights = [uniform(*shape) for shape in shapes]
    layer = subject.keras.layers.Bidirectional(subject.lstm(UNITS), weights=weights)
    layer(subject.keras.Input((STEPS, FEATURES)))
    taken = [np.array_equal(given, held) for given, held in zip(weights, layer.get_weights())]
    assert taken == [True] * 6, "Bidirectional(weights=...) was ignored"


def test_sizes_of_a_cell(subject):
    cell = subject.keras.layers.LSTMCell(UNITS)
    assert flat(tuple(cell.state_size)) == [UNITS, UNITS]
    assert cell.output_size == UNITS


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_units_of_numpy(subject, kind):
    """The number of units may be one that NumPy computed."""
    assert tuple(subject.keras.layers.LSTM(kind(UNITS))(subject.keras.Input((STEPS, 4))).shape) == (None, UNITS)


@pytest.mark.parametrize("returns", [{}, {"return_state": True}], ids=["last", "state"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtype_of_an_output_is_told(subject, dtype, returns):
    """That of the layer, before anything is computed."""
    x = subject.keras.Input((STEPS, FEATURES), dtype=dtype)
    # Some TensorFlow has no orthogonal matrices of half precision.
    layer = subject.lstm(UNITS, recurrent_initializer="glorot_uniform", dtype=dtype, **returns)
    for told in flat(layer(x)):
        assert getattr(told.dtype, "name", told.dtype) == dtype


def test_sizes_of_a_stack_of_cells(subject):
    """Its states are those of each cell, the lowest first; its output is the uppermost cell's."""
    cells = [subject.keras.layers.LSTMCell(units) for units in (4, 3)]
    stack = subject.keras.layers.StackedRNNCells(cells)
    assert flat([tuple(size) if hasattr(size, "__len__") else size for size in stack.state_size]) == [4, 4, 3, 3]
    assert stack.output_size == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [(UNITS,), (4, 3)], ids=["cell", "stack"])
def test_initial_state_of_a_cell_is_zeros(subject, units, dtype):
    cells = [subject.keras.layers.LSTMCell(width, dtype=dtype) for width in units]
    cell = subject.keras.layers.StackedRNNCells(cells) if len(cells) > 1 else cells[0]
    if not hasattr(cell, "get_initial_state"):
        pytest.skip("cells of this Keras make no initial states")
    asked = {"dtype": dtype} if "dtype" in inspect.signature(cell.get_initial_state).parameters else {}
    states = [subject.to_numpy(state) for state in flat(cell.get_initial_state(batch_size=BATCH, **asked))]
    assert [state.shape for state in states] == [(BATCH, width) for width in units for _ in "hc"]
    assert [state.dtype.name for state in states] == [dtype] * len(states)
    assert not any(state.any() for state in states)


@pytest.mark.parametrize("returns", ["last", "sequences"])
@pytest.mark.parametrize("mode", MERGE_MODES)
def test_bidirectional_returns_its_own_dtype(subject, uniform, mode, returns):
    """A float16 Bidirectional of a float32 layer rounds the outputs of its halves to float16 before it merges them."""
    if subject.generation == 2:
        pytest.skip("the dtype of a Bidirectional is that of its halves in this Keras")
    halves = subject.lstm(UNITS, **RETURNS[returns])
    layer = subject.keras.layers.Bidirectional(halves, merge_mode=mode, dtype="float16")
    outputs = flat(layer(subject.tensors(uniform(BATCH, STEPS, FEATURES))))
    assert [subject.to_numpy(output).dtype.name for output in outputs] == ["float16"] * (1 if mode else 2)


@pytest.mark.parametrize("returns", ["last", "sequences"])
@pytest.mark.parametrize("mode", ["concat", None])
def test_halves_of_other_widths(subject, uniform, mode, returns):
    """Side by side, or in a list, the outputs of the halves need not be alike; what is told of them is what is."""
    if not subject.has_backward_layers:
        pytest.skip("a Bidirectional of this Keras makes its backward half itself")
    halves = [subject.lstm(width, go_backwards=width > UNITS, **RETURNS[returns]) for width in (UNITS, UNITS + 2)]
    layer = subject.keras.layers.Bidirectional(halves[0], merge_mode=mode, backward_layer=halves[1])
    told = [shape_of(subject, output) for output in flat(layer(subject.keras.Input(batch_shape=SHAPE)))]
    returned = [output.shape for output in call(subject, layer, uniform(*SHAPE))]
    assert told == returned, f"told {told}"
    answered = shapes_in(layer.compute_output_shape(SHAPE))
    assert answered == returned, f"answered {answered}"


@pytest.mark.usefixtures("eager")
def test_layer_is_called_with_an_array_and_states(subject, by_hand, uniform):
    """With an array of NumPy, as its documentation calls it; the initial states are the second argument."""
    lstm = by_hand(LSTM(UNITS, return_sequences=True), SHAPE)
    x, states = uniform(*SHAPE), [uniform(BATCH, UNITS), uniform(BATCH, UNITS)]
    agree([subject.to_numpy(lstm.layer(x.astype("float64")))], lstm.expected(x))
    agree([subject.to_numpy(lstm.layer(x, subject.tensors(states)))], lstm.expected(x, initial_state=states))


@pytest.mark.usefixtures("eager")
def test_call_without_side_effects_hands_on_what_it_draws(subject, uniform):
    """Given what ``stateless_call`` returned, the next one drops something else; given the same again, the same."""
    layer, x = subject.lstm(UNITS, dropout=0.5), subject.tensors(uniform(BATCH, STEPS, 64))
    if not hasattr(layer, "stateless_call"):
        pytest.skip("this Keras has no stateless_call")
    layer.build((BATCH, STEPS, 64))
    trainable, changing = ([v.value for v in own] for own in (layer.trainable_variables, layer.non_trainable_variables))
    first, changed = layer.stateless_call(trainable, changing, x, training=True)
    again, _ = layer.stateless_call(trainable, changing, x, training=True)
    after, _ = layer.stateless_call(trainable, changed, x, training=True)
    first, again, after = (subject.to_numpy(output) for output in (first, again, after))
    assert np.array_equal(first, again), "the layer has changed"
    assert not np.array_equal(first, after), "the second call drops what the first one did"


def test_activations_given_as_functions(subject, by_hand, uniform):
    """They are those of these names."""
    names, x = {"activation": "softsign", "recurrent_activation": "tanh"}, uniform(*SHAPE)
    named = by_hand(LSTM(UNITS, **names), SHAPE)
    functions = {argument: getattr(subject.keras.activations, name) for argument, name in names.items()}
    layer = subject.lstm(UNITS, **functions)
    layer.build(SHAPE)
    layer.set_weights(named.weights)
    agree(call(subject, layer, x), named.expected(x))


def test_model_within_returns_as_many_steps_as_it_is_given(subject):
    """Its own input leaves them open; an LSTM that is unrolled above it must know them."""
    keras = subject.keras
    x, opened = keras.Input(SHAPE[1:]), keras.Input((None, FEATURES))
    within = keras.Model(opened, subject.lstm(UNITS, return_sequences=True)(opened))
    sequence = within(x)
    assert shape_of(subject, sequence) == (None, STEPS, UNITS)
    assert shape_of(subject, subject.lstm(UNITS, unroll=True)(sequence)) == (None, UNITS)


@pytest.mark.parametrize("steps", [None, STEPS], ids=["open", "known"])
def test_sizes_of_the_input_by_name(subject, steps):
    """``input_dim`` of Keras 2 is the number of features and ``input_length`` that of steps, open where not given."""
    if subject.generation > 2:
        pytest.skip("layers of this Keras have no input_dim=")
    length = {"input_length": steps} if steps else {}
    model = subject.keras.Sequential([subject.lstm(UNITS, input_dim=FEATURES, **length)])
    assert tuple(model.input_shape) == (None, steps, FEATURES)


def test_vector_is_repeated_at_each_step(subject, uniform):
    """RepeatVector gives a decoder each row of what was encoded, at each step as it is."""
    x = uniform(BATCH, FEATURES)
    (outputs,) = call(subject, subject.keras.layers.RepeatVector(STEPS), x)
    assert np.array_equal(outputs, np.repeat(x[:, np.newaxis], STEPS, axis=1))


def test_each_step_is_normalized(subject, uniform):
    """LayerNormalization: γ·(x - mean)/√(variance + ε) + β over the features of each step."""
    layer = part_of(subject.keras, "layers.LayerNormalization")(epsilon=0.25)
    x, gamma, beta = uniform(*SHAPE), uniform(FEATURES), uniform(FEATURES)
    layer.build(SHAPE)
    layer.set_weights([gamma, beta])
    (outputs,) = call(subject, layer, x)
    centred = x - x.mean(axis=-1, keepdims=True)
    normalized = centred / np.sqrt(x.var(axis=-1, keepdims=True) + 0.25)
    assert near(outputs, gamma * normalized + beta), "it normalizes otherwise"


@pytest.mark.parametrize("trainable", [True, False], ids=["trained", "frozen"])
def test_moving_averages_of_a_batch(subject, uniform, trainable):
    """BatchNormalization moves them a quarter of the way to those of the batch, and if it is frozen uses them alone."""
    layer = subject.keras.layers.BatchNormalization(momentum=0.75, epsilon=0.25, trainable=trainable)
    x = 2.0 + uniform(*SHAPE)
    (outputs,) = call(subject, layer, x, training=True)
    *_, means, variances = layer.get_weights()
    of_batch = x.mean(axis=(0, 1)), x.var(axis=(0, 1))
    used = of_batch if trainable else (0.0, 1.0)
    assert np.allclose(outputs * np.sqrt(used[1] + 0.25) + used[0], x), "it normalizes otherwise"
    share = 0.25 if trainable else 0.0
    assert np.allclose(means, share * of_batch[0]), f"the means are {means}"
    assert np.allclose(variances, (1.0 - share) + share * of_batch[1]), f"the variances are {variances}"


def test_moving_averages_of_a_masked_batch(subject, uniform):
    """Those of the steps that count, in Keras 3, whose BatchNormalization takes a mask."""
    layer = subject.keras.layers.BatchNormalization(momentum=0.75, epsilon=0.25)
    if "mask" not in inspect.signature(layer.call).parameters:
        pytest.skip("the BatchNormalization of this Keras takes no mask")
    x, mask = 2.0 + uniform(*SHAPE), np.arange(STEPS) < np.arange(1, BATCH + 1)[:, np.newaxis]
    (outputs,) = call(subject, layer, x, mask=mask, training=True)
    *_, means, variances = layer.get_weights()
    mean, variance = x[mask].mean(axis=0), x[mask].var(axis=0)
    assert np.allclose(outputs * np.sqrt(variance + 0.25) + mean, x), "it normalizes otherwise"
    assert np.allclose(means, 0.25 * mean), f"the means are {means}"
    assert np.allclose(variances, 0.75 + 0.25 * variance), f"the variances are {variances}"


def test_no_steps(by_hand, uniform):
    """A sequence of no steps leaves the states as they are; there is no output yet, which is zeros."""
    lstm = by_hand(LSTM(UNITS, return_state=True), SHAPE)
    h, c = uniform(BATCH, UNITS), uniform(BATCH, UNITS)
    _, *states = lstm(np.zeros((BATCH, 0, FEATURES), "float32"), initial_state=[h, c])
    assert all(map(np.array_equal, states, [h, c]))


@pytest.mark.parametrize("wrapped", [False, True], ids=["LSTM", "Bidirectional"])
def test_counts_of_a_model_that_is_partly_frozen(subject, wrapped):
    """Frozen weights are counted, as such, in the summary and its rows."""
    layers, lstm = subject.keras.layers, subject.lstm(UNITS, return_sequences=True, trainable=False)
    frozen = layers.Bidirectional(lstm, trainable=False) if wrapped else lstm
    x = subject.keras.Input(batch_shape=SHAPE)
    model = subject.keras.Model(x, subject.lstm(2)(frozen(x)))
    width = 2 * UNITS if wrapped else UNITS
    counts = [(2 if wrapped else 1) * 4 * UNITS * (FEATURES + UNITS + 1), 4 * 2 * (width + 2 + 1)]
    summary = read_summary(model)
    assert [row.parameters for row in summary.rows] == counts
    totals = (summary.total, summary.trainable, summary.non_trainable)
    assert totals == (sum(counts), counts[1], counts[0]), f"the totals are {totals}"
    assert model.count_params() == sum(counts)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("units", [1, 2])
def test_smallest_sizes(by_hand, uniform, batch, steps, features, units):
    lstm = by_hand(LSTM(units, return_sequences=True, return_state=True), (batch, steps, features))
    x = uniform(batch, steps, features)
    agree(lstm(x), lstm.expected(x))


#: Layers of sequences.
OF_SEQUENCES = {
    "LSTM": LSTM(UNITS, return_sequences=True),
    "unroll": LSTM(UNITS, return_sequences=True, unroll=True),
    "RNN": RNN(LSTMCell(UNITS), return_sequences=True),
    "Bidirectional": Bidirectional(LSTM(UNITS, return_sequences=True), merge_mode="sum"),
}


@pytest.mark.parametrize("name", OF_SEQUENCES)
def test_batch_of_no_rows(by_hand, name):
    """What data that were filtered may leave."""
    layer = by_hand(OF_SEQUENCES[name], (None, STEPS, FEATURES))
    (outputs,) = layer(np.zeros((0, STEPS, FEATURES), "float32"))
    assert outputs.shape == (0, STEPS, UNITS)


def shapes_in(answer):
    """The shapes in an answer, as tuples in a row, whether a version gives one, a list, nested ones or TensorShapes."""
    if isinstance(answer, (list, tuple)) and not all(size is None or isinstance(size, int) for size in answer):
        return [shape for item in answer for shape in shapes_in(item)]
    return [answer if isinstance(answer, int) else tuple(answer)]


def shape_of(subject, output):
    """The shape of a symbolic tensor."""
    return tuple(output.shape) if subject.eager else subject.keras.backend.int_shape(output)
