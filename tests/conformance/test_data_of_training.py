"""What ``fit`` and ``evaluate`` make of the data they are given: in which order, how many, in which form."""

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, BATCH = 8, 3, 2, 2


@pytest.fixture
def data(uniform):
    return uniform(SAMPLES, STEPS, FEATURES), uniform(SAMPLES, 1), 1.0 + uniform(SAMPLES)


@pytest.fixture
def learner(subject):
    """Make a small model, every time from the same weights; it runs eagerly, which is nothing to its data."""
    layers, start = subject.keras.layers, []

    def learner(learning_rate=0.5, **compiled):
        inputs = subject.keras.Input((STEPS, FEATURES))
        model = subject.keras.Model(inputs, layers.Dense(1)(subject.lstm(2)(inputs)))
        model.set_weights(start or model.get_weights())
        start[:] = model.get_weights()
        optimizer = subject.keras.optimizers.SGD(learning_rate)
        model.compile(loss="mse", optimizer=optimizer, **(compiled or {"run_eagerly": True}))
        return model

    return learner


def errors(model, x, y):
    return ((model.predict_on_batch(x) - y) ** 2).mean(axis=-1)


def same_weights(one, other):
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


def test_rows_are_shuffled_together(learner, data):
    """In another order than they are given, with their own targets and weights, each once."""
    model, (x, y, weight) = learner(learning_rate=0.0), data
    history = model.fit(x, y, sample_weight=weight, batch_size=BATCH, verbose=0).history
    assert np.isclose(history["loss"][0], (weight * errors(model, x, y)).mean())
    shuffled, in_order = learner(), learner()
    shuffled.fit(x, y, batch_size=1, verbose=0)
    in_order.fit(x, y, batch_size=1, shuffle=False, verbose=0)
    assert not same_weights(shuffled, in_order), "rows were not shuffled"


def test_last_rows_validate(learner, data):
    """``validation_split`` takes the last rows: they teach nothing, and are evaluated after the epoch."""
    split, first_rows, (x, y, weight) = learner(), learner(), data
    given = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    history = split.fit(x, y, sample_weight=weight, validation_split=0.25, **given).history
    first_rows.fit(x[:6], y[:6], sample_weight=weight[:6], **given)
    assert same_weights(split, first_rows), "training is not that of the first rows"
    assert np.isclose(history["val_loss"][0], (weight * errors(split, x, y))[6:].mean())


def test_validation_data(learner, data):
    """They teach nothing, and are evaluated after the epoch, with their weights."""
    with_them, without, (x, y, weight) = learner(), learner(), data
    given = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    history = with_them.fit(x, y, validation_data=(x[:3], y[:3], weight[:3]), **given).history
    without.fit(x, y, **given)
    assert same_weights(with_them, without), "what is to validate taught"
    found, expected = history["val_loss"][0], (weight * errors(with_them, x, y))[:3].mean()
    assert np.isclose(found, expected), f"the loss of what validates is {found:.4g}, not {expected:.4g}"


def test_states_are_carried_through_an_epoch(subject, data):
    """A stateful layer goes on from batch to batch of ``evaluate``, and from where it was in the next one."""
    x, y, _ = data
    inputs = subject.keras.Input(batch_shape=(BATCH, STEPS, FEATURES))
    model = subject.keras.Model(inputs, subject.lstm(1, stateful=True)(inputs))
    model.compile(loss="mse", run_eagerly=True)
    found = [model.evaluate(x, y, batch_size=BATCH, verbose=0) for _ in range(2)]
    anew = subject.keras.Model(inputs, subject.lstm(1, stateful=True)(inputs))
    anew.set_weights(model.get_weights())
    batches = [slice(start, start + BATCH) for start in range(0, SAMPLES, BATCH)]
    expected = [np.mean([errors(anew, x[own], y[own]) for own in batches]) for _ in range(2)]
    assert np.allclose(found, expected)


def batches_of(x, y, weight):
    for start in range(0, SAMPLES, BATCH):
        yield tuple(array[start : start + BATCH] for array in (x, y, weight))


#: Other forms of the same batches, from TensorFlow and the arrays.
FORMS = {
    "dataset": lambda tensorflow, arrays: tensorflow.data.Dataset.from_tensor_slices(arrays).batch(BATCH),
    "generator": lambda tensorflow, arrays: batches_of(*arrays),
}


@pytest.mark.parametrize("name", FORMS)
def test_batches_in_another_form(subject, learner, data, name):
    """They teach what arrays do."""
    if subject.tensorflow is None and name == "dataset":
        pytest.skip("there is no tf.data without TensorFlow")
    from_form, from_arrays, (x, y, weight) = learner(), learner(), data
    from_form.fit(FORMS[name](subject.tensorflow, data), verbose=0)
    from_arrays.fit(x, y, sample_weight=weight, batch_size=BATCH, shuffle=False, verbose=0)
    assert same_weights(from_form, from_arrays)
    found = from_form.evaluate(FORMS[name](subject.tensorflow, data), verbose=0)
    assert np.isclose(found, (weight * errors(from_form, x, y)).mean())


def test_several_steps_in_one_call(subject, learner, data):
    """``steps_per_execution`` says how often Python is asked, not what is learnt: of 4 batches, 3 and then 1."""
    try:
        several = learner(steps_per_execution=3)
    except TypeError as error:
        pytest.skip(f"this Keras has no steps_per_execution: {error}")
    single, (x, y, _) = learner(run_eagerly=False), data
    losses = [
        model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history["loss"]
        for model in (several, single)
    ]
    assert np.allclose(*losses), "the losses of the epochs are {}, not {}".format(*losses)
    assert all(map(np.allclose, several.get_weights(), single.get_weights()))


@pytest.mark.parametrize("classes", [1, 3], ids=["two", "one_of_three"])
def test_weights_of_classes_are_those_of_their_samples(subject, uniform, classes):
    """Where a row of targets says which of several classes it is, and where a number says which of two."""
    inputs = subject.keras.Input((STEPS, FEATURES))
    head = subject.keras.layers.Dense(classes, activation="sigmoid" if classes == 1 else "softmax")
    model = subject.keras.Model(inputs, head(subject.lstm(3)(inputs)))
    x, numbers = uniform(4, STEPS, FEATURES), np.array([1, 0, 0, 1])
    y = np.eye(classes, dtype="float32")[numbers] if classes > 1 else numbers[:, np.newaxis].astype("float32")
    loss = "categorical_crossentropy" if classes > 1 else "binary_crossentropy"
    start, moved = model.get_weights(), []
    by_sample = np.array([3.0, 1.0, 1.0, 3.0], "float32")
    for given in ({"class_weight": {0: 1.0, 1: 3.0, 2: 5.0}}, {"sample_weight": by_sample}):
        model.set_weights(start)
        model.compile(loss=loss, optimizer=subject.keras.optimizers.SGD(0.5), run_eagerly=True)
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, **given)
        moved.append(model.get_weights())
    assert all(map(np.array_equal, *moved))


def test_batch_is_tested_with_its_weights(learner, data):
    model, (x, y, weight) = learner(), data
    assert np.isclose(model.test_on_batch(x, y, sample_weight=weight), (weight * errors(model, x, y)).mean())
