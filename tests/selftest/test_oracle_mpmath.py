"""The reference against a scalar evaluation to 30 digits, to within a few float64 roundings."""

import numpy as np
import pytest

from reference_impl import LSTM, Bidirectional, estimate
from reference_impl.activations import FUNCTIONS, get
from reference_impl.scan import scan

mpmath = pytest.importorskip("mpmath", reason="mpmath is a development extra")
mp = mpmath.mp.clone()
mp.dps = 30


def sparsemax(row):
    """The projection onto the simplex by bisection on its threshold."""
    low, high = min(row) - 1, max(row)
    for _ in range(110):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(max(x - middle, 0) for x in row) > 1 else (low, middle)
    return [max(x - low, 0) for x in row]


def softmax(row):
    powers = [mp.exp(x) for x in row]
    return [power / sum(powers) for power in powers]


def each(function):
    return lambda row: [function(x) for x in row]


def clip(x, low, high):
    return min(max(x, low), high)


def selu(x):
    alpha, scale = mp.mpf("1.6732632423543772848170429916717"), mp.mpf("1.0507009873554804934193349852946")
    return scale * (x if x > 0 else alpha * (mp.exp(x) - 1))


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


#: Each activation once more, from its definition, on a row of units.
DEFINITIONS = {
    "linear": each(lambda x: x),
    "sigmoid": each(sigmoid),
    "tanh": each(mp.tanh),
    "hard_sigmoid": each(lambda x: clip(x / 6 + mp.mpf(1) / 2, 0, 1)),
    "hard_sigmoid_keras2": each(lambda x: clip(x / 5 + mp.mpf(1) / 2, 0, 1)),
    "exponential": each(mp.exp),
    "softplus": each(lambda x: mp.log(1 + mp.exp(x))),
    "softsign": each(lambda x: x / (1 + abs(x))),
    "softmax": softmax,
    "log_softmax": lambda row: [mp.log(p) for p in softmax(row)],
    "sparsemax": sparsemax,
    "relu": each(lambda x: max(x, 0)),
    "relu6": each(lambda x: clip(x, 0, 6)),
    "leaky_relu": each(lambda x: x if x > 0 else x / 5),
    "elu": each(lambda x: x if x > 0 else mp.exp(x) - 1),
    "celu": each(lambda x: max(x, 0) + min(mp.exp(x) - 1, 0)),
    "selu": each(selu),
    "silu": each(lambda x: x * sigmoid(x)),
    "swish": each(lambda x: x * sigmoid(x)),
    "hard_silu": each(lambda x: x * clip(x / 6 + mp.mpf(1) / 2, 0, 1)),
    "hard_swish": each(lambda x: x * clip(x / 6 + mp.mpf(1) / 2, 0, 1)),
    "gelu": each(lambda x: x * mp.ncdf(x)),
    "mish": each(lambda x: x * mp.tanh(mp.log(1 + mp.exp(x)))),
    "log_sigmoid": each(lambda x: mp.log(sigmoid(x))),
    "squareplus": each(lambda x: (x + mp.sqrt(x * x + 4)) / 2),
    "sparse_plus": each(lambda x: 0 if x <= -1 else x if x >= 1 else (x + 1) ** 2 / 4),
    "sparse_sigmoid": each(lambda x: clip((x + 1) / 2, 0, 1)),
    "hard_tanh": each(lambda x: clip(x, -1, 1)),
    "tanh_shrink": each(lambda x: x - mp.tanh(x)),
    "hard_shrink": each(lambda x: x if abs(x) > mp.mpf(1) / 2 else 0),
    "soft_shrink": each(lambda x: mp.sign(x) * max(abs(x) - mp.mpf(1) / 2, 0)),
}


def lstm_row(xs, weights, h, c, activation, recurrent_activation):
    """One batch row as scalars: outputs of every step and the last c. ``xs`` is a list of lists of mpf."""
    kernel, recurrent, bias = (np.vectorize(mp.mpf, otypes=[object])(weight) for weight in weights)
    units = len(h)
    outputs = []
    for x in xs:
        z = [
            sum(a * w for a, w in zip(x, kernel[:, j])) + sum(a * w for a, w in zip(h, recurrent[:, j])) + bias[j]
            for j in range(4 * units)
        ]
        i, f, o = (recurrent_activation(z[k * units : (k + 1) * units]) for k in (0, 1, 3))
        candidate = activation(z[2 * units : 3 * units])
        c = [f[j] * c[j] + i[j] * candidate[j] for j in range(units)]
        h = [o[j] * a for j, a in enumerate(activation(c))]
        outputs.append(h)
    return outputs, c


def draw(seed, batch=2, steps=4, features=3, units=2):
    random = np.random.RandomState(seed)
    shapes = [(batch, steps, features), (features, 4 * units), (units, 4 * units), (4 * units,)]
    x, *weights = (2.0 * random.random_sample(shape) - 1.0 for shape in shapes)
    states = [2.0 * random.random_sample((batch, units)) - 1.0 for _ in range(2)]
    return x, weights, states


def exactly(x, weights, states, activation="tanh", recurrent_activation="sigmoid"):
    """(batch, T, u) outputs and (batch, u) last carry, as arrays of mpf."""
    rows = [
        lstm_row(
            [[mp.mpf(v) for v in step] for step in x[row]],
            weights,
            [mp.mpf(v) for v in states[0][row]],
            [mp.mpf(v) for v in states[1][row]],
            DEFINITIONS[activation],
            DEFINITIONS[recurrent_activation],
        )
        for row in range(len(x))
    ]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def hold(estimate_, exact):
    error = np.abs(estimate_.value - exact)
    assert (error <= estimate_.tolerance).all(), f"worst {max((error / estimate_.tolerance).ravel())}"


@pytest.mark.parametrize("seed", range(5))
def test_lstm(seed):
    x, weights, states = draw(seed)
    layer = LSTM(2, return_sequences=True, return_state=True)
    output, h, c = estimate(
        lambda tile, fl: layer(tile(x), weights, [tile(s) for s in states], fl=fl), "float64", seed=seed
    )
    outputs, carry = exactly(x, weights, states)
    hold(output, outputs)
    hold(h, outputs[:, -1])
    hold(c, carry)


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
def test_bidirectional(mode):
    x, forward_weights, states = draw(7)
    _, backward_weights, _ = draw(8)
    layer = Bidirectional(LSTM(2, return_sequences=True), merge_mode=mode)
    weights = [*forward_weights, *backward_weights]
    results = estimate(
        lambda tile, fl: layer(tile(x), weights, [tile(s) for s in (*states, *states)], fl=fl), "float64", seed=7
    )
    forward, _ = exactly(x, forward_weights, states)
    backward = exactly(x[:, ::-1], backward_weights, states)[0][:, ::-1]
    merged = {
        "concat": [np.concatenate([forward, backward], axis=-1)],
        "sum": [forward + backward],
        "mul": [forward * backward],
        "ave": [(forward + backward) / 2],
        None: [forward, backward],
    }[mode]
    assert len(results) == len(merged)
    for result, exact in zip(results, merged):
        hold(result, exact)


@pytest.mark.parametrize("argument", ["activation", "recurrent_activation"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_activation_in_the_layer(name, argument):
    x, weights, states = draw(11, steps=2)  # more steps of exponentials of exponentials fill the memory
    layer = LSTM(2, return_sequences=True, return_state=True, **{argument: name})
    output, _, c = estimate(
        lambda tile, fl: layer(tile(x), weights, [tile(s) for s in states], fl=fl), "float64", seed=11
    )
    outputs, carry = exactly(x, weights, states, **{argument: name})
    hold(output, outputs)
    hold(c, carry)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_activation_over_its_range(name):
    x = np.concatenate([np.linspace(-8.0, 8.0, 97), [-1.0, -0.5, 0.5, 1.0]]).reshape(-1, 1) * [1.0, 0.9, 0.3]
    (result,) = estimate(lambda tile, fl: [get(name)(tile(x), fl)], "float64", seed=3)
    hold(result, np.array([DEFINITIONS[name]([mp.mpf(v) for v in row]) for row in x]))


def test_mask_by_hand():
    """Rows with gaps, leading masked steps and nothing but masked steps, written out step by step."""
    x = np.arange(1.0, 13.0).reshape(3, 4, 1)
    mask = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=bool)
    h0, c0 = np.full((3, 1), 100.0), np.full((3, 1), 50.0)

    def step(x_t, states):
        h, c = states
        return h + x_t, (h + x_t, c - x_t)

    outputs, (h, c) = scan(step, x, (h0, c0), mask)
    assert outputs[:, :, 0].tolist() == [[101, 101, 104, 104], [0, 0, 107, 115], [0, 0, 0, 0]]
    assert (h[:, 0].tolist(), c[:, 0].tolist()) == ([104, 115, 100], [46, 35, 50])
    outputs, _ = scan(step, x, (h0, c0), mask, zero_output_for_mask=True)
    assert outputs[:, :, 0].tolist() == [[101, 0, 104, 0], [0, 0, 107, 115], [0, 0, 0, 0]]
    outputs, (h, _) = scan(step, x, (h0, c0), mask, go_backwards=True)
    assert outputs[:, :, 0].tolist() == [[0, 103, 103, 104], [108, 115, 115, 115], [0, 0, 0, 0]]
    assert h[:, 0].tolist() == [104, 115, 100]
