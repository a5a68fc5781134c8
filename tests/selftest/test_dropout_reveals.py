"""Masks are read off the outputs of a reader, and dropout that is wrong in any way is told."""

import re
from math import comb

import numpy as np
import pytest

from conformance.dropout import KINDS, Reader, candidate_weights, constant_weights, probability
from reference_impl import LSTM, DropoutMasks, Given

BATCH, STEPS = 3, 4
SCALE = {"inputs": 2.0, "recurrent": 4.0}
RATE = {kind: 1.0 - 1.0 / scale for kind, scale in SCALE.items()}

SIZES = [(24, 16), (5, 8), (1, 4), (16, 12)]

each_kind = pytest.mark.parametrize("kind", KINDS)


def masks_of(reader, random, scale=None):
    """Masks (batch, 4, entries), each gate's own."""
    entries = {"inputs": reader.features, "recurrent": reader.units}[reader.kind]
    scale = scale or SCALE[reader.kind]
    return scale * (random.random_sample((BATCH, 4, entries)) < 1.0 / scale)


def outputs(reader, *masks):
    """What a reader returns whose masks are these at its first steps, and the last of them from then on."""
    states, steps = (), []
    for step in range(STEPS):
        dropout = DropoutMasks(**{reader.kind: masks[min(step, len(masks) - 1)]})
        given = Given(states, dropout=(dropout,))
        run = reader.layer.run(np.ones((BATCH, 1, reader.features)), reader.weights, given)
        states = run.states
        steps.append(run.outputs[0][:, 0])
    return np.stack(steps, axis=1).astype("float32")


@each_kind
@pytest.mark.parametrize(("features", "units"), SIZES)
def test_masks_are_read(kind, features, units):
    reader = Reader(kind, features, units)
    masks = masks_of(reader, np.random.RandomState(features))
    assert np.array_equal(reader.masks(outputs(reader, masks)[:, 1]), masks)


@each_kind
def test_right_dropout_has_no_complaint(kind):
    reader, random = Reader(kind, *SIZES[0]), np.random.RandomState(1)
    masks = masks_of(reader, random)
    shared = np.repeat(masks[:, :1], 4, axis=1)
    none, everything = np.ones_like(masks), np.zeros_like(masks)
    assert not reader.complaint(outputs(reader, masks), RATE[kind], shared=False)
    assert not reader.complaint(outputs(reader, shared), RATE[kind], shared=True)
    assert not reader.complaint(outputs(reader, none), 0.0, shared=False)
    assert not reader.complaint(outputs(reader, everything), 1.0, shared=False)


#: From the right masks and others as good, what a subject with a fault uses at its steps.
FAULTS = {
    "another mask at each step": (lambda right, *others: (right, right, *others), "step 3 does not have the masks"),
    "one step has another mask": (
        lambda right, other, _: (right, right, other, right),
        "step 3 does not have the masks",
    ),
    "unscaled": (lambda right, *_: (np.sign(right),), r"entries of a mask are \[0.0, 1.0\]"),
    "scaled twice": (lambda right, *_: (np.where(right, 7.0, 0.0),), "entries of a mask"),
    "another rate": (lambda right, *_: (1.5 * right,), "entries of a mask"),
    "rate ignored": (lambda right, *_: (np.ones_like(right),), r"entries of a mask are \[1.0\]"),
    "everything dropped": (lambda right, *_: (np.zeros_like(right),), r"entries of a mask are \[0.0\]"),
    "gates share a mask": (lambda right, *_: (right[:, [0, 0, 0, 0]],), "gates i and f share a mask"),
    "two gates share a mask": (lambda right, *_: (right[:, [0, 1, 2, 1]],), "gates f and o share a mask"),
    "rows share a mask": (lambda right, *_: (right[[0] * BATCH],), "all rows of the batch share a mask"),
}


@each_kind
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_told(kind, fault):
    reader, random = Reader(kind, *SIZES[0]), np.random.RandomState(2)
    use, told = FAULTS[fault]
    used = use(*(masks_of(reader, random) for _ in range(3)))
    assert re.search(told, reader.complaint(outputs(reader, *used), RATE[kind], shared=False))


@each_kind
def test_gates_with_masks_of_their_own_are_told_where_they_share_one(kind):
    reader = Reader(kind, *SIZES[0])
    masks = masks_of(reader, np.random.RandomState(3))
    told = reader.complaint(outputs(reader, masks), RATE[kind], shared=True)
    assert told == "gates i and f have different masks"


def test_one_entry_at_a_later_step_is_told():
    """Of the last step too, and the entry that counts least."""
    for kind in KINDS:
        reader = Reader(kind, *SIZES[0])
        masks = masks_of(reader, np.random.RandomState(4))
        other = masks.copy()
        other[0, 0, -1] = SCALE[kind] - other[0, 0, -1]
        told = reader.complaint(outputs(reader, masks, masks, masks, other), RATE[kind], shared=False)
        assert told == "step 4 does not have the masks of step 2"


@each_kind
def test_candidate_weights_show_the_mask_of_the_candidate(kind):
    units = 8
    masks = np.random.RandomState(5).random_sample((BATCH, 4, units))
    layer = LSTM(units, activation=None, recurrent_activation=None)
    x, weights = np.ones((BATCH, 2, units)), candidate_weights(kind, units, units)
    (output,) = layer(x, weights, dropout=[DropoutMasks(**{kind: masks})])
    assert np.array_equal(output, 1.0 + masks[:, 2])


def test_constant_weights_return_ones():
    layer = LSTM(4, activation=None, recurrent_activation=None, return_sequences=True)
    x = np.random.RandomState(6).random_sample((BATCH, STEPS, 3))
    assert (layer(x, constant_weights(3, 4))[0] == 1.0).all()


@pytest.mark.parametrize(("kept", "entries"), [(0, 10), (3, 10), (5, 10), (9, 10), (400, 1000), (600, 1000)])
def test_probability_of_a_fair_coin(kept, entries):
    """Twice the smaller tail, counted."""
    few = min(kept, entries - kept)
    counted = sum(comb(entries, k) for k in range(few + 1)) / 2**entries
    assert probability(kept, entries, 0.5) == pytest.approx(min(1.0, 2.0 * counted))


def test_probability_tells_other_shares():
    """Of 4096 entries a share that is off by a tenth is out of the question, the right one is not."""
    entries = 4096
    for share in (0.1, 0.25, 0.5, 0.9):
        assert probability(round(share * entries), entries, share) > 0.5
        assert probability(round((share - 0.1) * entries), entries, share) < 1e-9
