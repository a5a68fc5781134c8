"""Dropout, made visible: which entries were dropped at which step and gate.

In training ``dropout`` zeroes entries of the inputs and ``recurrent_dropout`` entries of h, each at its own rate, and
what is kept is multiplied by 1/(1 - rate). The masks are drawn anew for every row of every call, and stay as they are
over the time steps of a call. Keras documents this ("so that the same mask is used for every step") after Gal and
Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks" (2016). The gates share one
mask of the inputs where a single product computes them all, which is ``implementation=2``. Otherwise, and always with
``recurrent_dropout``, they are computed one by one and each has masks of its own.
"""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from by_hand import agree, call
from dropping import (
    FALSE_ALARM,
    FEATURES,
    LINEAR,
    ONES,
    RATES,
    READER,
    READER_CELL,
    READERS,
    STEPS,
    UNITS,
    built,
    dropping,
    each_kind,
    only,
)

from conformance.dropout import (
    BASE,
    KINDS,
    Reader,
    candidate_weights,
    constant_weights,
    outputs_given,
    probability,
    wrong_entries,
)
from conformance.subject.layers import reset_states
from conformance.subject.modes import jit_argument
from reference_impl import LSTM, RNN, DropoutMasks, LSTMCell, StackedRNNCells

pytestmark = pytest.mark.usefixtures("drawn_from_the_id")

#: Ways of building one layer.
VARIANTS = {
    "plain": READER,
    "implementation_1": replace(READER, implementation=1),
    "unroll": replace(READER, unroll=True),
    "stateful": replace(READER, stateful=True),
    "go_backwards": replace(READER, go_backwards=True),
    "RNN": RNN(READER_CELL, return_sequences=True),
    "RNN_implementation_1": RNN(replace(READER_CELL, implementation=1), return_sequences=True),
    "RNN_unroll": RNN(READER_CELL, return_sequences=True, unroll=True),
}


def rate_of(description, kind):
    cell = getattr(description, "cell", description)
    return {"inputs": cell.dropout, "recurrent": cell.recurrent_dropout}[kind]


def shares(description, kind):
    """Whether one product computes all four gates."""
    cell = getattr(description, "cell", description)
    return kind == "inputs" and cell.implementation == 2 and cell.recurrent_dropout == 0.0


def training(subject, layer, how="eager"):
    """A function that calls a layer in training."""
    if how == "eager":
        return lambda x, **given: layer(x, training=True, **given)
    name = jit_argument(subject.tensorflow)
    if how == "compiled" and not name:
        pytest.skip("this TensorFlow has no tf.function(jit_compile=)")
    return subject.tensorflow.function(lambda x: layer(x, training=True), **({name: True} if how == "compiled" else {}))


def hold(description, reader, outputs, mask=None):
    """Hold what a reader returned to the rates of a layer."""
    kind = reader.kind
    complaint = reader.complaint(outputs, rate_of(description, kind), shares(description, kind), mask)
    assert not complaint, f"{kind}: {complaint}"


def hold_masks(subject, description, layer, step, **given):
    """Read the masks of both kinds in a call each, ``step``, from the zero state."""
    for reader in READERS:
        layer.set_weights(reader.weights)
        reset_states([layer])
        (outputs,) = call(subject, step, ONES, **given)
        hold(description, reader, outputs, **given)


def hold_redrawn(subject, reader, layer, step):
    """Two calls drop other entries."""
    layer.set_weights(reader.weights)
    (first,), (second,) = (call(subject, step, ONES) for _ in range(2))
    assert not np.array_equal(first, second), "both calls have the same masks"


@pytest.mark.parametrize(
    ("variant", "rates"),
    [
        ("plain", "neither"),
        ("plain", "recurrent"),
        *((variant, "inputs") for variant in VARIANTS),
        *((variant, "both") for variant in VARIANTS if "implementation" not in variant),
    ],
)
def test_masks(subject, variant, rates):
    """Each rate leaves the other alone, and a rate of 0 drops nothing."""
    description = dropping(VARIANTS[variant], RATES[rates])
    layer = built(subject, description)
    hold_masks(subject, description, layer, training(subject, layer))


@pytest.mark.parametrize("variant", ["plain", "unroll", "RNN"])
def test_masks_where_steps_are_masked(subject, variant):
    description = dropping(VARIANTS[variant], RATES["both"])
    mask = np.array([[True, True, False, True], [True, True, True, False]] * 2)
    layer = built(subject, description)
    hold_masks(subject, description, layer, training(subject, layer), mask=mask)


@each_kind
@pytest.mark.parametrize("variant", ["plain", "RNN"])
def test_next_call_draws_anew(subject, variant, reader):
    layer = built(subject, dropping(VARIANTS[variant], RATES[reader.kind]))
    hold_redrawn(subject, reader, layer, training(subject, layer))


@pytest.mark.parametrize(
    ("how", "variant", "rates"),
    [
        ("function", "plain", "inputs"),
        ("function", "RNN", "both"),
        ("compiled", "plain", "both"),
    ],
)
def test_masks_in_a_graph(subject, how, variant, rates):
    """A graph draws anew in each call, though it was traced once, and not at each step."""
    description = dropping(VARIANTS[variant], RATES[rates])
    layer = built(subject, description)
    step = training(subject, layer, how)
    hold_masks(subject, description, layer, step)
    for reader in READERS:
        if rate_of(description, reader.kind):
            hold_redrawn(subject, reader, layer, step)


@pytest.mark.parametrize("how", ["eager", "function"])
def test_masks_of_an_upper_cell(subject, how):
    """It reads the ones that the cell below returns."""
    cell = dropping(READER_CELL, RATES["both"])
    layer = built(subject, RNN(StackedRNNCells((cell, cell)), return_sequences=True))
    step = training(subject, layer, how)
    for kind in KINDS:
        reader = Reader(kind, UNITS, UNITS)
        layer.set_weights([*constant_weights(FEATURES, UNITS), *reader.weights])
        (outputs,) = call(subject, step, ONES)
        hold(cell, reader, outputs)


#: Ways of calling a model that is not being trained.
AT_INFERENCE = {
    "training_not_given": lambda model, x: model(x),
    "training_false": lambda model, x: model(x, training=False),
    "predict": lambda model, x: model.predict(x, verbose=0),
}


@pytest.mark.parametrize("how", AT_INFERENCE)
def test_nothing_is_dropped_at_inference(subject, how):
    layer = built(subject, dropping(READER, RATES["both"]))
    x = subject.keras.Input(ONES.shape[1:])
    model = subject.keras.Model(x, layer(x))
    for reader in READERS:
        layer.set_weights(reader.weights)
        (outputs,) = call(subject, lambda x: AT_INFERENCE[how](model, x), ONES)
        hold(READER, reader, outputs)


#: Ways of building an LSTM with its usual activations.
USUAL = {
    "plain": LSTM(UNITS, return_sequences=True),
    "implementation_1": LSTM(UNITS, return_sequences=True, implementation=1),
    "unroll": LSTM(UNITS, return_sequences=True, unroll=True),
    "RNN": RNN(LSTMCell(UNITS), return_sequences=True),
}


def for_every_gate(mask):
    """A mask (batch, entries) that the gates share."""
    return np.repeat(mask[:, np.newaxis], 4, axis=1)


@pytest.mark.parametrize("rate", [0.2, 0.5])
@pytest.mark.parametrize("variant", USUAL)
def test_masks_with_the_usual_activations(subject, variant, rate):
    """They have an implementation of their own. Of weights and biases that are zero but in the candidate gate, which
    reads each feature by one unit, the output is zero where the feature was dropped."""
    weights = candidate_weights("inputs", UNITS, UNITS)
    weights[-1] *= 0.0
    x = ONES[..., :UNITS]
    layer = built(subject, dropping(USUAL[variant], (rate, 0.0)), x.shape)
    layer.set_weights(weights)
    (outputs,) = call(subject, layer, x, training=True)
    kept = outputs != 0.0
    assert (kept == kept[:, :1]).all(), "there is another mask at each step"
    masks = DropoutMasks(inputs=for_every_gate(kept[:, 0] / (1.0 - rate)))
    agree([outputs], outputs_given(USUAL[variant], x, weights, [masks]))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_share_that_is_kept(subject, kind, rate):
    """Each entry is kept with probability 1 - rate, and multiplied by 1/(1 - rate)."""
    size = 64
    description = LSTM(size, return_sequences=True, **LINEAR)
    x = np.ones((size, 2, size), "float32")
    weights = candidate_weights(kind, size, size)
    layer = built(subject, dropping(description, only(kind, rate)), x.shape)
    layer.set_weights(weights)
    (outputs,) = call(subject, layer, x, training=True)
    kept = outputs[:, 1] != 1.0
    assert probability(int(kept.sum()), kept.size, 1.0 - rate) >= FALSE_ALARM, f"of the entries {kept.mean()} are kept"
    masks = DropoutMasks(**{kind: for_every_gate(kept / (1.0 - rate))})
    agree([outputs], outputs_given(description, x, weights, [masks]))


@each_kind
@pytest.mark.parametrize("variant", ["plain", "RNN", "RNN_implementation_1"])
def test_rate_of_one_drops_everything(subject, variant, reader):
    """The documentation has rates "between 0 and 1". A Keras that draws the line below 1 says so in an error."""
    description = dropping(VARIANTS[variant], only(reader.kind, 1.0))
    try:
        layer = built(subject, description)
        layer.set_weights(reader.weights)
        (outputs,) = call(subject, layer, ONES, training=True)
    except ValueError as error:
        assert re.search(r"\b(rate|dropout)\b", str(error))  # noqa: PT017
    else:
        hold(description, reader, outputs)


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_masks_in_other_dtypes(subject, dtype):
    if dtype.startswith("mixed_") and not subject.has_mixed_policies:
        pytest.skip("this Keras has no mixed precision, or as an experiment")
    layer = subject.layer(dropping(READER, RATES["inputs"]), dtype)
    x = ONES[..., :UNITS].astype("float64" if dtype == "float64" else "float32")
    layer.build(x.shape)
    layer.set_weights(candidate_weights("inputs", UNITS, UNITS))
    (outputs,) = call(subject, layer, x, training=True)
    complaint = wrong_entries(outputs.astype("float64") - 1.0, 0.5)
    assert not complaint, complaint
    assert (outputs == outputs[:, :1]).all(), "there is another mask at each step"


def test_training_a_model_drops(subject):
    """One unit sums the features times 1, 8, 64, ...; for one row and the target 0 the sum is the mean absolute error,
    which then has the entries of the mask as its octal digits."""
    features, epochs = 6, 6  # all with the same mask once in 2**30 times
    powers = BASE ** np.arange(features)
    layer = built(subject, LSTM(1, dropout=0.5, **LINEAR), (1, STEPS, features))
    layer.set_weights([powers[:, np.newaxis] * [0, 0, 1, 0], np.zeros((1, 4)), np.array([1, 0, 0, 1])])
    x = subject.keras.Input((STEPS, features))
    model = subject.keras.Model(x, layer(x))
    model.compile(optimizer=subject.keras.optimizers.SGD(0.0), loss="mae")
    x, y = np.ones((1, STEPS, features), "float32"), np.zeros((1, 1), "float32")
    losses = model.fit(x, y, epochs=epochs, verbose=0).history["loss"]
    masks = np.floor(np.array(losses).reshape(-1, 1) / powers) % BASE
    complaint = wrong_entries(masks, 0.5)
    assert not complaint, complaint
    assert len(np.unique(masks, axis=0)) > 1, "all epochs have the same mask"
    assert model.evaluate(x, y, verbose=0) == powers.sum()


@each_kind
def test_next_call_draws_anew_for_an_upper_cell(subject, reader):
    """Also where the call before was at inference. The upper cell reads the ones that the cell below returns."""
    cells, x = (READER_CELL, dropping(READER_CELL, RATES[reader.kind])), ONES[..., :UNITS]
    layer = built(subject, RNN(StackedRNNCells(cells), return_sequences=True), x.shape)
    layer.set_weights([*constant_weights(UNITS, UNITS), *Reader(reader.kind, UNITS, UNITS).weights])
    called = [call(subject, layer, x, training=training)[0] for training in (False, True, True)]
    for first, second in combinations(called, 2):
        assert not np.array_equal(first, second), "two calls have the same masks"
