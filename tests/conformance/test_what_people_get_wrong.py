"""What people get wrong about the LSTM of Keras: one short test each, to be read as a lesson."""

from dataclasses import replace

import numpy as np
import pytest
from by_hand import agree, call, matches

from reference_impl import LSTM, Bidirectional, reorder_gates
from reference_impl.weights import GATES, ONNX_GATES

BATCH, STEPS, FEATURES, UNITS = 2, 4, 5, 3
SHAPE = (BATCH, STEPS, FEATURES)


def test_return_state_gives_three_tensors(by_hand, uniform):
    """``return_state=True`` gives three tensors, not two: the output, the state h and the carry c.

    h is the output once more; c is what an LSTM remembers beside it, of the same shape and with other numbers.
    """
    lstm = by_hand(LSTM(UNITS, return_state=True), SHAPE)
    output, h, c = lstm(uniform(*SHAPE))
    assert np.array_equal(output, h)
    assert c.shape == h.shape
    assert not np.array_equal(c, h)


def test_with_sequences_h_is_the_last_step(by_hand, uniform):
    """With ``return_sequences`` and ``return_state`` the first tensor has every step's h, the second the last one's.

    There is no sequence of carries: c comes once, behind the last step.
    """
    lstm = by_hand(LSTM(UNITS, return_sequences=True, return_state=True), SHAPE)
    output, h, c = lstm(uniform(*SHAPE))
    assert output.shape == (BATCH, STEPS, UNITS)
    assert np.array_equal(output[:, -1], h)
    assert c.shape == (BATCH, UNITS)


def test_output_width_is_units(by_hand, uniform):
    """``units`` is the width of the output. It has nothing to do with how many time steps there are.

    The same layer reads 4 steps and then 6, and answers with 3 numbers a sample both times.
    """
    lstm = by_hand(LSTM(UNITS), (BATCH, None, FEATURES))
    for steps in (4, 6):
        (output,) = lstm(uniform(BATCH, steps, FEATURES))
        assert output.shape == (BATCH, UNITS)


@pytest.mark.parametrize("steps", [1, 4, None])
def test_parameters_do_not_depend_on_time(subject, steps):
    """An LSTM has 4u(d + u + 1) parameters: four gates, each reading d features, u outputs of the step before and a 1.

    The weights are the same at every time step, so the number of steps is not in the formula.
    """
    layer = subject.lstm(UNITS)
    layer.build((None, steps, FEATURES))
    assert layer.count_params() == 4 * UNITS * (FEATURES + UNITS + 1) == 108


def test_stack_needs_return_sequences_below(by_hand, uniform):
    """An LSTM reads a sequence, so whatever is below it in a stack must return one.

    Without ``return_sequences=True`` the lower layer returns its last output alone, a matrix, which the upper refuses.
    """
    x = uniform(*SHAPE)
    upper = by_hand(LSTM(2), (BATCH, STEPS, UNITS))
    (last,) = by_hand(LSTM(UNITS), SHAPE)(x)
    with pytest.raises(ValueError, match=r"ndim|rank"):
        upper(last)
    (sequence,) = by_hand(LSTM(UNITS, return_sequences=True), SHAPE)(x)
    agree(upper(sequence), upper.expected(sequence))


def test_go_backwards_output_is_reversed(by_hand, uniform):
    """``go_backwards=True`` reads the last step first, and its outputs stay in that order: output[0] is of x[-1].

    It is the layer on the flipped input. To lay the outputs beside the inputs, flip them back.
    """
    x = uniform(*SHAPE)
    backwards = by_hand(LSTM(UNITS, return_sequences=True, go_backwards=True), SHAPE)
    backwards.description = LSTM(UNITS, return_sequences=True)
    agree(backwards(x), backwards.expected(x[:, ::-1]))


def test_last_step_of_a_bidirectional_is_not_its_summary(by_hand, uniform):
    """Of a Bidirectional's sequence, ``output[:, -1]`` holds a backward half that has read one step only.

    Its summary of the whole is at ``output[:, 0]``. ``return_sequences=False`` takes each half's own last output.
    """
    x = uniform(*SHAPE)
    sequences = by_hand(Bidirectional(LSTM(UNITS, return_sequences=True)), SHAPE)
    summary = by_hand(Bidirectional(LSTM(UNITS)), SHAPE)
    summary.weights = sequences.weights
    summary.layer.set_weights(sequences.weights)
    (output,) = sequences(x)
    summaries = np.concatenate([output[:, -1, :UNITS], output[:, 0, UNITS:]], axis=-1)
    agree(summary(x), summary.expected(x))
    agree([summaries], summary.expected(x))


def test_masked_outputs_repeat(by_hand, uniform):
    """Where a step is masked the output is not 0: it repeats the output before, 0 only if there is none yet.

    The states stay as they were, so after right padding the last output is that of the last step that counts.
    """
    mask = np.array([[True, True, False, False], [False, True, False, True]])
    lstm = by_hand(LSTM(UNITS, return_sequences=True), SHAPE)
    x = uniform(*SHAPE)
    (output,) = lstm(x, mask=mask)
    assert np.array_equal(output[0, 2], output[0, 1])
    assert np.array_equal(output[0, 3], output[0, 1])
    assert np.array_equal(output[1, 2], output[1, 1])
    assert not output[1, 0].any()
    agree([output], lstm.expected(x, masks=[mask]))


def test_all_features_must_equal_the_mask_value(subject, by_hand, uniform):
    """``Masking`` skips a step only where every one of its features equals the mask value.

    One feature that differs makes the step count, whatever the others are.
    """
    x = uniform(*SHAPE)
    x[0, 2:] = 0.0
    x[1, 2:, 1:] = 0.0
    mask = np.array([[True, True, False, False], [True, True, True, True]])
    lstm = by_hand(LSTM(UNITS, return_sequences=True), SHAPE)
    model = subject.keras.Sequential([subject.keras.layers.Masking(mask_value=0.0), lstm.layer])
    agree(call(subject, model, x), lstm.expected(x, masks=[mask]))


def test_stateful_carries_to_the_next_batch(by_hand, uniform):
    """``stateful=True`` carries sample i of a batch to sample i of the *next batch*, not to sample i + 1.

    A long sequence is therefore cut into batches that follow each other, with each piece at the same row.
    """
    lstm = by_hand(LSTM(UNITS, stateful=True), SHAPE)
    first, second = uniform(*SHAPE), uniform(*SHAPE)
    agree(lstm(first), lstm.expected(first))
    agree(lstm(second), lstm.expected(first, second))


def test_initial_state_is_a_list_of_two(by_hand, uniform):
    """``initial_state`` is the list [h, c], one row a sample: an LSTM, unlike a GRU, starts from two states."""
    lstm = by_hand(LSTM(UNITS, return_sequences=True), SHAPE)
    x, h, c = uniform(*SHAPE), uniform(BATCH, UNITS), uniform(BATCH, UNITS)
    agree(lstm(x, initial_state=[h, c]), lstm.expected(x, initial_state=[h, c]))


def test_initial_state_of_a_bidirectional_is_a_list_of_four(by_hand, uniform):
    """A Bidirectional takes [forward h, forward c, backward h, backward c], and returns its states in that order."""
    layer = by_hand(Bidirectional(LSTM(UNITS, return_sequences=True, return_state=True)), SHAPE)
    x, states = uniform(*SHAPE), [uniform(BATCH, UNITS) for _ in range(4)]
    agree(layer(x, initial_state=states), layer.expected(x, initial_state=states))


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def by_rows(x, kernel, recurrent_kernel, biases, order):
    """h of every step, as PyTorch and ONNX document their LSTM: matrices are (4u, d) and (4u, u), there are two biases.

    ``order`` has the gates from the first rows to the last.
    """
    h = c = np.zeros((len(x), recurrent_kernel.shape[1]))
    outputs = []
    for step in np.swapaxes(x, 0, 1):
        z = step @ kernel.T + biases[0] + h @ recurrent_kernel.T + biases[1]
        gates = dict(zip(order, np.split(z, 4, axis=-1)))
        c = sigmoid(gates["f"]) * c + sigmoid(gates["i"]) * np.tanh(gates["c"])
        h = sigmoid(gates["o"]) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def test_weights_from_pytorch(by_hand, uniform):
    """PyTorch has Keras's gates in Keras's order (its g is the candidate), its matrices transposed, and two biases.

    So kernel = weight_ih.T, recurrent_kernel = weight_hh.T and bias = bias_ih + bias_hh; no gate changes its place.
    """
    x, weight_ih, weight_hh = uniform(*SHAPE), uniform(4 * UNITS, FEATURES), uniform(4 * UNITS, UNITS)
    bias_ih, bias_hh = uniform(4 * UNITS), uniform(4 * UNITS)
    lstm = by_hand(LSTM(UNITS, return_sequences=True), SHAPE)
    lstm.weights = [weight_ih.T, weight_hh.T, bias_ih + bias_hh]
    lstm.layer.set_weights(lstm.weights)
    torch = by_rows(x.astype(np.float64), weight_ih, weight_hh, [bias_ih, bias_hh], order=GATES)
    agree(lstm(x), [replace(lstm.expected(x)[0], value=torch)])


def test_weights_to_onnx(by_hand, uniform):
    """ONNX's LSTM has the gates in the order i, o, f, c: beside transposing, they must be moved.

    It has two biases as well, of which one can be zero.
    """
    x = uniform(*SHAPE)
    lstm = by_hand(LSTM(UNITS, return_sequences=True), SHAPE)
    w, r, b = (reorder_gates(weight, ONNX_GATES) for weight in lstm.layer.get_weights())
    onnx = by_rows(x.astype(np.float64), w.T, r.T, [b, np.zeros_like(b)], order=ONNX_GATES)
    agree(lstm(x), [replace(lstm.expected(x)[0], value=onnx)])


def test_default_recurrent_activation_is_sigmoid(by_hand, uniform):
    """The gates use ``sigmoid`` unless told otherwise. TensorFlow 1 had ``hard_sigmoid``, which gives other numbers.

    Weights of that time need ``recurrent_activation="hard_sigmoid"`` to mean what they meant.
    """
    x = uniform(*SHAPE)
    today = by_hand(LSTM(UNITS), SHAPE)
    then = by_hand(LSTM(UNITS, recurrent_activation="hard_sigmoid"), SHAPE)
    then.layer.set_weights(today.weights)
    agree(today(x), today.expected(x))
    assert not matches(then(x), today.expected(x))
