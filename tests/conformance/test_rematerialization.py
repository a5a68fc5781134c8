"""Layers made in a ``RematScope`` compute again for their gradients what others keep, and nothing else changes."""

import numpy as np
import pytest
from by_hand import near, part_of
from learning import WHOLE, same

pytestmark = pytest.mark.usefixtures("eager")

BATCH, STEPS, FEATURES, UNITS = 3, 4, 2, 3
MASK = np.array([[True, True, True, False], [False, True, False, True], [True, True, False, False]])

#: Layers, from their class and from ``keras.layers``, and what they are called with beside x.
LAYERS = {
    "plain": (lambda lstm, layers: lstm(UNITS), {}),
    "unrolled": (lambda lstm, layers: lstm(UNITS, unroll=True), {}),
    "masked": (lambda lstm, layers: lstm(UNITS, return_sequences=True), {"mask": MASK}),
    "initial_state": (lambda lstm, layers: lstm(UNITS), {"initial_state": [np.ones((BATCH, UNITS), "float32")] * 2}),
    "bidirectional": (lambda lstm, layers: layers.Bidirectional(lstm(UNITS)), {"mask": MASK}),
    "stack": (lambda lstm, layers: layers.RNN([layers.LSTMCell(UNITS), layers.LSTMCell(2)]), {}),
    "dropout": (lambda lstm, layers: lstm(UNITS, dropout=0.5, seed=1), {"training": True}),
    "recurrent_dropout": (lambda lstm, layers: lstm(UNITS, recurrent_dropout=0.5, seed=1), {"training": True}),
    "stateful": (lambda lstm, layers: lstm(UNITS, stateful=True), {}),
    "mixed_float16": (lambda lstm, layers: lstm(UNITS, dtype="mixed_float16"), {}),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_of_what_is_computed_again(subject, uniform, kind):
    """What a layer returns and the gradients of the sum of its squares are those of the same layer without a scope."""
    scope, (make, given) = part_of(subject.keras, "RematScope"), LAYERS[kind]
    if subject.tensorflow is None:
        pytest.skip("these gradients are TensorFlow's")
    given = {name: value if value is True else subject.tensors(value) for name, value in given.items()}
    x, weights, found = subject.tensors(uniform(BATCH, STEPS, FEATURES)), [], []
    for mode in ("full", None):
        with scope(mode=mode):
            layer = make(subject.lstm, subject.keras.layers)
            layer.build(x.shape)
            weights = weights or [uniform(*weight.shape) for weight in layer.trainable_variables]
            for variable, weight in zip(layer.trainable_variables, weights):
                variable.assign(weight)
            with subject.tensorflow.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, **given)
                loss = subject.keras.ops.sum(subject.keras.ops.cast(outputs, "float32") ** 2)
            gradients = tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])
        found.append([subject.to_numpy(array).astype("float32") for array in (outputs, *gradients)])
    (again, *again_gradients), (usual, *usual_gradients) = found
    assert near(again, usual), "it returns something else"
    right = [near(*both) for both in zip(again_gradients, usual_gradients)]
    assert all(right), "the gradients are others"


#: Which layers are computed again for their gradients, whose outputs are not kept meanwhile.
AGAIN = {
    "all": {"mode": "full"},
    "activations": {"mode": "activations"},
    "large_ones": {"mode": "larger_than", "output_size_threshold": 1},
}


@pytest.mark.parametrize("eagerly", [False, True], ids=["in_a_graph", "eagerly"])
@pytest.mark.parametrize("again", AGAIN)
def test_what_is_computed_again_is_learnt_as_ever(subject, learner, data, sgd, again, eagerly):
    usual, scope = learner(), part_of(subject.keras, "RematScope")
    with scope(**AGAIN[again]):
        saving = learner()
    for model in (usual, saving):
        model.compile(loss="mse", optimizer=sgd(0.5), run_eagerly=eagerly)
        model.fit(*data, **WHOLE)
    assert same(saving.get_weights(), usual.get_weights()), "it learns something else"
