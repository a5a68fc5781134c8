"""Cells of one's own: what RNN and StackedRNNCells ask of a cell, and what they do with its answers.

The cells here halve their state and add to it what they read. On the integers they are given that is exact, so the
outputs must be those of a loop, bit by bit.
"""

import inspect

import numpy as np
import pytest
from by_hand import agree, call, equal, near, part_of

from conformance.subject.build import flat
from conformance.subject.layers import reset_states
from reference_impl import LSTM, LSTMCell, estimate

BATCH, STEPS, WIDTH = 2, 4, 3

#: How a cell may give the size of its one state, and the state itself.
SIZES = {"integer": WIDTH, "list": [WIDTH], "tuple": (WIDTH,)}
GIVEN = {"bare": lambda state: state, "list": lambda state: [state]}


pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def halving(subject):
    """Make a cell that halves its one state and adds x; ``further`` are attributes and methods of its class."""

    def halving(size=WIDTH, given="list", **further):
        def step(self, inputs, states):
            total = 0.5 * flat(states)[0] + inputs
            return total, GIVEN[given](total)

        cell = type("Halving", (subject.keras.layers.Layer,), {"call": step, **further})()
        cell.state_size = size
        return cell

    return halving


def halved_sums(x, start=0.0, mask=None, go_backwards=False, zero_output_for_mask=False):
    """The outputs of a halving cell over time, by a loop, and its last state."""
    steps = range(x.shape[1])
    state, output, outputs = np.zeros_like(x[:, 0]) + start, np.zeros_like(x[:, 0]), []
    for t in reversed(steps) if go_backwards else steps:
        counts = np.ones((len(x), 1), "bool") if mask is None else mask[:, t, np.newaxis]
        new = 0.5 * state + x[:, t]
        output = np.where(counts, new, np.zeros_like(new) if zero_output_for_mask else output)
        state = np.where(counts, new, state)
        outputs.append(output)
    return np.stack(outputs, axis=1), state


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size", SIZES)
def test_state_in_each_form(subject, halving, integers, size, given):
    """A cell of one state may give its size as an integer or in a list, and the state by itself or in a list."""
    rnn = subject.keras.layers.RNN(halving(SIZES[size], given), return_sequences=True, return_state=True)
    x = integers(BATCH, STEPS, WIDTH)
    equal(call(subject, rnn, x), halved_sums(x))


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unroll"])
@pytest.mark.parametrize("zero", [False, True], ids=["repeated", "zero_output"])
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
def test_masked_steps(subject, halving, integers, unroll, zero, go_backwards):
    options = {"go_backwards": go_backwards, "zero_output_for_mask": zero}
    layer = subject.keras.layers.RNN(halving(), return_sequences=True, return_state=True, unroll=unroll, **options)
    x, mask = integers(BATCH, STEPS, WIDTH), np.array([[True, False, True, False], [False, True, True, True]])
    equal(call(subject, layer, x, mask=mask), halved_sums(x, mask=mask, **options))


@pytest.mark.parametrize("given", ["bare", "list"])
def test_initial_state_in_each_form(subject, halving, integers, given):
    """Of a cell with one state the initial state may be given by itself or in a list."""
    rnn = subject.keras.layers.RNN(halving(), return_sequences=True, return_state=True)
    x, start = integers(BATCH, STEPS, WIDTH), integers(BATCH, WIDTH)
    initial_state = start if given == "bare" else [start]
    equal(call(subject, rnn, x, initial_state=initial_state), halved_sums(x, start))


def test_cell_makes_its_initial_state(subject, halving, integers):
    """``get_initial_state`` of a cell decides where a sequence starts; without it that is at zeros."""

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return subject.tensors(np.full((BATCH, WIDTH), 4.0, "float32"))

    rnn = subject.keras.layers.RNN(halving(get_initial_state=get_initial_state), return_sequences=True)
    x = integers(BATCH, STEPS, WIDTH)
    equal(call(subject, rnn, x), halved_sums(x, 4.0)[:1])


def test_stateful(subject, halving, integers):
    rnn = subject.keras.layers.RNN(halving(), return_sequences=True, stateful=True)
    first, second = integers(BATCH, STEPS, WIDTH), integers(BATCH, STEPS, WIDTH)
    rnn.build((BATCH, STEPS, WIDTH))
    outputs, state = halved_sums(first)
    equal(call(subject, rnn, first), [outputs])
    equal(call(subject, rnn, second), halved_sums(second, state)[:1])


def test_reset_goes_back_to_the_initial_state_of_the_cell(subject, integers):
    """A stateful layer starts from what its cell makes, and after a reset again."""
    if subject.generation < 3:
        pytest.skip("this Keras documents that a reset is to zeros")

    class Own(subject.keras.layers.LSTMCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return [subject.tensors(np.ones((BATCH, WIDTH), "float32")) for _ in "hc"]

    rnn = subject.keras.layers.RNN(Own(WIDTH), stateful=True)
    x = integers(BATCH, STEPS, WIDTH)
    rnn.build(x.shape)
    (first,) = call(subject, rnn, x)
    reset_states([rnn])
    (again,) = call(subject, rnn, x)
    assert np.array_equal(first, again), "after a reset it starts from another state"


def test_cell_is_built_for_one_step(subject, halving, integers):
    """A cell's ``build`` is given the shape of x without its time axis, once."""
    shapes = []
    rnn = subject.keras.layers.RNN(halving(build=lambda self, shape: shapes.append(tuple(shape))))
    call(subject, rnn, integers(BATCH, STEPS, WIDTH))
    call(subject, rnn, integers(BATCH, STEPS, WIDTH))
    assert [shape[1:] for shape in shapes] == [(WIDTH,)]


@pytest.mark.parametrize("training", [False, True])
def test_training_reaches_a_cell_that_asks_for_it(subject, halving, integers, training):
    def step(self, inputs, states, training=False):
        total = 0.5 * flat(states)[0] + (2.0 * inputs if training else inputs)
        return total, [total]

    cells = [halving(call=step), halving(call=step)]
    x = integers(BATCH, STEPS, WIDTH)
    factor = 2.0 if training else 1.0
    once = halved_sums(factor * x)[0]
    layers = subject.keras.layers
    layer = layers.RNN(cells[0], return_sequences=True)
    equal(call(subject, layer, x, training=training), [once])
    layer = layers.RNN(layers.StackedRNNCells([cells[0], cells[1]]), return_sequences=True)
    equal(call(subject, layer, x, training=training), [halved_sums(factor * once)[0]])


def two_states(subject, **further):
    """A cell of two states, halving the first and adding up the second; its output is one feature of the latter."""

    def step(self, inputs, states):
        first, second = states
        first, second = 0.5 * first + inputs[:, :2], second + inputs
        return second[:, :1], [first, second]

    cell = type("TwoStates", (subject.keras.layers.Layer,), {"call": step, **further})()
    cell.state_size = [2, WIDTH]
    return cell


def test_states_of_different_widths(subject, integers):
    """``output_size`` need not be the size of a state; states are returned in the cell's order."""
    rnn = subject.keras.layers.RNN(two_states(subject, output_size=1), return_sequences=True, return_state=True)
    x = integers(BATCH, STEPS, WIDTH)
    sums = np.cumsum(x, axis=1)
    equal(call(subject, rnn, x), [sums[..., :1], halved_sums(x[..., :2])[1], sums[:, -1]])
    shapes = [tuple(output.shape) for output in flat(rnn(subject.keras.Input((None, WIDTH))))]
    assert shapes == [(None, None, 1), (None, 2), (None, WIDTH)]


@pytest.mark.parametrize("how_many", [1, 2], ids=["RNN", "StackedRNNCells"])
def test_cell_that_is_no_layer(subject, integers, how_many):
    """Any object will do that can be called and has a size."""

    class Plain:
        state_size = WIDTH

        def call(self, inputs, states):
            total = 0.5 * flat(states)[0] + inputs
            return total, [total]

        __call__ = call

    layers = subject.keras.layers
    cell = layers.StackedRNNCells([Plain(), Plain()]) if how_many > 1 else Plain()
    x = expected = integers(BATCH, STEPS, WIDTH)
    for _ in range(how_many):
        expected, _ = halved_sums(expected)
    equal(call(subject, layers.RNN(cell, return_sequences=True), x), [expected])


@pytest.fixture
def counting(subject):
    """A cell that counts its steps in a weight."""

    class Counting(subject.keras.layers.LSTMCell):
        def build(self, shape):
            super().build(shape)
            self.steps = self.add_weight(name="steps", shape=(), initializer="zeros", trainable=False)

        def call(self, inputs, states, training=None):
            self.steps.assign(self.steps + 1.0)
            return super().call(inputs, states, training=training)

    return Counting(WIDTH)


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unroll"])
def test_cell_is_called_once_for_each_step(subject, counting, integers, unroll):
    inputs = subject.keras.layers.Input((STEPS, WIDTH))
    model = subject.keras.models.Model(inputs, subject.keras.layers.RNN(counting, unroll=unroll)(inputs))
    counting.steps.assign(0.0)
    model.predict_on_batch(integers(BATCH, STEPS, WIDTH))
    found = float(subject.to_numpy(counting.steps))
    assert found == STEPS, f"of {STEPS} steps it does {found:.0f}"


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unroll"])
def test_loss_of_a_cell_is_trained(subject, uniform, unroll):
    """In a graph, as ``fit`` trains."""
    layers = subject.keras.layers
    cell = layers.LSTMCell(WIDTH, activity_regularizer=subject.keras.regularizers.l2(0.5))
    inputs = layers.Input((STEPS, WIDTH))
    model = subject.keras.models.Model(inputs, layers.RNN(cell, unroll=unroll)(inputs))
    model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.0))
    x = uniform(BATCH, STEPS, WIDTH)
    y = model.predict_on_batch(x)
    (found,) = model.fit(x, y, batch_size=BATCH, verbose=0).history["loss"]
    assert found > 0.0, "the loss of the cell is not in that of the model"


def test_residual_cell_of_tensorflow(subject, integers):
    """``tf.nn`` has a wrapper for cells of Keras, which adds what the cell reads to what it returns."""
    wrapper = part_of(subject.tensorflow, "nn.RNNCellResidualWrapper", of="tf.")
    cell, x = subject.keras.layers.LSTMCell(WIDTH), integers(BATCH, STEPS, WIDTH)
    (found,) = call(subject, subject.keras.layers.RNN(wrapper(cell), return_sequences=True), x)
    plain = subject.lstm(WIDTH, return_sequences=True)
    plain.build(x.shape)
    plain.set_weights(cell.get_weights())
    (expected,) = call(subject, plain, x)
    assert near(found, expected + x), "it does not return the sum"


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, BATCH])
def test_stack_of_cells_with_one_state(subject, halving, integers, size, given, batch):
    """The upper cell reads what the lower one put out in the same step; each has a state of its own."""
    layers = subject.keras.layers
    cells = layers.StackedRNNCells([halving(SIZES[size], given), halving(SIZES[size], given)])
    rnn = layers.RNN(cells, return_sequences=True, return_state=True)
    x = integers(batch, STEPS, WIDTH)
    lower, lower_state = halved_sums(x)
    upper, upper_state = halved_sums(lower)
    equal(call(subject, rnn, x), [upper, lower_state, upper_state])


def test_stack_with_an_lstm_cell_below(subject, halving, uniform):
    """An LSTMCell, of two states, below a cell of one."""
    layers = subject.keras.layers
    lstm = subject.layer(LSTMCell(WIDTH), "float32")
    rnn = layers.RNN(layers.StackedRNNCells([lstm, halving()]), return_sequences=True)
    rnn.build((BATCH, STEPS, 2))
    weights = [uniform(*shape) for shape in LSTMCell(WIDTH).weight_shapes(2).values()]
    rnn.set_weights(weights)
    x = uniform(BATCH, STEPS, 2)

    def compute(tile, fl):
        (lower,) = LSTM(WIDTH, return_sequences=True)(tile(x.astype("float64")), weights, fl=fl)
        state, outputs = np.zeros_like(lower[:, 0]), []
        for t in range(STEPS):
            state = fl(0.5 * state + lower[:, t])
            outputs.append(state)
        return [np.stack(outputs, axis=1)]

    agree(call(subject, rnn, x), estimate(compute, "float32", seed=0))


def test_output_size_is_that_of_the_first_state_unless_told(subject, halving):
    layers = subject.keras.layers
    x = subject.keras.Input((None, WIDTH))
    assert tuple(layers.RNN(halving())(x).shape) == (None, WIDTH)
    assert layers.StackedRNNCells([halving(), halving()]).output_size == WIDTH
    assert layers.StackedRNNCells([halving(), halving([WIDTH])]).output_size == WIDTH
    assert layers.StackedRNNCells([halving(), two_states(subject, output_size=1)]).output_size == 1


def test_list_of_cells_computes_in_the_dtype_of_its_rnn(subject):
    """float64 cells in a float64 RNN read its input in float64."""
    layers = subject.keras.layers
    rnn = layers.RNN([layers.LSTMCell(1, dtype="float64"), layers.LSTMCell(1, dtype="float64")], dtype="float64")
    x = np.ones((1, 2, 1))
    (one,), (other,) = call(subject, rnn, x), call(subject, rnn, x + 1e-9)
    assert one.dtype == "float64"
    assert one != other, "what float32 cannot tell apart made no difference"


@pytest.mark.parametrize("size", [*SIZES.values(), [WIDTH, 9]], ids=[*SIZES, "two_states"])
def test_each_cell_of_a_stack_is_built_for_the_output_below(subject, halving, size):
    """That is ``output_size``, or where a cell has none the size of its first state."""
    shapes = []

    def build(self, shape):
        shapes.append(tuple(shape))

    def cell(**further):
        return halving(size, build=build, **further)

    subject.keras.layers.RNN([cell(output_size=7), cell(), cell()]).build((BATCH, None, 5))
    assert [shape[-1] for shape in shapes] == [5, 7, WIDTH]
    assert {len(shape) for shape in shapes} == {2}


def test_cells_in_a_list_are_a_stack(subject, halving, integers):
    rnn = subject.keras.layers.RNN([halving(), halving()], return_sequences=True)
    assert type(rnn.cell).__name__ == "StackedRNNCells"
    x = integers(BATCH, STEPS, WIDTH)
    equal(call(subject, rnn, x), [halved_sums(halved_sums(x)[0])[0]])


@pytest.fixture
def multiplying(subject, halving):
    """A cell that halves its state and adds x times a constant; it can be made again, for its class has the size."""
    if "constants" not in inspect.signature(subject.keras.layers.RNN.call).parameters:
        pytest.skip("RNN of this Keras has no constants")

    def step(self, inputs, states, constants):
        total = 0.5 * flat(states)[0] + inputs * flat(constants)[0]
        return total, [total]

    return halving(call=step, state_size=WIDTH)


def as_tensors(subject, layer, cell, x, starts, factor):
    given = {"initial_state": starts} if starts else {}
    return call(subject, layer, x, constants=[factor], **given)


def functional(subject, layer, x, starts, factor):
    """A functional model whose inputs are x, the initial states and the constant."""
    inputs = x, *states, constant = [subject.keras.Input(array.shape[1:]) for array in (x, *starts, factor)]
    given = {"initial_state": states} if states else {}
    return subject.keras.Model(inputs, layer(x, constants=[constant], **given))


def in_a_model(subject, layer, cell, x, starts, factor):
    return call(subject, functional(subject, layer, x, starts, factor), [x, *starts, factor])


def in_a_model_made_again(subject, layer, cell, x, starts, factor):
    """From its configuration, which must say how many of the inputs are constants."""
    config = functional(subject, layer, x, starts, factor).get_config()
    model = subject.keras.Model.from_config(config, custom_objects={"Halving": type(cell)})
    return call(subject, model, [x, *starts, factor])


each_way = pytest.mark.parametrize("how", [as_tensors, in_a_model, in_a_model_made_again])
each_start = pytest.mark.parametrize("given", [False, True], ids=["zeros", "initial_state"])


@each_way
@each_start
def test_constants_reach_the_cell(subject, multiplying, integers, given, how):
    """Keras 2 hands ``constants`` to every step of the cell."""
    rnn = subject.keras.layers.RNN(multiplying, return_sequences=True)
    x, factor = integers(BATCH, STEPS, WIDTH), integers(BATCH, WIDTH)
    starts = [integers(BATCH, WIDTH)] if given else []
    outputs, _ = halved_sums(x * factor[:, np.newaxis], *starts)
    equal(how(subject, rnn, multiplying, x, starts, factor), [outputs])


@each_way
@each_start
def test_constants_reach_both_halves(subject, multiplying, integers, given, how):
    """A Bidirectional hands each half its own initial state, and the constants to both."""
    layers = subject.keras.layers
    layer = layers.Bidirectional(layers.RNN(multiplying, return_sequences=True))
    x, factor = integers(BATCH, STEPS, WIDTH), integers(BATCH, WIDTH)
    starts = [integers(BATCH, WIDTH), integers(BATCH, WIDTH)] if given else []
    forward, _ = halved_sums(x * factor[:, np.newaxis], *starts[:1])
    backward, _ = halved_sums(x * factor[:, np.newaxis], *starts[1:], go_backwards=True)
    expected = np.concatenate([forward, backward[:, ::-1]], axis=-1)
    equal(how(subject, layer, multiplying, x, starts, factor), [expected])


@pytest.mark.parametrize("widths", [[WIDTH], [WIDTH, 4]], ids=["LSTMCell", "StackedRNNCells"])
def test_initial_state_for_inputs(subject, uniform, widths):
    """Given inputs, a cell of Keras 2 makes as many rows of zeros as those have, in their dtype."""
    layers = subject.keras.layers
    cells = [layers.LSTMCell(width) for width in widths]
    cell = layers.StackedRNNCells(cells) if len(cells) > 1 else cells[0]
    if "inputs" not in inspect.signature(cell.get_initial_state).parameters:
        pytest.skip("a cell of this Keras makes its initial state without inputs")
    x = subject.tensors(uniform(BATCH, 5).astype("float64"))
    states = [subject.to_numpy(state) for state in flat(cell.get_initial_state(inputs=x))]
    equal(states, [np.zeros((BATCH, width)) for width in widths for _ in "hc"])
    assert {state.dtype.name for state in states} == {"float64"}


#: How a cell may be given two inputs, and how it finds them.
TWO_INPUTS = {
    "tuple": (lambda x, other: (x, other), lambda inputs: inputs),
    "dict": (lambda x, other: {"x": x, "other": other}, lambda inputs: (inputs["x"], inputs["other"])),
}


@pytest.mark.parametrize("how", TWO_INPUTS)
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
def test_cell_of_two_inputs(subject, halving, integers, go_backwards, how):
    """Inputs may be nested, as in the guide to recurrent networks; each has axes of its own behind that of time."""
    nest, unnest = TWO_INPUTS[how]

    def step(self, inputs, states):
        x, other = unnest(inputs)
        total = 0.5 * flat(states)[0] + x + other[:, :, 0]
        return total, [total]

    options = {"return_sequences": True, "go_backwards": go_backwards}
    rnn = subject.keras.layers.RNN(halving(call=step, build=lambda self, shapes: None), **options)
    x, other = integers(BATCH, STEPS, WIDTH), integers(BATCH, STEPS, WIDTH, 1)
    outputs = rnn(nest(subject.tensors(x), subject.tensors(other)))
    equal([subject.to_numpy(outputs)], halved_sums(x + other[..., 0], go_backwards=go_backwards)[:1])
