"""The gradients, and those of second order, against PyTorch's automatic differentiation, in float64.

They are those of its LSTM, and of an LSTM written out in it.
"""

import numpy as np
import pytest

from reference_impl import (
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    DropoutMasks,
    Embedding,
    EncoderDecoder,
    Given,
    LSTMCell,
    Model,
    Shared,
    StackedRNNCells,
)
from reference_impl.gradients import ModelGradients, backward, model_gradients
from reference_impl.second_order import hessian_product
from reference_impl.tangents import WITHOUT_TANGENT

torch = pytest.importorskip("torch", reason="torch is needed by nothing else")

#: The largest error, relative to the largest entry of a gradient.
BOUND = 1e-8

TRIALS = range(10)
HALF = np.array([[True, False, True, True], [False, True, True, False], [True, True, False, False]])


def uniform(random, *shapes):
    return [2.0 * random.random_sample(shape) - 1.0 for shape in shapes]


def leaves(arrays):
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def gradients(outputs, d_outputs, tensors):
    """The derivatives of ⟨d_outputs, outputs⟩ summed over the rows."""
    total = sum((output * torch.tensor(d)).sum() for output, d in zip(outputs, d_outputs))
    return [own.numpy() for own in torch.autograd.grad(total, tensors)]


def hold(actual, expected):
    for one, other in zip(actual, expected):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= BOUND * np.abs(other).max()
    assert len(actual) == len(expected)


def summed(weights):
    """The gradients of the whole batch's weights."""
    return [weight.sum(axis=0) for weight in weights]


def step(x, h, c, weights, act, gate, masks=None):
    """One time step; ``masks`` are those of x and h, each (batch, 4, width)."""
    kernel, recurrent, *bias = weights
    units = h.shape[-1]
    sums = []
    for number in range(4):
        own = slice(number * units, (number + 1) * units)
        masked_x, masked_h = (x, h) if masks is None else (x * masks[0][:, number], h * masks[1][:, number])
        sums.append(masked_x @ kernel[:, own] + masked_h @ recurrent[:, own] + sum(b[own] for b in bias))
    i, f, o = (gate(sums[number]) for number in (0, 1, 3))
    c = f * c + i * act(sums[2])
    return o * act(c), c


def sequence(x, h, c, weights, act=torch.tanh, gate=torch.sigmoid, mask=None, backwards=False, masks=None):
    """Outputs (batch, T, u) in the order of reading, and the last h and c."""
    outputs, output = [], torch.zeros_like(h)
    for t in reversed(range(x.shape[1])) if backwards else range(x.shape[1]):
        new_h, new_c = step(x[:, t], h, c, weights, act, gate, masks)
        counts = torch.ones_like(h, dtype=torch.bool) if mask is None else torch.tensor(mask[:, t, np.newaxis])
        output, h, c = (torch.where(counts, new, old) for new, old in ((new_h, output), (new_h, h), (new_c, c)))
        outputs.append(output)
    return torch.stack(outputs, dim=1), h, c


def lstm_shapes(features, units, use_bias=True):
    return list(LSTMCell(units, use_bias=use_bias).weight_shapes(features).values())


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("both", [False, True], ids=["forward", "bidirectional"])
def test_torch_lstm(both, trial):
    """``torch.nn.LSTM``, whose gates are in the same order and whose matrices are transposed."""
    random = np.random.RandomState(trial)
    batch, steps, features, units = (int(size) for size in random.randint(1, 9, size=4))
    halves = 2 if both else 1
    x, *arrays = uniform(random, (batch, steps, features), *lstm_shapes(features, units) * halves)
    states = uniform(random, *[(batch, units)] * 2 * halves)
    d_outputs = uniform(random, (batch, steps, halves * units), *[(batch, units)] * 2 * halves)
    one = LSTM(units, return_sequences=True, return_state=True)
    layer = Bidirectional(one) if both else one
    ours = backward(layer, x, arrays, Given(tuple(states)), tuple(d_outputs))

    theirs = torch.nn.LSTM(features, units, batch_first=True, bidirectional=both, dtype=torch.float64)
    for half, suffix in zip(range(halves), ("", "_reverse")):
        values = [weight.T for weight in arrays[3 * half : 3 * half + 3]]
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
        for name, value in zip(names, values):
            getattr(theirs, name + suffix).data = torch.tensor(np.ascontiguousarray(value))
        getattr(theirs, "bias_hh_l0" + suffix).data.zero_()
    read, *starts = leaves([x, *states])
    output, (h, c) = theirs(read, (torch.stack(starts[0::2]), torch.stack(starts[1::2])))
    ends = [state for pair in zip(h, c) for state in pair]
    suffixes = ("", "_reverse")[:halves]
    weights = [getattr(theirs, f"{n}_l0{suffix}") for suffix in suffixes for n in ("weight_ih", "weight_hh", "bias_ih")]
    expected = gradients([output, *ends], d_outputs, [read, *starts, *weights])
    count = 1 + len(starts)
    hold([ours.inputs, *ours.states], expected[:count])
    hold(summed(ours.weights), [weight.T for weight in expected[count:]])


ACTIVATIONS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "relu6": torch.nn.functional.relu6,
    "elu": torch.nn.functional.elu,
    "celu": torch.nn.functional.celu,
    "selu": torch.nn.functional.selu,
    "softplus": torch.nn.functional.softplus,
    "softsign": torch.nn.functional.softsign,
    "softmax": lambda x: torch.softmax(x, dim=-1),
    "log_softmax": lambda x: torch.log_softmax(x, dim=-1),
    "hard_sigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),  # hardsigmoid's own derivative is a float32 1/6
    "hard_silu": torch.nn.functional.hardswish,
    "hard_tanh": torch.nn.functional.hardtanh,
    "hard_shrink": torch.nn.functional.hardshrink,
    "soft_shrink": torch.nn.functional.softshrink,
    "tanh_shrink": torch.nn.functional.tanhshrink,
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, 0.2),
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "mish": torch.nn.functional.mish,
    "log_sigmoid": torch.nn.functional.logsigmoid,
    "linear": lambda x: x,
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_masked_lstm(name, backwards):
    """Each activation in the layer, with a mask and dropout's."""
    random = np.random.RandomState(1)
    x, *weights = uniform(random, (3, 4, 2), *lstm_shapes(2, 3))
    states = uniform(random, (3, 3), (3, 3))
    masks = [np.where(own > 0.0, 2.0, 0.0) for own in uniform(random, (3, 4, 2), (3, 4, 3))]
    d_outputs = uniform(random, (3, 4, 3), (3, 3), (3, 3))
    layer = LSTM(3, name, return_sequences=True, return_state=True, go_backwards=backwards)
    given = Given(tuple(states), HALF, dropout=(DropoutMasks(*masks),))
    ours = backward(layer, x, weights, given, tuple(d_outputs))
    tensors = read, h, c, *own = leaves([x, *states, *weights])
    outputs = sequence(
        read, h, c, own, ACTIVATIONS[name], mask=HALF, backwards=backwards, masks=[torch.tensor(m) for m in masks]
    )
    hold([ours.inputs, *ours.states, *summed(ours.weights)], gradients(outputs, d_outputs, tensors))


def test_stack_of_cells():
    random = np.random.RandomState(2)
    x, *weights = uniform(random, (3, 4, 2), *lstm_shapes(2, 3), *lstm_shapes(3, 2, use_bias=False))
    states = uniform(random, (3, 3), (3, 3), (3, 2), (3, 2))
    d_outputs = uniform(random, (3, 2), *[state.shape for state in states])
    layer = RNN(StackedRNNCells((LSTMCell(3), LSTMCell(2, use_bias=False))), return_state=True)
    ours = backward(layer, x, weights, Given(tuple(states)), tuple(d_outputs))
    tensors = leaves([x, *states, *weights])
    below, *first = sequence(tensors[0], *tensors[1:3], tensors[5:8])
    above, *second = sequence(below, *tensors[3:5], tensors[8:])
    expected = gradients([above[:, -1], *first, *second], d_outputs, tensors)
    hold([ours.inputs, *ours.states, *summed(ours.weights)], expected)


def test_embedding_lstm_dense():
    random = np.random.RandomState(3)
    tokens = random.randint(0, 5, size=(3, 4))
    model = Model((Embedding(5, 2, mask_zero=True), LSTM(3), Dense(2, "softmax")))
    arrays = uniform(random, (5, 2), *lstm_shapes(2, 3), (3, 2), (2,))
    d_outputs = uniform(random, (3, 2))
    ours = model_gradients(model, [tokens], arrays, (), (None,), tuple(d_outputs))
    table, *weights, kernel, bias = tensors = leaves(arrays)
    zeros = torch.zeros(3, 3, dtype=torch.float64)
    output, *_ = sequence(table[torch.tensor(tokens)], zeros, zeros, weights, mask=tokens != 0)
    expected = gradients([torch.softmax(output[:, -1] @ kernel + bias, dim=-1)], d_outputs, tensors)
    hold(summed(ours.weights), expected)


@pytest.mark.parametrize("mask", [None, HALF], ids=["whole", "masked"])
def test_encoder_decoder(mask):
    random = np.random.RandomState(4)
    one, other, *arrays = uniform(random, (3, 4, 2), (3, 4, 2), *lstm_shapes(2, 3), *lstm_shapes(2, 3))
    h0, c0, d_output = uniform(random, (3, 3), (3, 3), (3, 4, 3))
    model = EncoderDecoder((LSTM(3, return_state=True), LSTM(3, return_sequences=True)))
    ours = model_gradients(model, [one, other], arrays, [(h0, c0), ()], (mask, mask), (d_output,))
    tensors = leaves([one, other, h0, c0, *arrays])
    _, h, c = sequence(tensors[0], *tensors[2:4], tensors[4:7], mask=mask)
    output, *_ = sequence(tensors[1], h, c, tensors[7:], mask=mask)
    expected = gradients([output], [d_output], tensors)
    hold([*ours.inputs, *ours.states[0], *summed(ours.weights)], expected)
    assert ours.states[1] == ()


def test_shared():
    random = np.random.RandomState(5)
    one, other, *arrays = uniform(random, (3, 4, 2), (3, 5, 2), *lstm_shapes(2, 3))
    h0, c0, *d_outputs = uniform(random, (3, 3), (3, 3), (3, 3), (3, 3))
    model = Shared((LSTM(3),))
    ours = model_gradients(model, [one, other], arrays, [(h0, c0)], (None, None), tuple(d_outputs))
    tensors = leaves([one, other, h0, c0, *arrays])
    outputs = [sequence(x, *tensors[2:4], tensors[4:])[0][:, -1] for x in tensors[:2]]
    hold([*ours.inputs, *ours.states[0], *summed(ours.weights)], gradients(outputs, d_outputs, tensors))


def products(outputs, d_outputs, tensors, direction):
    """The derivatives of ⟨direction, gradients⟩: the Hessian times the direction, back through the way back."""
    total = sum((output * torch.tensor(d)).sum() for output, d in zip(outputs, d_outputs))
    first = torch.autograd.grad(total, tensors, create_graph=True)
    along = sum((gradient * torch.tensor(d)).sum() for gradient, d in zip(first, direction))
    return [own.numpy() for own in torch.autograd.grad(along, tensors)]


def hold_products(model, x, states, weights, d_outputs, mask, outputs_of):
    """The product of ours with that of what ``outputs_of`` makes of tensors of x, the states and the weights."""
    random = np.random.RandomState(6)
    direction = uniform(random, *(array.shape for array in (x, *states, *weights)))
    moves, starts, others = direction[0], tuple(direction[1 : 1 + len(states)]), tuple(direction[1 + len(states) :])
    along = ModelGradients((moves,), others, (starts,))
    ours = hessian_product(along, model, [x], weights, [tuple(states)], (mask,), tuple(d_outputs))
    tensors = leaves([x, *states, *weights])
    expected = products(outputs_of(*tensors), d_outputs, tensors, direction)
    hold([*ours.inputs, *ours.states[0], *summed(ours.weights)], expected)


@pytest.mark.parametrize("argument", ["activation", "recurrent_activation"])
@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {function.__name__ for function in WITHOUT_TANGENT}))
def test_second_order_of_a_masked_lstm(name, argument):
    random = np.random.RandomState(1)
    x, *weights = uniform(random, (3, 4, 2), *lstm_shapes(2, 3))
    states, d_outputs = uniform(random, (3, 3), (3, 3)), uniform(random, (3, 4, 3), (3, 3), (3, 3))
    layer = LSTM(3, **{argument: name}, return_sequences=True, return_state=True, go_backwards=True)
    act, gate = (ACTIVATIONS[own] for own in (layer.activation, layer.recurrent_activation))

    def outputs_of(read, h, c, *own):
        return sequence(read, h, c, own, act, gate, mask=HALF, backwards=True)

    hold_products(Model((layer,)), x, states, weights, d_outputs, HALF, outputs_of)


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave"])
def test_second_order_of_both_directions(mode, trial):
    random = np.random.RandomState(trial)
    batch, steps, features, units = (int(size) for size in random.randint(1, 6, size=4))
    x, *weights = uniform(random, (batch, steps, features), *lstm_shapes(features, units) * 2)
    states = uniform(random, *[(batch, units)] * 4)
    d_outputs = uniform(random, (batch, steps, 2 * units if mode == "concat" else units))
    merge = {
        "concat": lambda one, other: torch.cat([one, other], dim=-1),
        "sum": lambda one, other: one + other,
        "mul": lambda one, other: one * other,
        "ave": lambda one, other: (one + other) / 2,
    }[mode]

    def outputs_of(read, *others):
        starts, own = others[:4], others[4:]
        forward, *_ = sequence(read, *starts[:2], own[:3])
        backward, *_ = sequence(read, *starts[2:], own[3:], backwards=True)
        return [merge(forward, backward.flip(1))]

    layer = Bidirectional(LSTM(units, return_sequences=True), mode)
    hold_products(Model((layer,)), x, states, weights, d_outputs, None, outputs_of)


def test_second_order_of_a_stack_of_cells():
    random = np.random.RandomState(2)
    x, *weights = uniform(random, (3, 4, 2), *lstm_shapes(2, 3), *lstm_shapes(3, 2, use_bias=False))
    states, d_outputs = uniform(random, (3, 3), (3, 3), (3, 2), (3, 2)), uniform(random, (3, 2))

    def outputs_of(read, h1, c1, h2, c2, *own):
        below, *_ = sequence(read, h1, c1, own[:3])
        above, *_ = sequence(below, h2, c2, own[3:])
        return [above[:, -1]]

    layer = RNN(StackedRNNCells((LSTMCell(3), LSTMCell(2, use_bias=False))))
    hold_products(Model((layer,)), x, states, weights, d_outputs, None, outputs_of)
