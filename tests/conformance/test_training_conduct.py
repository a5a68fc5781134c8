"""What is done around the steps of training: compiling again, callbacks, epochs, the order of samples."""

import inspect
import re

import numpy as np
import pytest
from learning import EAGERLY, FEATURES, SAMPLES, STEPS, UNITS, WHOLE, differences, forgetting, keeping, same, squares

pytestmark = pytest.mark.usefixtures("eager")


#: Layers of layers that are made frozen, from the class LSTM and from ``keras.layers``.
FROZEN = {
    "RNN": lambda lstm, layers: layers.RNN(layers.LSTMCell(UNITS), trainable=False),
    "StackedRNNCells": lambda lstm, layers: layers.RNN([layers.LSTMCell(UNITS) for _ in "ab"], trainable=False),
    "Bidirectional": lambda lstm, layers: layers.Bidirectional(lstm(UNITS), trainable=False),
    "TimeDistributed": lambda lstm, layers: layers.TimeDistributed(layers.Dense(UNITS), trainable=False),
}


@pytest.mark.parametrize("name", FROZEN)
def test_what_is_made_frozen_does_not_learn(subject, data, draw_weights, sgd, name):
    """In a model, whose head does."""
    layers, inputs = subject.keras.layers, subject.keras.layers.Input((STEPS, FEATURES))
    layer = FROZEN[name](subject.lstm, layers)
    model = draw_weights(subject.keras.models.Model(inputs, layers.Dense(1)(layer(inputs))))
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    start = model.get_weights()
    model.train_on_batch(data[0], np.ones_like(model.predict_on_batch(data[0])))
    moved = [not np.array_equal(*weights) for weights in zip(start, model.get_weights())]
    assert any(moved[-2:]), "the head does not learn"
    assert not any(moved[:-2]), f"{sum(moved[:-2])} of {len(moved) - 2} frozen weights moved"


@pytest.mark.parametrize("half", ["forward_layer", "backward_layer"])
def test_half_that_is_frozen_does_not_learn(subject, data, draw_weights, sgd, half):
    """The other half does, and so does the head."""
    layers, inputs = subject.keras.layers, subject.keras.layers.Input((STEPS, FEATURES))
    layer = layers.Bidirectional(subject.lstm(UNITS))
    model = draw_weights(subject.keras.models.Model(inputs, layers.Dense(1)(layer(inputs))))
    getattr(layer, half).trainable = False
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    start = [own.get_weights() for own in (layer.forward_layer, layer.backward_layer)]
    model.train_on_batch(*data)
    ends = [own.get_weights() for own in (layer.forward_layer, layer.backward_layer)]
    moved = [[not np.array_equal(*weights) for weights in zip(*own)] for own in zip(start, ends)]
    assert moved == [3 * [half == "backward_layer"], 3 * [half == "forward_layer"]]


def test_compiled_again_it_learns_otherwise(learner, data, sgd):
    """What was frozen, and no longer is, learns; by the new loss. Not eagerly: each ``compile`` is for a new graph."""
    model, (x, y) = learner(), data
    start = model.get_weights()
    model.layers[1].trainable = False
    model.compile(loss="mse", optimizer=sgd(0.5))
    model.fit(x, y, **WHOLE)
    frozen = model.get_weights()
    assert same(start[:3], frozen[:3]), "frozen weights moved"
    assert not any(map(np.array_equal, start[3:], frozen[3:])), "the head did not learn"
    model.layers[1].trainable = True
    model.compile(loss="mae", optimizer=sgd(0.5))
    expected = np.abs(differences(model, x, y)).mean()
    found = model.fit(x, y, **WHOLE).history["loss"][0]
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"
    assert not any(map(np.array_equal, frozen[:3], model.get_weights()[:3])), "what was frozen did not learn"


@pytest.mark.parametrize("trainable", [True, False], ids=["frozen", "thawed"])
def test_what_is_frozen_counts_where_it_is_compiled(learner, data, sgd, trainable):
    """An LSTM that is frozen, or thawed, after ``compile`` is trained as before, until the next ``compile``."""
    model = learner()
    lstm = model.layers[1]
    lstm.trainable = trainable
    compiled = {"loss": "mse", **EAGERLY}
    model.compile(optimizer=sgd(0.5), **compiled)
    lstm.trainable = not trainable
    moved = []
    for _ in range(2):
        start = lstm.get_weights()
        model.train_on_batch(*data)
        moved.append(not same(lstm.get_weights(), start))
        model.compile(optimizer=sgd(0.5), **compiled)
    words = ["was trained" if one else "was not trained" for one in moved]
    assert moved == [trainable, not trainable], f"it {words[0]}, and compiled again it {words[1]}"


#: The second epoch's weights are the best: from the third on training climbs.
CLIMBING = [0.125, 0.125, -0.25, -0.25, -0.25]


def climbed(subject, learner, data, sgd, *callbacks):
    """A model that was trained as CLIMBING says with further callbacks, and its weights after each epoch."""
    model, (x, y) = learner(), data
    kept, keep = keeping(subject, model)
    scheduler = subject.keras.callbacks.LearningRateScheduler(lambda epoch, rate: CLIMBING[epoch])
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    given = {"epochs": len(CLIMBING), "validation_data": (x, y), "callbacks": [scheduler, keep, *callbacks]}
    losses = model.fit(x, y, **given, **WHOLE).history["val_loss"]
    assert losses[1] == min(losses), "training did not go as this test needs it"
    return model, kept


def test_rate_is_reduced_where_training_does_not_go_on(subject, learner, data, sgd):
    """To half of it after each two epochs that are no better than the best, and not below the least."""
    model, (x, y), found, callbacks = learner(), data, [], subject.keras.callbacks
    reducing = callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=2, min_lr=0.125)
    tell = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append(model.optimizer.learning_rate.numpy())
    )
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    model.fit(x, y, epochs=9, callbacks=[forgetting(subject, model), reducing, tell], **WHOLE)
    assert found == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125, 0.125]


def test_stopped_early_it_has_the_best_weights(subject, learner, data, sgd):
    """Training ends when two epochs in a row are no better than the best, whose weights are then restored."""
    stopping = subject.keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
    model, kept = climbed(subject, learner, data, sgd, stopping)
    assert len(kept) == 4, f"it was stopped after {len(kept)} epochs"
    assert same(model.get_weights(), kept[1])


def test_best_weights_are_kept_in_a_file(subject, learner, data, sgd, tmp_path):
    path = str(tmp_path / "best.weights.h5")
    given = {"monitor": "val_loss", "save_best_only": True, "save_weights_only": True}
    model, kept = climbed(
        subject, learner, data, sgd, subject.keras.callbacks.ModelCheckpoint(path, **given, verbose=0)
    )
    model.load_weights(path)
    assert same(model.get_weights(), kept[1])


def test_epochs_are_counted_from_the_initial_one(subject, learner, data, sgd):
    """Of 4 epochs the last 3 are left after one; of all 4, each second is followed by validation."""
    model, (x, y) = learner(), data
    kept, keep = keeping(subject, model)
    model.compile(loss="mse", optimizer=sgd(0.25), **EAGERLY)
    given = {"epochs": 4, "initial_epoch": 1, "validation_data": (x, y), "validation_freq": 2, "callbacks": [keep]}
    history = model.fit(x, y, **given, **WHOLE)
    assert list(history.epoch) == [1, 2, 3]
    expected = []
    for weights in (kept[0], kept[2]):
        model.set_weights(weights)
        expected.append(squares(model, x, y).mean())
    found = history.history["val_loss"]
    assert len(found) == 2, f"it was validated {len(found)} times"
    assert np.allclose(found, expected)


def test_epochs_that_are_followed_by_validation_are_told_by_number(subject, learner, data, sgd):
    """From 1 on."""
    model, (x, y), found = learner(), data, []
    look = subject.keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.append("val_loss" in logs))
    model.compile(loss="mse", optimizer=sgd(0.25), **EAGERLY)
    model.fit(x, y, epochs=4, validation_data=(x, y), validation_freq=[1, 3], callbacks=[look], **WHOLE)
    assert found == [True, False, True, False]


@pytest.mark.parametrize("seeded", [False, True], ids=["by_chance", "seeded"])
def test_an_epoch_has_its_own_order(subject, learner, data, sgd, seeded):
    """With ``shuffle`` rows come in another order in each. What one epoch teaches is forgotten before the next."""
    model, (x, y) = learner(), data
    if seeded and subject.tensorflow is None:
        pytest.skip("there is no seed of TensorFlow without it")
    if seeded:
        subject.tensorflow.random.set_seed(7)
    forget = forgetting(subject, model)
    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    for shuffle, epochs in ((False, 2), (True, 3)):
        kept, keep = keeping(subject, model)
        model.fit(x, y, batch_size=2, epochs=epochs, shuffle=shuffle, verbose=0, callbacks=[forget, keep])
        # Three times the same rows in each of 4 batches by chance: once in (8! / 2⁴)², 6.4e6, runs.
        orders = "the same order" if all(same(kept[0], later) for later in kept[1:]) else "other orders"
        assert (orders == "other orders") == shuffle, f"with shuffle={shuffle} all epochs have {orders}"


def test_sequence_is_told_of_the_end_of_each_epoch(subject, learner, data, sgd):
    model, (x, y), ended = learner(), data, []

    class Halves(subject.keras.utils.Sequence):
        def __len__(self):
            return 2

        def __getitem__(self, number):
            return x[number::2], y[number::2]

        def on_epoch_end(self):
            ended.append(True)

    model.compile(loss="mse", optimizer=sgd(0.5), **EAGERLY)
    model.fit(Halves(), epochs=3, shuffle=False, verbose=0)
    assert len(ended) == 3, f"it was told {len(ended)} times"


def test_progress_ends_with_what_is_returned(learner, data, sgd, capsys):
    """The last loss that is shown is that of all batches."""
    model, (x, y) = learner(), data
    model.compile(loss="mse", optimizer=sgd(0.0), **EAGERLY)
    y = y + np.arange(SAMPLES, dtype="float32")[:, np.newaxis] / 4
    loss = np.ravel(model.evaluate(x, y, batch_size=1, verbose=1))[0]
    shown = re.findall(r"loss: ([\d.]+)", capsys.readouterr().out)[-1]
    assert shown == f"{loss:.4f}", f"{shown} is shown, {loss:.4f} is returned"


def test_predict_returns_every_row(learner, data):
    """In their order, where several batches are one call: of 4, 3 and then 1."""
    model, (x, _) = learner(), data
    if "steps_per_execution" not in inspect.signature(model.compile).parameters:
        pytest.skip("this Keras has no steps_per_execution")
    expected = model.predict_on_batch(x)
    model.compile(loss="mse", optimizer="sgd", steps_per_execution=3)
    found = model.predict(x, batch_size=2, verbose=0)
    assert found.shape == expected.shape, f"of {len(expected)} rows {len(found)} are returned"
    assert np.allclose(found, expected)
