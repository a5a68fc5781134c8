"""The reference against ONNX Runtime's LSTM operator, which shares nothing with it, not even the order of the gates."""

import numpy as np
import pytest

from reference_impl import LSTM, Bidirectional, estimate
from reference_impl.weights import ONNX_GATES, reorder_gates

onnx = pytest.importorskip("onnx", reason="onnx is a development extra")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is a development extra")

TRIALS = range(40)


def draw(trial):
    """A random problem: sizes, float32 inputs and weights for both directions, initial states and lengths."""
    random = np.random.RandomState(trial)
    batch, steps, features, units = random.randint(1, 9, size=4)

    def uniform(*shape):
        return (2.0 * random.random_sample(shape) - 1.0).astype("float32")

    halves = [
        (uniform(features, 4 * units), uniform(units, 4 * units), uniform(4 * units)),
        (uniform(features, 4 * units), uniform(units, 4 * units), uniform(4 * units)),
    ]
    states = [uniform(batch, units) for _ in range(4)]
    lengths = random.randint(1, steps + 1, size=batch).astype("int32")
    return uniform(batch, steps, features), halves, states, lengths


def run_onnx(x, halves, states, lengths, direction):
    """Y (T, directions, batch, u), Y_h and Y_c (directions, batch, u) of the operator."""
    kernels, recurrents, biases = (np.stack([reorder_gates(half[i], ONNX_GATES) for half in halves]) for i in range(3))
    inputs = {
        "X": np.swapaxes(x, 0, 1),
        "W": np.swapaxes(kernels, 1, 2),
        "R": np.swapaxes(recurrents, 1, 2),
        "B": np.concatenate([biases, np.zeros_like(biases)], axis=-1),
        "sequence_lens": lengths,
        "initial_h": np.stack(states[0::2][: len(halves)]),
        "initial_c": np.stack(states[1::2][: len(halves)]),
    }
    helper = onnx.helper
    node = helper.make_node(
        "LSTM", list(inputs), ["Y", "Y_h", "Y_c"], hidden_size=states[0].shape[-1], direction=direction
    )
    kind = {"float32": onnx.TensorProto.FLOAT, "int32": onnx.TensorProto.INT32}
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info(name, kind[str(a.dtype)], a.shape) for name, a in inputs.items()],
        [helper.make_tensor_value_info(name, kind["float32"], None) for name in ("Y", "Y_h", "Y_c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def expect(layer, x, weights, states, lengths, trial):
    mask = np.arange(x.shape[1]) < lengths[:, np.newaxis]
    exact = [weight.astype(np.float64) for weight in weights]

    def compute(tile, fl):
        tiled = [tile(state.astype(np.float64)) for state in states]
        return layer(tile(x.astype(np.float64)), exact, tiled, tile(mask), fl)

    return estimate(compute, "float32", seed=trial)


def hold(estimates, arrays):
    for estimate_, actual in zip(estimates, arrays):
        assert actual.shape == estimate_.value.shape
        assert (np.abs(actual - estimate_.value) <= estimate_.tolerance).all()


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_one_direction(direction, trial):
    x, halves, states, lengths = draw(trial)
    backwards = direction == "reverse"
    layer = LSTM(
        states[0].shape[-1],
        return_sequences=True,
        return_state=True,
        go_backwards=backwards,
        zero_output_for_mask=True,
    )
    y, y_h, y_c = run_onnx(x, halves[:1], states, lengths, direction)
    outputs = np.swapaxes(y[:, 0], 0, 1)
    outputs = outputs[:, ::-1] if backwards else outputs
    hold(expect(layer, x, halves[0], states[:2], lengths, trial), [outputs, y_h[0], y_c[0]])


@pytest.mark.parametrize("trial", TRIALS)
def test_both_directions(trial):
    x, halves, states, lengths = draw(trial)
    layer = Bidirectional(LSTM(states[0].shape[-1], return_sequences=True, return_state=True))
    y, y_h, y_c = run_onnx(x, halves, states, lengths, "bidirectional")
    merged = np.swapaxes(np.concatenate([y[:, 0], y[:, 1]], axis=-1), 0, 1)
    weights = [weight for half in halves for weight in half]
    hold(expect(layer, x, weights, states, lengths, trial), [merged, y_h[0], y_c[0], y_h[1], y_c[1]])
