"""What follows for values and gradients, given the masks that were drawn."""

from dataclasses import replace

import numpy as np
import pytest
from by_hand import agree
from dropping import (
    BATCH,
    FEATURES,
    LINEAR_ROWS,
    ONES,
    RATES,
    ROWS,
    STEPS,
    UNITS,
    built,
    built_row,
    drawn,
    dropping,
    row,
    seeded,
    sizes,
    train,
)

from conformance.case import Case
from conformance.data import draw
from conformance.dropout import KINDS, Reader, wrong_entries
from conformance.gradients import cotangents, expected_gradients
from conformance.subject.build import Built, flat
from conformance.subject.gradients import gradients
from conformance.subject.unsupported import unable_to_differentiate
from reference_impl import LSTM, RNN, DropoutMasks, Estimate, Given, LSTMCell, Model, estimate

pytestmark = pytest.mark.usefixtures("drawn_from_the_id")


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
