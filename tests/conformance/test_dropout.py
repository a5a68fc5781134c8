"""Dropout, made visible: which entries were dropped at which step and gate, and what follows for the values.

In training ``dropout`` zeroes entries of the inputs and ``recurrent_dropout`` entries of h, each at its own rate, and
what is kept is multiplied by 1/(1 - rate). The masks are drawn anew for every row of every call, and stay as they are
over the time steps of a call. Keras documents this ("so that the same mask is used for every step") after Gal and
Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks" (2016). The gates share one
mask of the inputs where a single product computes them all, which is ``implementation=2``. Otherwise, and always with
``recurrent_dropout``, they are computed one by one and each has masks of its own.
"""

import inspect
import random
import re
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest
from by_hand import agree, call

from conformance.case import Case
from conformance.data import draw, seed
from conformance.dropout import (
    BASE,
    KINDS,
    Reader,
    candidate_weights,
    constant_weights,
    expected_outputs,
    probability,
    wrong_entries,
)
from conformance.gradients import cotangents, expected_gradients
from conformance.subject.build import Built, flat
from conformance.subject.gradients import gradients
from conformance.subject.layers import reset_states, set_weights
from conformance.subject.modes import jit_argument
from conformance.subject.unsupported import unable_to_differentiate
from reference_impl import (
    LSTM,
    RNN,
    Bidirectional,
    DropoutMasks,
    Estimate,
    Given,
    LSTMCell,
    Model,
    StackedRNNCells,
    estimate,
)

BATCH, STEPS, FEATURES, UNITS = 4, 4, 24, 16
ONES = np.ones((BATCH, STEPS, FEATURES), "float32")
READERS = [Reader(kind, FEATURES, UNITS) for kind in KINDS]

#: How often a test of drawn numbers may fail by chance.
FALSE_ALARM = 1e-9

#: Rates of dropout and recurrent dropout whose 1/(1 - rate) is an integer.
RATES = {"neither": (0.0, 0.0), "inputs": (0.5, 0.0), "recurrent": (0.0, 0.75), "both": (0.5, 0.75)}

LINEAR = {"activation": None, "recurrent_activation": None}
READER, READER_CELL = READERS[0].layer, LSTMCell(UNITS, **LINEAR)

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

each_kind = pytest.mark.parametrize("reader", READERS, ids=KINDS)


@pytest.fixture(autouse=True)
def drawn_from_the_id(request, subject):
    set_seed(subject, seed(request.node.name))


def set_seed(subject, number):
    """Seed all that Keras draws from: since Keras 2.7 by its own function, before by what its guide said to do."""
    if hasattr(subject.keras.utils, "set_random_seed"):
        subject.keras.utils.set_random_seed(number)
    else:
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        subject.tensorflow.random.set_seed(number)


def dropping(description, rates):
    """A layer with these rates in each of its cells."""
    if isinstance(description, StackedRNNCells):
        return StackedRNNCells(tuple(dropping(cell, rates) for cell in description.cells))
    inner = {RNN: "cell", Bidirectional: "layer"}.get(type(description))
    if inner:
        return replace(description, **{inner: dropping(getattr(description, inner), rates)})
    return replace(description, dropout=rates[0], recurrent_dropout=rates[1])


def rate_of(description, kind):
    cell = getattr(description, "cell", description)
    return {"inputs": cell.dropout, "recurrent": cell.recurrent_dropout}[kind]


def shares(description, kind):
    """Whether one product computes all four gates."""
    cell = getattr(description, "cell", description)
    return kind == "inputs" and cell.implementation == 2 and cell.recurrent_dropout == 0.0


def only(kind, rate):
    """The rates of a layer that drops entries of one kind."""
    return (rate, 0.0) if kind == "inputs" else (0.0, rate)


def built(subject, description, shape=ONES.shape):
    layer = subject.layer(description, "float32")
    layer.build(shape)
    return layer


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
    agree([outputs], expected_outputs(USUAL[variant], x, weights, [masks]))


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
    agree([outputs], expected_outputs(description, x, weights, [masks]))


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


def gradients_in_training(subject, case, data, description, mode):
    """Those of a layer that drops, in the cotangents of a case whose layer does not, from its inputs and weights."""
    if unable_to_differentiate(subject):
        pytest.skip(unable_to_differentiate(subject))
    layer = built(subject, description, case.input_shape)
    layer.set_weights(data.weights)
    trained = Built(lambda x: layer(x, training=True), [layer], ())
    outer = [subject.tensors(cotangent.astype("float32")) for cotangent in cotangents(case)]
    found = gradients(subject.tensorflow, trained, mode, subject.tensors(data.x), outer)
    return [subject.to_numpy(own) for own in found]


@pytest.mark.parametrize("mode", ["call", "function"])
def test_gradients_given_the_masks(subject, mode):
    """They are those of a layer that drops nothing and reads what was kept, through the same masks.

    What was dropped has no gradient, which tells the masks.
    """
    case = Case(f"dropped in {mode}", Model((LSTM(UNITS),)), BATCH, STEPS, FEATURES)
    data = draw(case)
    of_x, *of_weights = gradients_in_training(subject, case, data, LSTM(UNITS, dropout=0.5), mode)
    mask = np.where(of_x == 0.0, np.float32(0.0), np.float32(2.0))
    assert {0.0, 2.0} == set(np.unique(mask)), "nothing was dropped, or everything"
    kept = replace(data, calls=(replace(data.calls[0], x=[mask * data.x]),))
    of_kept, *expected = expected_gradients(case, kept).values()
    agree([of_x, *of_weights], [Estimate(mask * of_kept.value, 2.0 * of_kept.tolerance), *expected])


#: Layers whose gradients are asked for, with the usual activations.
DIFFERENTIATED = {
    "plain": LSTM(UNITS, return_sequences=True, return_state=True),
    "unroll": LSTM(UNITS, unroll=True),
    "go_backwards": LSTM(UNITS, return_sequences=True, go_backwards=True),
    "RNN": RNN(LSTMCell(UNITS), return_sequences=True),
}


@pytest.mark.parametrize(
    ("name", "rates"), [*((name, "both") for name in DIFFERENTIATED), ("plain", "recurrent"), ("RNN", "inputs")]
)
def test_gradients_of_one_row_given_all_masks(subject, name, rates):
    """To drop entries of one row is to scale rows of each gate's matrices, where what is dropped has no gradient."""
    case = Case(f"one row dropped by {name}", Model((DIFFERENTIATED[name],)), 1, STEPS, FEATURES)
    data = draw(case)
    found = gradients_in_training(subject, case, data, dropping(DIFFERENTIATED[name], RATES[rates]), "call")
    factors = [of_gates(own, rate) for own, rate in zip(found[1:], RATES[rates])]
    scaled = [factor * weight for factor, weight in zip(factors, data.weights)]
    of_x, *of_matrices, of_bias = expected_gradients(case, replace(data, weights=[*scaled, data.weights[-1]])).values()
    through = [Estimate(factor * one.value, factor.max() * one.tolerance) for factor, one in zip(factors, of_matrices)]
    agree(found, [of_x, *through, of_bias])


def of_gates(gradient, rate):
    """What the rows of each gate's matrix are multiplied by, as its gradient tells."""
    kept = gradient.reshape(len(gradient), 4, -1).any(axis=-1)
    assert rate == 0.0 or kept.any() > kept.all(), "nothing was dropped, or everything"
    return np.repeat(np.where(kept, np.float32(1.0 / (1.0 - rate)), np.float32(0.0)), UNITS, axis=1)


def rows_of_layers(**arguments):
    """Layers in a row, with one or several LSTMs between them."""
    returned = {"return_sequences": True, "return_state": True}
    lstm = LSTM(UNITS, **returned, **arguments)
    cells = [LSTMCell(units, **arguments) for units in (UNITS, 12)]
    return {
        "LSTM": (lstm,),
        "RNN_of_two": (RNN(StackedRNNCells(tuple(cells)), **returned),),
        "Bidirectional": (Bidirectional(lstm),),
        "two_layers": (lstm, replace(lstm, units=12)),
    }


ROWS, LINEAR_ROWS = rows_of_layers(), rows_of_layers(**LINEAR)


def row(rows, name, rates):
    return Model(tuple(dropping(layer, RATES[rates]) for layer in rows[name]))


def sizes(model):
    """Features and units of each LSTM of a row."""
    kernels = [shape for own in model.weight_shapes(ONES.shape) for shape in own.values()][::3]
    return [(features, gates // 4) for features, gates in kernels]


def built_row(subject, model, weights):
    layers = [built(subject, *each) for each in zip(model.layers, model.input_shapes(ONES.shape))]
    set_weights(layers, weights)
    return layers


def train(subject, layers, x):
    """The states h, c of each LSTM of a row behind a call in training."""
    states = []
    for layer in layers:
        x, *own = call(subject, layer, x, training=True)
        states += own
    return states


def seeded(subject, model, number, weights, x):
    """The states behind the first call of a row that was built after seeding."""
    set_seed(subject, number)
    return train(subject, built_row(subject, model, weights), x)


@lru_cache(maxsize=None)
def drawn(subject, model, number):
    """The masks of each LSTM of a row in that call, read in turn while all others return ones."""
    masks = [{} for _ in sizes(model)]
    for part, size in enumerate(sizes(model)):
        for kind in KINDS:
            reader = Reader(kind, *size)
            weights = [constant_weights(*other) for other in sizes(model)]
            weights[part] = reader.weights
            states = seeded(subject, model, number, flat(weights), ONES[:, :2])
            masks[part][kind] = reader.masks(states[2 * part])
    return [DropoutMasks(**own) for own in masks]


@pytest.mark.parametrize("name", ["RNN_of_two", "Bidirectional", "two_layers"])
def test_each_lstm_has_masks_of_its_own(subject, name):
    masks = drawn(subject, row(LINEAR_ROWS, name, "both"), 7)
    for kind, rate in zip(KINDS, RATES["both"]):
        both = [getattr(own, kind) for own in masks]
        complaint = wrong_entries(np.concatenate(both, axis=-1), rate)
        assert not complaint, f"{kind}: {complaint}"
        width = min(own.shape[-1] for own in both)
        assert not np.array_equal(*(own[..., :width] for own in both)), f"two LSTMs have the same masks of {kind}"


@pytest.mark.parametrize("name", ["RNN_of_two", "Bidirectional"])
def test_next_call_draws_anew_for_each_lstm(subject, name):
    model = row(LINEAR_ROWS, name, "recurrent")
    weights = [Reader("recurrent", *size).weights for size in sizes(model)]
    layers = built_row(subject, model, flat(weights))
    first, second = (train(subject, layers, ONES[:, :2])[::2] for _ in range(2))
    assert not any(np.array_equal(*pair) for pair in zip(first, second)), "both calls have the same masks"


@each_kind
def test_next_call_draws_anew_for_an_upper_cell(subject, reader):
    """Also where the call before was at inference. The upper cell reads the ones that the cell below returns."""
    cells, x = (READER_CELL, dropping(READER_CELL, RATES[reader.kind])), ONES[..., :UNITS]
    layer = built(subject, RNN(StackedRNNCells(cells), return_sequences=True), x.shape)
    layer.set_weights([*constant_weights(UNITS, UNITS), *Reader(reader.kind, UNITS, UNITS).weights])
    called = [call(subject, layer, x, training=training)[0] for training in (False, True, True)]
    for first, second in combinations(called, 2):
        assert not np.array_equal(first, second), "two calls have the same masks"


@pytest.mark.parametrize(("name", "rates"), [("RNN_of_two", "inputs"), *((name, "both") for name in ROWS)])
def test_values_given_the_masks(subject, uniform, name, rates):
    """With usual weights and activations the states are those of the equations, given what equal seeds drop."""
    model = row(ROWS, name, rates)
    masks = drawn(subject, row(LINEAR_ROWS, name, rates), 7)
    x = uniform(*ONES.shape)
    weights = [uniform(*shape) for own in model.weight_shapes(ONES.shape) for shape in own.values()]
    agree(seeded(subject, model, 7, weights, x), expected_ends(model, weights, x, masks))


def expected_ends(model, weights, x, masks):
    """The states each LSTM ends in."""

    def compute(tile, fl):
        tiled = [DropoutMasks(tile(own.inputs), tile(own.recurrent)) for own in masks]
        y, states, used = tile(x.astype(np.float64)), [], 0
        for layer in model.layers:
            count = len(layer.weight_shapes(1)) // 3
            given = Given(fl=fl, dropout=tuple(tiled[used : used + count]))
            run = layer.run(y, weights[3 * used :][: 3 * count], given)
            used += count
            states += run.states
            y = run.outputs[0]
        return states

    return estimate(compute, "float32", seed=0)


@pytest.mark.parametrize("name", ["LSTM", "Bidirectional"])
def test_equal_seeds_give_equal_results(subject, uniform, name):
    """The global seed decides what is dropped."""
    model = row(ROWS, name, "both")
    x = uniform(BATCH, 2, FEATURES)
    weights = [uniform(*shape) for own in model.weight_shapes(ONES.shape) for shape in own.values()]
    first, again, other = (seeded(subject, model, number, weights, x) for number in (7, 7, 8))
    assert all(np.array_equal(*pair) for pair in zip(first, again)), "equal seeds give different results"
    assert not any(np.array_equal(*pair) for pair in zip(first, other)), "different seeds give equal results"


SEEDED = {
    "LSTM": lambda subject, **arguments: subject.lstm(UNITS, **arguments),
    "RNN": lambda subject, **arguments: subject.keras.layers.RNN(subject.keras.layers.LSTMCell(UNITS, **arguments)),
    "Bidirectional": lambda subject, **arguments: subject.keras.layers.Bidirectional(subject.lstm(UNITS, **arguments)),
}


@pytest.mark.parametrize("rates", ["inputs", "both"])
@pytest.mark.parametrize("name", SEEDED)
def test_equal_seed_arguments_give_equal_results(subject, uniform, name, rates):
    """Layers with an equal ``seed`` drop the same in their first calls, and the same in their second."""
    if "seed" not in inspect.signature(subject.keras.layers.LSTMCell).parameters:
        pytest.skip("layers of this Keras have no seed=")
    x, weights = uniform(BATCH, 2, FEATURES), {}
    rate, of_h = RATES[rates]

    def two_calls(number):
        layer = SEEDED[name](subject, dropout=rate, recurrent_dropout=of_h, seed=number)
        layer.build(ONES.shape)
        layer.set_weights([weights.setdefault(at, uniform(*w.shape)) for at, w in enumerate(layer.get_weights())])
        return [call(subject, layer, x, training=True)[0] for _ in range(2)]

    first, again, other = (two_calls(number) for number in (7, 7, 8))
    assert np.array_equal(first, again), "layers with equal seeds give different results"
    assert not np.array_equal(first[0], other[0]), "layers with different seeds give equal results"
    assert not np.array_equal(*first), "both calls give equal results"


@pytest.mark.parametrize("name", ["Dropout", "SpatialDropout1D"])
def test_layers_that_drop_heed_their_seed(subject, uniform, name):
    """Those with an equal ``seed`` drop the same in their first calls."""
    if subject.generation < 3:
        pytest.skip("in this Keras what is drawn depends on the global seed and on the operations before, too")
    make, x = getattr(subject.keras.layers, name), 2.0 + uniform(8, 6, 32)
    first, again, other = (call(subject, make(0.5, seed=number), x, training=True)[0] for number in (7, 7, 8))
    assert np.array_equal(first, again), "layers with equal seeds drop other entries"
    assert not np.array_equal(first, other), "layers with different seeds drop the same"


def test_cell_keeps_its_masks_until_they_are_reset(subject):
    """A cell that is called by hand, step by step, drops the same until ``reset_dropout_mask()`` and its like for h."""
    cell = subject.layer(dropping(READER_CELL, RATES["both"]), "float32")
    cell.build((BATCH, FEATURES))
    x, states = ONES[:, 0], [subject.tensors(np.ones((BATCH, UNITS), "float32"))] * 2
    if not hasattr(cell, "reset_dropout_mask"):
        pytest.skip("cells of this Keras do not say how to reset their masks")
    resets = {"inputs": cell.reset_dropout_mask, "recurrent": cell.reset_recurrent_dropout_mask}
    for reader in READERS:
        cell.set_weights(reader.weights)
        first, second = (call(subject, cell, x, states=states, training=True)[0] for _ in range(2))
        assert np.array_equal(first, second), f"{reader.kind}: two steps have different masks"
        resets[reader.kind]()
        third = call(subject, cell, x, states=states, training=True)[0]
        assert not np.array_equal(first, third), f"{reader.kind}: the mask outlives its reset"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("training", [True, False])
def test_training_given_to_the_layer_is_heeded_in_a_model(subject, training):
    """``layer(x, training=True)`` in a functional model drops whatever the model is doing; ``False`` never does.

    That is how dropout at inference (Gal and Ghahramani, 2016) is written.
    """
    x = subject.keras.Input((1, 64))
    model = subject.keras.Model(x, subject.lstm(UNITS, dropout=0.5)(x, training=training))
    value = subject.tensors(np.ones((1, 1, 64), "float32"))
    first, second = (subject.to_numpy(model(value, training=not training)) for _ in range(2))
    assert np.array_equal(first, second) != training, f"training={training} was overridden by the call of the model"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("how", ["eager", "function"])
def test_training_given_as_a_tensor_is_heeded(subject, how):
    """``training`` is "Boolean or boolean scalar tensor", says ``Model.call`` of Keras 2."""
    if subject.generation > 2:
        pytest.skip("training is a boolean of Python in this Keras")
    x = subject.keras.Input((1, 64))
    model = subject.keras.Model(x, subject.lstm(UNITS, dropout=0.5)(x))
    value, called = subject.tensors(np.ones((1, 1, 64), "float32")), model
    if how == "function":
        called = subject.tensorflow.function(lambda x, training: model(x, training=training))
    for training in (True, False):
        given = subject.tensors(np.array(training))
        first, second = (subject.to_numpy(called(value, training=given)) for _ in range(2))
        assert np.array_equal(first, second) != training, f"training={training} was not heeded"


#: Layers that drop; 1 in a ``noise_shape`` is an axis along which all is kept or dropped together.
DROPPING = {
    "Dropout": lambda layers, rate: layers.Dropout(rate),
    "Dropout-noise_shape": lambda layers, rate: layers.Dropout(rate, noise_shape=(None, 1, 32)),
    "Dropout-open_noise_shape": lambda layers, rate: layers.Dropout(rate, noise_shape=(None, 1, None)),
    "SpatialDropout1D": lambda layers, rate: layers.SpatialDropout1D(rate),
}


@pytest.mark.parametrize("rate", [0.5, 0.75])
@pytest.mark.parametrize("name", DROPPING)
def test_layer_that_drops(subject, uniform, name, rate):
    """Dropout zeroes entries, the others features at all steps; what is kept is multiplied by 1/(1 - rate)."""
    layer, x = DROPPING[name](subject.keras.layers, rate), 2.0 + uniform(8, 6, 32)
    (outputs,) = call(subject, layer, x, training=True)
    kept = outputs != 0.0
    scaled = np.where(kept, x / np.float32(1.0 - rate), np.float32(0.0))
    assert np.array_equal(outputs, scaled), "what is kept is not multiplied by 1/(1 - rate)"
    if name != "Dropout":
        assert (kept == kept[:, :1]).all(), "a feature is dropped at some steps"
        kept = kept[:, 0]
    assert probability(int(kept.sum()), kept.size, 1.0 - rate) >= FALSE_ALARM, f"of the entries {kept.mean()} are kept"
    assert not (kept == kept[0]).all(), "all rows have the same mask"
    (at_inference,) = call(subject, layer, x, training=False)
    assert np.array_equal(at_inference, x)


def test_predicting_leaves_training_as_it_was(subject):
    """What is drawn in training does not depend on whether ``predict`` was called before."""
    states = []
    for predicts in (False, False, True):
        subject.keras.backend.clear_session()
        set_seed(subject, 1)
        x = subject.keras.Input((1, 8))
        model = subject.keras.Model(x, subject.lstm(UNITS, dropout=0.5)(x))
        model.set_weights([np.full(weight.shape, 0.25, "float32") for weight in model.get_weights()])
        model.compile("sgd", "mse")
        inputs = np.ones((4, 1, 8), "float32")
        if predicts:
            model.predict(inputs, verbose=0)
        model.fit(inputs, np.zeros((4, UNITS), "float32"), verbose=0)
        states.append(model.get_weights()[0])
    before, again, after = states
    if not np.array_equal(before, again):
        pytest.skip("a seed does not decide what this Keras draws in training")
    assert np.array_equal(before, after), "predict changed what fit draws"


def test_refused_call_leaves_nothing_behind(subject):
    """After a call that fails, the layer takes a good one of another batch size."""
    layer = subject.lstm(UNITS, dropout=0.5)
    call(subject, layer, ONES[:2])
    with pytest.raises(Exception):  # noqa: B017, PT011  whatever it is, it is not what is asked here
        call(subject, layer, ONES, mask=np.ones((7, STEPS), "bool"))
    (outputs,) = call(subject, layer, ONES[:2], training=True)
    assert outputs.shape == (2, UNITS)
