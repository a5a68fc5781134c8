"""What ``fit`` and ``evaluate`` make of the data they are given: in which order, how many, in which form."""

import inspect

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, BATCH = 8, 3, 2, 2


@pytest.fixture
def data(uniform):
    return uniform(SAMPLES, STEPS, FEATURES), uniform(SAMPLES, 1), 1.0 + uniform(SAMPLES)


@pytest.fixture
def learner(subject, uniform):
    """Make a small model, every time from the same weights; it runs eagerly, which is nothing to its data."""
    layers, start = subject.keras.layers, [uniform(*shape) for shape in ((FEATURES, 8), (2, 8), (8,), (2, 1), (1,))]

    def learner(learning_rate=0.5, **compiled):
        inputs = subject.keras.Input((STEPS, FEATURES))
        model = subject.keras.Model(inputs, layers.Dense(1)(subject.lstm(2)(inputs)))
        model.set_weights(start)
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
    shuffled.fit(x, y, batch_size=1, epochs=2, verbose=0)  # both times in order by chance: once in 8!², 1.6e9, runs
    in_order.fit(x, y, batch_size=1, epochs=2, shuffle=False, verbose=0)
    assert not same_weights(shuffled, in_order), "rows were not shuffled"


@pytest.mark.parametrize(("share", "others"), [(0.25, 6), (0.2, 6)], ids=["whole", "rounded"])
def test_last_rows_validate(learner, data, share, others):
    """``validation_split`` takes the last rows: they teach nothing, and are evaluated after the epoch.

    Of 8 rows 0.8 are 6.4: those that teach are the 6 that are whole.
    """
    split, first_rows, (x, y, weight) = learner(), learner(), data
    given = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    history = split.fit(x, y, sample_weight=weight, validation_split=share, **given).history
    first_rows.fit(x[:others], y[:others], sample_weight=weight[:others], **given)
    assert same_weights(split, first_rows), "training is not that of the first rows"
    assert np.isclose(history["val_loss"][0], (weight * errors(split, x, y))[others:].mean())


def test_validation_data(learner, data):
    """They teach nothing, and are evaluated after the epoch, with their weights."""
    with_them, without, (x, y, weight) = learner(), learner(), data
    given = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    history = with_them.fit(x, y, validation_data=(x[:3], y[:3], weight[:3]), **given).history
    without.fit(x, y, **given)
    assert same_weights(with_them, without), "what is to validate taught"
    found, expected = history["val_loss"][0], (weight * errors(with_them, x, y))[:3].mean()
    assert np.isclose(found, expected), f"the loss of what validates is {found:.4g}, not {expected:.4g}"


def test_data_that_are_given_validate_and_not_a_share(learner, data):
    """``validation_data`` "will override `validation_split`"."""
    model, (x, y, weight) = learner(), data
    history = model.fit(x, y, validation_split=0.5, validation_data=(x[:3], y[:3], weight[:3]), verbose=0).history
    found, expected = history["val_loss"][0], (weight * errors(model, x, y))[:3].mean()
    assert np.isclose(found, expected), f"the loss of what validates is {found:.4g}, not {expected:.4g}"


def test_some_steps_validate(learner, data):
    """``validation_steps`` of ``validation_batch_size`` rows, from the first one on, whatever teaches."""
    model, (x, y, weight) = learner(), data
    history = model.fit(
        x, y, batch_size=BATCH, validation_data=data, validation_steps=1, validation_batch_size=3, verbose=0
    ).history
    found, expected = history["val_loss"][0], (weight * errors(model, x, y))[:3].mean()
    assert np.isclose(found, expected), f"the loss of what validates is {found:.4g}, not {expected:.4g}"


def test_some_steps_are_evaluated_and_predicted(learner, data):
    """Of 8 rows ``steps=2`` of 3 rows are the first 6."""
    model, (x, y, weight) = learner(), data
    found = model.evaluate(x, y, sample_weight=weight, batch_size=3, steps=2, verbose=0)
    assert np.isclose(found, (weight * errors(model, x, y))[:6].mean())
    assert np.allclose(model.predict(x, batch_size=3, steps=2, verbose=0), model.predict_on_batch(x)[:6])


def batches_of(x, y, weight):
    for start in range(0, SAMPLES, BATCH):
        yield tuple(array[start : start + BATCH] for array in (x, y, weight))


def sequence_of(keras, size, *arrays):
    """A Sequence, which is asked for the batches of arrays by their numbers."""

    class Batches(keras.utils.Sequence):
        def __len__(self):
            return len(arrays[0]) // size

        def __getitem__(self, number):
            return tuple(array[number * size : (number + 1) * size] for array in arrays)

    return Batches()


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


def test_epochs_of_some_steps_go_on_through_the_data(subject, learner, data):
    """Of 4 batches the first epoch of 2 steps takes the first two, and the second the others."""
    if subject.tensorflow is None:
        pytest.skip("there is no tf.data without TensorFlow")
    by_halves, whole = learner(), learner()
    dataset = FORMS["dataset"](subject.tensorflow, data)
    by_halves.fit(dataset, steps_per_epoch=2, epochs=2, verbose=0)
    whole.fit(dataset, verbose=0)
    assert same_weights(by_halves, whole)


def test_sequence_in_order(subject, learner, data):
    """Its batches teach what arrays do."""
    from_sequence, from_arrays, (x, y, weight) = learner(), learner(), data
    from_sequence.fit(sequence_of(subject.keras, BATCH, *data), shuffle=False, verbose=0)
    from_arrays.fit(x, y, sample_weight=weight, batch_size=BATCH, shuffle=False, verbose=0)
    assert same_weights(from_sequence, from_arrays)


def test_sequence_is_shuffled(subject, uniform):
    """If ``fit`` shuffles, as it does where it is not told otherwise; what learns from it is nothing to that."""
    x, keras = uniform(SAMPLES, 1), subject.keras

    def learnt(**given):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.5), run_eagerly=True)
        # In order by chance: once in 8!², 1.6e9, runs.
        model.fit(sequence_of(keras, 1, x, x**2), epochs=2, verbose=0, **given)
        return model

    assert not same_weights(learnt(), learnt(shuffle=False)), "batches were not shuffled"


def test_each_epoch_has_as_many_steps_as_are_asked_for(subject, learner, data):
    """Where the epochs have more steps together than there are batches, too."""
    model, (x, y, _), steps = learner(), data, []
    seen = subject.keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs=None: steps.append(step))
    model.fit(x, y, batch_size=BATCH, steps_per_epoch=2, epochs=4, verbose=0, callbacks=[seen])
    assert steps == [0, 1] * 4, f"the steps are {steps}"


def of_unknown_size(subject, *arrays):
    """Batches of which nothing says how many there are."""
    if subject.tensorflow is None:
        pytest.skip("there is no tf.data without TensorFlow")
    batches = subject.tensorflow.data.Dataset.from_tensor_slices(arrays).batch(BATCH, drop_remainder=True)
    return batches.filter(lambda *batch: True)


def test_steps_over_data_of_unknown_size_are_counted(subject, learner, data):
    model = learner(run_eagerly=False)
    model.fit(of_unknown_size(subject, *data), epochs=2, verbose=0)
    found, expected = int(subject.to_numpy(model.optimizer.iterations)), 2 * SAMPLES // BATCH
    assert found == expected, f"{found} steps are counted of {expected}"


def test_loss_over_data_of_unknown_size(subject, learner, data):
    model, (x, y, weight) = learner(run_eagerly=False), data
    expected = model.evaluate(x, y, sample_weight=weight, batch_size=BATCH, verbose=0)
    found = model.evaluate(of_unknown_size(subject, *data), verbose=0)
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"


def test_several_steps_in_one_call(subject, learner, data):
    """``steps_per_execution`` says how often Python is asked, not what is learnt: of 4 batches, 3 and then 1."""
    if "steps_per_execution" not in inspect.signature(subject.keras.Model.compile).parameters:
        pytest.skip("this Keras has no steps_per_execution")
    several, single, (x, y, _) = learner(steps_per_execution=3), learner(run_eagerly=False), data
    losses = [
        model.fit(x, y, batch_size=BATCH, epochs=6, shuffle=False, verbose=0).history["loss"]
        for model in (several, single)
    ]
    assert np.allclose(*losses), "the losses of the epochs are {}, not {}".format(*losses)
    assert all(map(np.allclose, several.get_weights(), single.get_weights())), "something else was learnt"


#: For a loss, its targets and the weight of each sample by the weights of classes, of which the last has most.
OF_CLASSES = {
    "binary_crossentropy": (np.array([[1.0], [0.0], [0.0], [1.0]], "float32"), [3.0, 1.0, 1.0, 3.0]),
    "categorical_crossentropy": (np.eye(3, dtype="float32")[[1, 0, 2, 1]], [3.0, 1.0, 5.0, 3.0]),
}


@pytest.mark.parametrize("loss", OF_CLASSES)
def test_weights_of_classes_are_those_of_their_samples(subject, uniform, loss):
    """Where a number says which of two, and where a row of targets says which of several."""
    y, by_sample = OF_CLASSES[loss]
    classes = y.shape[1]
    inputs = subject.keras.Input((STEPS, FEATURES))
    head = subject.keras.layers.Dense(classes, activation="sigmoid" if classes == 1 else "softmax")
    model = subject.keras.Model(inputs, head(subject.lstm(2)(inputs)))
    x, start = uniform(4, STEPS, FEATURES), [uniform(*weight.shape) for weight in model.get_weights()]

    def trained(**given):
        model.set_weights(start)
        model.compile(loss=loss, optimizer=subject.keras.optimizers.SGD(0.5), run_eagerly=True)
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, **given)
        return model.get_weights()

    of_classes = trained(class_weight={0: 1.0, 1: 3.0, 2: 5.0})
    assert all(map(np.array_equal, of_classes, trained(sample_weight=np.array(by_sample, "float32"))))
    assert not any(map(np.array_equal, of_classes, trained())), "the weights made no difference"


#: Forms of numbers of classes at each step: the loss that takes them, and what they become.
AT_EACH_STEP = {
    "rows": ("categorical_crossentropy", lambda classes: np.eye(3, dtype="float32")[classes]),
    "column": ("sparse_categorical_crossentropy", lambda classes: classes[..., None]),
    "bare": ("sparse_categorical_crossentropy", lambda classes: classes),
}


@pytest.mark.parametrize("form", AT_EACH_STEP)
def test_weights_of_classes_at_each_step(subject, uniform, draw_weights, form):
    """Of sequences a class weighs its steps. Without an axis of their own, numbers of classes may be refused."""
    keras, (loss, targets) = subject.keras, AT_EACH_STEP[form]
    inputs = keras.Input((STEPS, FEATURES))
    head = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(inputs, head(subject.lstm(2, return_sequences=True)(inputs)))
    draw_weights(model)
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    x, classes, weights = uniform(SAMPLES, STEPS, FEATURES), np.argsort(uniform(SAMPLES, STEPS, 3))[..., 0], [1, 3, 5]
    off = -np.log(np.take_along_axis(model.predict_on_batch(x), classes[..., None], axis=-1))[..., 0]
    expected = (np.array(weights)[classes] * off).mean()
    given = {"class_weight": dict(enumerate(weights)), "batch_size": SAMPLES, "verbose": 0}
    try:
        (found,) = model.fit(x, targets(classes), **given).history["loss"]
    except Exception:
        if form == "bare":
            pytest.skip("this Keras refuses weights of classes for targets at each step")
        raise
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"


#: Ways to give one batch of inputs and targets, from the subject and the arrays.
ONE_BATCH = {
    "arrays": lambda subject, *arrays: dict(zip("xy", arrays)),
    "dataset": lambda subject, *arrays: {"x": subject.tensorflow.data.Dataset.from_tensors(arrays)},
    "sequence": lambda subject, *arrays: {"x": sequence_of(subject.keras, len(arrays[0]), *arrays)},
}


@pytest.mark.parametrize("form", ONE_BATCH)
@pytest.mark.parametrize("targets", ["numbers", "rows"])
def test_class_without_a_weight_counts_once(subject, uniform, targets, form):
    """The loss has each sample as often as the weight of its class says, in whichever form the data are."""
    if subject.tensorflow is None and form == "dataset":
        pytest.skip("there is no tf.data without TensorFlow")
    numbers, weights = np.array([1, 0, 2, 1]), {1: 3.0, 2: 5.0}
    y = numbers[:, np.newaxis].astype("float32") if targets == "numbers" else np.eye(3, dtype="float32")[numbers]
    inputs, x = subject.keras.Input((STEPS, FEATURES)), uniform(4, STEPS, FEATURES)
    model = subject.keras.Model(inputs, subject.lstm(y.shape[1])(inputs))
    model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.0), run_eagerly=True)
    # Keras 2 asks for the weights of all classes from 0 on.
    given = {0: 1.0, **weights} if subject.generation == 2 else weights
    (loss,) = model.fit(**ONE_BATCH[form](subject, x, y), class_weight=given, verbose=0).history["loss"]
    by_sample = [weights.get(number, 1.0) for number in numbers]
    expected = (by_sample * errors(model, x, y)).mean()
    assert np.isclose(loss, expected), f"the loss is {loss:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("given", ["data", "split"])
def test_weights_of_classes_are_not_those_of_what_validates(learner, data, given):
    """Its samples count alike, whatever their class."""
    model, (x, _, _), y = learner(), data, np.array([[0, 1, 1, 0, 0, 1, 1, 1]], "float32").T
    validation = {"validation_split": 0.5} if given == "split" else {"validation_data": (x[4:], y[4:])}
    weights = {0: 1.0, 1: 3.0}
    history = model.fit(x, y, batch_size=BATCH, class_weight=weights, verbose=0, **validation).history
    found, expected = history["val_loss"][0], errors(model, x, y)[4:].mean()
    assert np.isclose(found, expected), f"the loss of what validates is {found:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("way", ["test_on_batch", "train_on_batch"])
def test_each_batch_has_its_own_loss(learner, data, way):
    """That of a batch before is not in it, nor in the metrics."""
    model, (x, y, _) = learner(learning_rate=0.0, metrics=["mae"], run_eagerly=True), data
    for rows in (np.s_[:3], np.s_[3:]):
        found = getattr(model, way)(x[rows], y[rows])
        expected = errors(model, x[rows], y[rows]).mean(), np.abs(model.predict_on_batch(x[rows]) - y[rows]).mean()
        assert np.allclose(found, expected), f"loss and metric are {found}, not {expected}"


def test_batch_is_tested_with_its_weights(learner, data):
    model, (x, y, weight) = learner(), data
    assert np.isclose(model.test_on_batch(x, y, sample_weight=weight), (weight * errors(model, x, y)).mean())


def test_batches_of_other_lengths(subject, uniform):
    """A model whose time is open learns from short and long batches what it learns from them padded and masked."""
    keras, lengths = subject.keras, (3, 5, 2)
    start = [uniform(*shape) for shape in ((FEATURES, 8), (2, 8), (8,), (2, 1), (1,))]

    def learner(run_eagerly):
        x = keras.Input((None, FEATURES))
        model = keras.Model(x, keras.layers.Dense(1)(subject.lstm(2)(keras.layers.Masking(0.5)(x))))
        model.set_weights(start)
        model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.5), run_eagerly=run_eagerly)
        return model

    batches = [(uniform(BATCH, steps, FEATURES), uniform(BATCH, 1)) for steps in lengths]
    as_they_are, padded = learner(run_eagerly=False), learner(run_eagerly=True)
    for x, y in batches:
        as_they_are.train_on_batch(x, y)
        padding = np.full((BATCH, max(lengths) - x.shape[1], FEATURES), 0.5, "float32")
        padded.train_on_batch(np.concatenate([x, padding], axis=1), y)
    assert all(map(np.allclose, as_they_are.get_weights(), padded.get_weights()))
    assert not any(map(np.allclose, as_they_are.get_weights(), start)), "nothing was learnt"
