"""Losses of whole sequences: connectionist temporal classification (CTC), and any above a masked sequence."""

from itertools import groupby, product

import numpy as np
import pytest
from by_hand import part_of

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, CLASSES, FEATURES = 3, 5, 4, 2
#: Without a blank, which is class 0; the second has a letter twice in a row.
LABELS = ((1, 2), (3, 3), (1,))
PADDED = np.array([[1, 2, 0], [3, 3, 0], [1, 0, 0]])


@pytest.fixture
def logits(uniform):
    """Scores of classes at each step."""
    return 2.0 * uniform(SAMPLES, STEPS, CLASSES)


def chances(logits):
    """For each labelling, the probability that it is read: the sum over all alignments (Graves et al., 2006, eq. 3).

    An alignment is a class at each step; letters that repeat are read once, and blanks not at all.
    """
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    read = {}
    for alignment in product(range(CLASSES), repeat=len(logits)):
        labelling = tuple(letter for letter, _ in groupby(alignment) if letter != 0)
        read[labelling] = read.get(labelling, 0.0) + shares[np.arange(len(logits)), alignment].prod()
    return read


def surprises(logits, lengths=(STEPS,) * SAMPLES):
    """-log P(labels) of each sample, of so many steps."""
    return [-np.log(chances(one[:length])[label]) for one, label, length in zip(logits, LABELS, lengths)]


def hold_losses(subject, found, expected):
    found = np.ravel(subject.to_numpy(found))
    assert np.allclose(found, expected), f"the losses are {found}, not {expected}"


def test_ctc(subject, logits):
    loss = part_of(subject.keras, "losses.CTC")(reduction="none")
    hold_losses(subject, loss(subject.tensors(PADDED), subject.tensors(logits)), surprises(logits))


def test_ctc_of_lengths(subject, logits):
    """Labels and sequences end where they are told to."""
    ctc, lengths = part_of(subject.keras, "ops.ctc_loss"), (STEPS, STEPS - 1, STEPS - 2)
    letters = np.array([len(label) for label in LABELS])
    found = ctc(PADDED, subject.tensors(logits), letters, np.array(lengths), mask_index=0)
    hold_losses(subject, found, surprises(logits, lengths))


def test_ctc_batch_cost(subject, logits):
    """Of probabilities, and with the last class for a blank, as Keras 2 has it."""
    cost = part_of(subject.keras, "backend.ctc_batch_cost")
    letters, steps = np.array([[len(label)] for label in LABELS]), np.full((SAMPLES, 1), STEPS)
    shares = np.roll(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True), -1, axis=-1)
    found = cost(*map(subject.tensors, (np.maximum(PADDED - 1, 0), shares, steps, letters)))
    hold_losses(subject, found, surprises(logits))


def test_likeliest_labelling_is_read(subject, logits):
    """By a beam search of all labellings, with the logarithm of its probability."""
    decode = part_of(subject.keras, "ops.ctc_decode")
    given = {"strategy": "beam_search", "beam_width": CLASSES**STEPS, "top_paths": 1, "mask_index": 0}
    (found,), scores = map(subject.to_numpy, decode(subject.tensors(logits), np.full(SAMPLES, STEPS), **given))
    for one, letters, score in zip(logits, found, np.ravel(scores)):
        read = chances(one)
        likeliest = max(read, key=read.get)
        assert tuple(letters[letters >= 0]) == likeliest, f"{letters} are read, not {likeliest}"
        assert np.isclose(score, np.log(read[likeliest]))


@pytest.mark.parametrize("samples", [2, STEPS], ids=["fewer_samples_than_steps", "as_many_samples_as_steps"])
def test_loss_of_samples_above_a_masked_sequence(subject, draw_weights, uniform, samples):
    """A function of one's own has one number for each sample: they count alike, or by how many steps do."""
    keras, mask = subject.keras, np.arange(STEPS) <= np.arange(samples)[:, np.newaxis]
    inputs = keras.layers.Input((STEPS, FEATURES))
    masked = keras.layers.Masking(0.5)(inputs)
    model = draw_weights(keras.models.Model(inputs, subject.lstm(FEATURES, return_sequences=True)(masked)))

    def first_step(y, p):
        return (y[:, 0, 0] - p[:, 0, 0]) ** 2

    model.compile(loss=first_step, optimizer="sgd", run_eagerly=True)
    x, y = uniform(samples, STEPS, FEATURES), uniform(samples, STEPS, FEATURES)
    x[~mask] = 0.5
    each = first_step(y, model.predict_on_batch(x))
    found = float(np.ravel(model.test_on_batch(x, y))[0])
    means = [each.mean(), np.average(each, weights=mask.sum(axis=1))]
    assert np.isclose(found, means).any(), f"the loss is {found:.4g}, not {means[0]:.4g} or {means[1]:.4g}"
