"""What is built of LSTM steps, held to what it is built of."""

import numpy as np
import pytest

from reference_impl import (
    LSTM,
    RNN,
    Bidirectional,
    DropoutMasks,
    Embedding,
    EncoderDecoder,
    Given,
    LSTMCell,
    Masking,
    Model,
    Shared,
    StackedRNNCells,
    TimeDistributed,
)
from reference_impl.weights import split_gates

BATCH, STEPS, FEATURES = 2, 4, 3
MASK = np.array([[False, True, False, True], [True, True, False, False]])


@pytest.fixture
def draw():
    random = np.random.RandomState(0)
    return lambda *shape: 2.0 * random.random_sample(shape) - 1.0


def weights_of(layer, draw, features=FEATURES):
    return [draw(*shape) for shape in layer.weight_shapes(features).values()]


def same(arrays, others):
    assert len(arrays) == len(others)
    for array, other in zip(arrays, others):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("mask", [None, MASK])
def test_a_stack_of_cells_is_a_stack_of_layers(draw, mask):
    cells = RNN(StackedRNNCells((LSTMCell(3), LSTMCell(2))), return_sequences=True, return_state=True)
    weights, states = weights_of(cells, draw), [draw(BATCH, units) for units in (3, 3, 2, 2)]
    x = draw(BATCH, STEPS, FEATURES)
    lower, upper = (LSTM(units, return_sequences=True, return_state=True) for units in (3, 2))
    below, *first = lower(x, weights[:3], states[:2], mask)
    above, *second = upper(below, weights[3:], states[2:], mask)
    same(cells(x, weights, states, mask), (above, *first, *second))


def test_a_cell_called_by_itself_is_one_step(draw):
    cell = LSTMCell(2)
    weights, states, x = weights_of(cell, draw), [draw(BATCH, 2), draw(BATCH, 2)], draw(BATCH, 1, FEATURES)
    layer = LSTM(2, return_state=True)
    same(cell(x[:, 0], weights, states), layer(x, weights, states))


def test_time_distributed_runs_each_slice_by_itself(draw):
    layer = LSTM(2)
    weights, x = weights_of(layer, draw), draw(BATCH, 3, STEPS, FEATURES)
    masks = np.stack([MASK, ~MASK, MASK], axis=1)
    (outputs,) = TimeDistributed(layer)(x, weights, mask=masks)
    for number in range(3):
        same([outputs[:, number]], layer(x[:, number], weights, mask=masks[:, number]))


def test_the_decoder_starts_from_the_states_of_the_encoder(draw):
    encoder, decoder = LSTM(2, return_state=True), LSTM(2, return_sequences=True)
    first, second = weights_of(encoder, draw), weights_of(decoder, draw)
    x, y = draw(BATCH, STEPS, FEATURES), draw(BATCH, STEPS + 1, FEATURES)
    outputs, _ = EncoderDecoder((encoder, decoder)).run([x, y], first + second, masks=[MASK, None])
    _, *states = encoder(x, first, mask=MASK)
    same(outputs, decoder(y, second, states))


def test_a_shared_layer_reads_each_input_from_the_same_states(draw):
    layer = LSTM(2, return_state=True)
    weights, states = weights_of(layer, draw), [draw(BATCH, 2), draw(BATCH, 2)]
    x, y = draw(BATCH, STEPS, FEATURES), draw(BATCH, STEPS + 1, FEATURES)
    outputs, _ = Shared((layer,)).run([x, y], weights, [states])
    same(outputs, (*layer(x, weights, states), *layer(y, weights, states)))


def test_masking_masks_steps_all_of_whose_features_have_the_value():
    x = np.array([[[5.0, 1.0], [5.0, 5.0], [2.0, 5.0]]])
    run = Masking(5.0).run(x, ())
    assert run.mask.tolist() == [[True, False, True]]
    assert run.outputs[0].tolist() == [[[5.0, 1.0], [0.0, 0.0], [2.0, 5.0]]]


def test_embedding_masks_token_zero_where_it_is_told_to(draw):
    table, tokens = draw(4, 2), np.array([[3, 0, 1]])
    run = Embedding(4, 2, mask_zero=True).run(tokens, [table])
    assert run.mask.tolist() == [[True, False, True]]
    same(run.outputs, [table[tokens]])
    assert Embedding(4, 2).run(tokens, [table]).mask is None


@pytest.mark.parametrize(("lower", "reaches"), [(LSTM(2, return_sequences=True), True), (LSTM(2), False)])
def test_a_mask_is_handed_on_with_a_sequence(lower, reaches, draw):
    run = lower.run(draw(BATCH, STEPS, FEATURES), weights_of(lower, draw), Given(mask=MASK))
    assert (run.mask is MASK) == reaches


def test_a_model_hands_masks_from_layer_to_layer(draw):
    lower, upper = LSTM(2, return_sequences=True), LSTM(3)
    first, second = weights_of(lower, draw), weights_of(upper, draw, 2)
    x = draw(BATCH, STEPS, FEATURES)
    x[~MASK] = 0.5
    (expected,) = upper(lower(np.where(MASK[..., None], x, 0.0), first, mask=MASK)[0], second, mask=MASK)
    same(Model((Masking(0.5), lower, upper))(x, first + second), [expected])


def test_a_backward_layer_of_its_own_is_used_as_it_is(draw):
    forward, backward = LSTM(2), LSTM(2, activation="softsign", go_backwards=True)
    layer = Bidirectional(forward, backward_layer=backward)
    weights, x = weights_of(layer, draw), draw(BATCH, STEPS, FEATURES)
    (output,) = layer(x, weights)
    same([output[:, :2], output[:, 2:]], [forward(x, weights[:3])[0], backward(x, weights[3:])[0]])


def test_a_model_hands_dropout_masks_to_its_cells(draw):
    lower, upper = LSTM(2, return_sequences=True, return_state=True), LSTM(3)
    first, second = weights_of(lower, draw), weights_of(upper, draw, 2)
    x = draw(BATCH, STEPS, FEATURES)
    of_lower, of_upper = (DropoutMasks(draw(BATCH, 4, size)) for size in (FEATURES, 2))
    sequence, *states = lower(x, first, dropout=[of_lower])
    stacked, _ = Model((lower, upper)).run([x], first + second, dropout=[of_lower, of_upper])
    same(stacked, upper(sequence, second, dropout=[of_upper]))
    twice, _ = Shared((lower,)).run([x, x], first, dropout=[of_lower, DropoutMasks()])
    same(twice, [sequence, *states, *lower(x, first)])
    decoded, _ = EncoderDecoder((lower, lower)).run([x, x], first + first, dropout=[of_lower, of_lower])
    same(decoded, lower(x, first, initial_state=states, dropout=[of_lower]))


def test_dropout_masks_of_a_gate_are_its_own_scaling_of_the_kernels(draw):
    """A mask alike in all rows is the same as kernels whose rows are scaled by it, gate by gate."""
    layer = LSTM(2, return_sequences=True)
    kernel, recurrent, bias = weights_of(layer, draw)
    x, of_x, of_h = draw(BATCH, STEPS, FEATURES), draw(4, FEATURES), draw(4, 2)
    masks = DropoutMasks(np.stack([of_x] * BATCH), np.stack([of_h] * BATCH))

    def scaled(weight, factors):
        return np.concatenate([f[:, np.newaxis] * own for f, own in zip(factors, split_gates(weight))], axis=-1)

    dropped = layer(x, [kernel, recurrent, bias], dropout=[masks])
    expected = layer(x, [scaled(kernel, of_x), scaled(recurrent, of_h), bias])
    np.testing.assert_array_max_ulp(dropped[0], expected[0], maxulp=64)
