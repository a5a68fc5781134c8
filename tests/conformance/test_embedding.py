"""The table of an Embedding in front of an LSTM: where it comes from, what it costs, what training does to it."""

import inspect

import numpy as np
import pytest
from by_hand import agree

from reference_impl import LSTM

WORDS, WIDTH, UNITS = 5, 4, 3
TOKENS = np.array([[1, 2, 0], [4, 4, 3]])


def reader(subject, by_hand, **arguments):
    """A model of an Embedding and an LSTM, and the two."""
    layers = subject.keras.layers
    embedding, lstm = layers.Embedding(WORDS, WIDTH, **arguments), by_hand(LSTM(UNITS), (*TOKENS.shape, WIDTH))
    x = subject.keras.Input(TOKENS.shape[1:], dtype="int32")
    return subject.keras.Model(x, lstm.layer(embedding(x))), embedding, lstm


def test_table_that_is_given_is_taken(subject, by_hand, uniform):
    """``Embedding(weights=)``, as vectors of words that were trained elsewhere are given."""
    if subject.generation > 2 and "weights" not in inspect.signature(subject.keras.layers.Embedding).parameters:
        pytest.skip("Embedding of this Keras takes no weights")
    table = uniform(WORDS, WIDTH)
    model, _, lstm = reader(subject, by_hand, weights=[table])
    agree([model.predict_on_batch(TOKENS)], lstm.expected(table[TOKENS]))


def test_table_is_initialized_as_it_says(subject, by_hand):
    _, embedding, _ = reader(subject, by_hand, embeddings_initializer="ones")
    assert np.array_equal(embedding.get_weights(), [np.ones((WORDS, WIDTH))])


@pytest.mark.usefixtures("eager")
def test_table_is_penalized(subject, by_hand, uniform):
    """All of it, whatever words there are."""
    table, l2 = uniform(WORDS, WIDTH), subject.keras.regularizers.l2(0.1)
    model, embedding, _ = reader(subject, by_hand, embeddings_regularizer=l2)
    embedding.set_weights([table])
    (loss,) = model.losses
    assert np.isclose(float(loss), 0.1 * (table**2).sum())


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
def test_table_is_trained(subject, by_hand, uniform, frozen):
    """Within its constraint; a frozen one stays what it is."""
    non_negative = subject.keras.constraints.non_neg()
    model, embedding, _ = reader(subject, by_hand, embeddings_constraint=non_negative, trainable=not frozen)
    table = uniform(WORDS, WIDTH)
    embedding.set_weights([table])
    model.compile(loss="mse", optimizer="sgd", run_eagerly=True)
    model.train_on_batch(TOKENS, np.ones((2, UNITS), "float32"))
    (trained,) = embedding.get_weights()
    if frozen:
        assert np.array_equal(trained, table), "a frozen table was trained"
    else:
        assert trained.min() >= 0.0
        assert not np.isclose(trained, np.maximum(table, 0.0)).all()
