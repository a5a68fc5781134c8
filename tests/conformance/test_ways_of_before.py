"""How programs of TensorFlow 2.4 and before are written: what still goes that way comes to the same as ever."""

import numpy as np
import pytest
from by_hand import part_of

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, UNITS = 4, 3, 2, 3


@pytest.fixture
def model(subject, draw_weights):
    """A classifier of sequences, compiled; it runs eagerly, which is nothing to what is asked."""
    layers = subject.keras.layers
    classify = layers.Dense(UNITS, activation="softmax", name="head")
    model = subject.keras.models.Sequential(
        [layers.Input((STEPS, FEATURES)), subject.lstm(UNITS, name="lstm"), classify]
    )
    model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.5), run_eagerly=True)
    return draw_weights(model)


@pytest.fixture
def data(uniform):
    return uniform(SAMPLES, STEPS, FEATURES), uniform(SAMPLES, UNITS)


def in_halves(*arrays):
    while True:
        for rows in (np.s_[:2], np.s_[2:]):
            yield tuple(array[rows] for array in arrays)


def test_generator_is_given_to_a_method_of_its_own(model, data):
    train = part_of(model, "fit_generator", of="Model.")
    (x, y), start = data, model.get_weights()
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
    expected, loss = model.get_weights(), model.evaluate(x, y, verbose=0)
    model.set_weights(start)
    train(in_halves(x, y), steps_per_epoch=2, verbose=0)
    assert all(map(np.allclose, model.get_weights(), expected)), "it learns something else"
    assert np.isclose(model.evaluate_generator(in_halves(x, y), steps=2), loss)
    assert np.allclose(model.predict_generator(in_halves(x), steps=2), model.predict(x))


def test_classes_are_predicted(model, data):
    predict = part_of(model, "predict_classes", of="Sequential.")
    assert np.array_equal(predict(data[0]), model.predict(data[0]).argmax(axis=-1))
    assert np.array_equal(model.predict_proba(data[0]), model.predict(data[0]))


def test_function_of_the_backend(subject, model, data):
    """From the inputs of a model to what its LSTM returns."""
    function = part_of(subject.keras, "backend.function")
    lstm = model.get_layer("lstm")
    (found,) = function([model.inputs[0]], [lstm.output])([data[0]])
    assert np.allclose(found, subject.to_numpy(lstm(subject.tensors(data[0]))))


def test_output_at_a_node(model):
    lstm = model.get_layer("lstm")
    at = part_of(lstm, "get_output_at", of="Layer.")
    assert tuple(at(0).shape)[1:] == (UNITS,)


def test_rate_by_its_old_name(subject, model, data):
    """``lr`` is the learning rate."""
    try:
        optimizer = subject.keras.optimizers.SGD(lr=0.25)
    except (TypeError, ValueError):
        pytest.skip("optimizers of this Keras have no lr")
    (x, y), steps = data, []
    for one in (optimizer, subject.keras.optimizers.SGD(0.25)):
        start = model.get_weights()
        model.compile(loss="mse", optimizer=one, run_eagerly=True)
        model.train_on_batch(x, y)
        steps.append(model.get_weights())
        model.set_weights(start)
    assert all(map(np.array_equal, *steps)), "the rate is another"


def test_metric_that_a_model_adds(subject, model, data):
    if subject.generation >= 3:  # where there is one that raises
        pytest.skip("this Keras has no Model.add_metric")
    x, read = data[0], model.layers[0].output
    watched = subject.keras.models.Model(model.inputs, model.outputs)
    watched.add_metric(read, name="mean", aggregation="mean")
    watched.compile(loss="mse", optimizer="sgd")
    found = watched.test_on_batch(x, data[1], return_dict=True)["mean"]
    assert np.isclose(found, subject.to_numpy(model.layers[0](subject.tensors(x))).mean())


def test_words_have_numbers_by_how_often_they_are(subject):
    text = part_of(subject.keras, "preprocessing.text")
    words = text.Tokenizer(num_words=3, oov_token="?")
    words.fit_on_texts(["the cat sat on the mat", "The cat slept"])
    assert words.texts_to_sequences(["a cat on the mat"]) == [[1, 1, 1, 2, 1]]
    assert words.word_index["cat"] == 3
