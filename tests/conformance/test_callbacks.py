"""What Keras's callbacks make of what they are told: when they stop, which weights they keep, which rates they set."""

import inspect

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, UNITS = 8, 3, 2, 2


@pytest.fixture
def learner(subject, uniform):
    """A small model and its data; it runs eagerly, which is nothing to callbacks."""
    keras = subject.keras
    inputs = keras.layers.Input((STEPS, FEATURES))
    model = keras.models.Model(
        inputs, keras.layers.Dense(1, activation="sigmoid", name="head")(subject.lstm(UNITS)(inputs))
    )
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.5), metrics=["accuracy"], run_eagerly=True)
    return model, uniform(SAMPLES, STEPS, FEATURES), uniform(SAMPLES, 1)


@pytest.fixture
def told(subject, learner):
    """Train while callbacks are told these values, one after each epoch; the weights that each epoch ended with."""

    def told(values, *callbacks, name="loss", learner=learner):
        (model, x, y), kept = learner, []

        def tell(epoch, logs):
            kept.append(model.get_weights())
            logs[name] = values[epoch]

        first = subject.keras.callbacks.LambdaCallback(on_epoch_end=tell)
        first._supports_tf_logs = True  # or TensorFlow 2.4 hands a copy to it and to some others, and none to the rest
        model.fit(x, y, batch_size=SAMPLES, epochs=len(values), verbose=0, callbacks=[first, *callbacks])
        return kept

    return told


def epoch_of(model, kept):
    """The number, from 0 on, of the epoch that ended with the weights that a model has."""
    return [all(map(np.array_equal, model.get_weights(), weights)) for weights in kept].index(True)


def checkpoint(subject, path, **given):
    return subject.keras.callbacks.ModelCheckpoint(str(path), save_weights_only=True, verbose=0, **given)


#: By what is monitored, values of which the second is the best.
BEST = {"val_loss": [0.5, 0.25, 0.375, 0.75, 1.0], "val_accuracy": [0.5, 0.75, 0.625, 0.25, 0.125]}


@pytest.mark.parametrize("monitor", BEST)
def test_the_best_is_the_least_loss_and_the_highest_accuracy(subject, learner, told, tmp_path, monitor):
    """Nobody has to say which of them is meant."""
    model, path = learner[0], tmp_path / "best.weights.h5"
    stopping = subject.keras.callbacks.EarlyStopping(monitor, patience=2, restore_best_weights=True)
    kept = told(BEST[monitor], checkpoint(subject, path, monitor=monitor, save_best_only=True), stopping, name=monitor)
    assert len(kept) == 4, f"it was stopped after {len(kept)} epochs"
    assert epoch_of(model, kept) == 1, "other weights are restored"
    model.set_weights(kept[0])
    model.load_weights(str(path))
    assert epoch_of(model, kept) == 1, "other weights are in the file"


#: For what is monitored the metric that it is, if it is one, and values of which each is better than those before.
IMPROVING = {
    "auc": ("AUC", [0.25, 0.5, 0.75]),
    "precision": ("Precision", [0.25, 0.5, 0.75]),
    "other_loss": (None, [0.75, 0.5, 0.25]),
}


@pytest.fixture(params=IMPROVING)
def improving(subject, learner, told, request):
    """A model of two outputs or one, and how it trains with a callback while what this monitors gets better."""
    keras, (model, x, y), (metric, values) = subject.keras, learner, IMPROVING[request.param]
    metrics = [getattr(keras.metrics, metric)(name=request.param)] if metric else None
    if not metric:
        other = keras.layers.Dense(1, name="other")(model.layers[1].output)
        model, y = keras.models.Model(model.inputs, [model.outputs[0], other]), [y, y]
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.5), metrics=metrics, run_eagerly=True)

    def train(callback, **given):
        monitoring = getattr(keras.callbacks, callback)(monitor=request.param, **given)
        return told(values, monitoring, name=request.param, learner=(model, x, y))

    return model, train


def test_training_goes_on_while_it_improves(improving):
    """Nobody has to say whether more of a metric is better, or what an output is off by is a loss."""
    _, train = improving
    kept = train("EarlyStopping", patience=1)
    assert len(kept) == 3, f"it was stopped after {len(kept)} epochs"


def test_last_weights_are_saved_where_training_improves(improving, tmp_path):
    model, train = improving
    path = str(tmp_path / "best.weights.h5")
    kept = train("ModelCheckpoint", filepath=path, save_best_only=True, save_weights_only=True)
    model.load_weights(path)
    found = epoch_of(model, kept)
    assert found == 2, f"its weights are those of epoch {found}, not of 2"


def test_rate_is_kept_while_training_improves(improving):
    model, train = improving
    train("ReduceLROnPlateau", factor=0.5, patience=1)
    found = float(model.optimizer.learning_rate.numpy())
    assert found == 0.5, f"the rate was reduced to {found}"


#: By what is monitored, values of which the third and the last are better than those before by more than 0.25.
BY_STEPS = {
    "val_loss": [1.0, 0.875, 0.625, 0.5, 0.4375, 0.25],
    "val_accuracy": [0.0, 0.125, 0.375, 0.5, 0.5625, 0.75],
}


@pytest.mark.parametrize("monitor", BY_STEPS)
def test_training_is_stopped_that_improves_by_less_than_is_asked_for(subject, told, monitor):
    """With ``min_delta``, from the best on that there was; patience is out before the last epoch."""
    stopping = subject.keras.callbacks.EarlyStopping(monitor, min_delta=0.25, patience=2)
    found = len(told(BY_STEPS[monitor], stopping, name=monitor))
    assert found == 5, f"it was stopped after {found} epochs"


def test_best_weights_are_restored_where_training_is_not_stopped(subject, learner, told):
    """It ends with the last epoch, before it is out of patience."""
    stopping = subject.keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    found = epoch_of(learner[0], told([1.0, 0.5, 0.75], stopping))
    assert found == 1, f"its weights are those of epoch {found}, not of 1"


def test_early_stopping_is_used_again(subject, told):
    """The best of a training before is nothing to the next, whose losses are higher and fall."""
    stopping = subject.keras.callbacks.EarlyStopping("loss", patience=1)
    assert len(told([0.125, 0.25, 0.5], stopping)) == 2
    assert len(told([1.0, 0.875, 0.75, 0.625], stopping)) == 4, "it was stopped"


#: Losses that never come below the baseline, 0.25.
ABOVE = {"uneven": [1.0, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75], "falling": [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.3125]}


@pytest.mark.parametrize("losses", ABOVE)
def test_training_is_stopped_that_stays_above_the_baseline(subject, told, losses):
    """After two epochs; some versions allow for one more."""
    stopping = subject.keras.callbacks.EarlyStopping("loss", patience=2, baseline=0.25)
    kept = told(ABOVE[losses], stopping)
    assert len(kept) in {2, 3}, f"it went on for {len(kept)} epochs"


def test_training_goes_on_that_comes_below_the_baseline(subject, told):
    stopping = subject.keras.callbacks.EarlyStopping("loss", patience=2, baseline=0.25)
    assert len(told([1.0, 0.125, 0.5, 0.0625, 0.5], stopping)) == 5, "it was stopped"


def test_early_stopping_starts_from_an_epoch(subject, learner, told):
    """Those before it are neither the best nor counted."""
    callback = subject.keras.callbacks.EarlyStopping
    if "start_from_epoch" not in inspect.signature(callback.__init__).parameters:
        pytest.skip("the EarlyStopping of this Keras has no start_from_epoch")
    stopping = callback("loss", patience=2, start_from_epoch=1, restore_best_weights=True)
    kept = told([0.125, 0.5, 0.75, 0.625, 1.0], stopping)
    assert len(kept) == 4, f"it was stopped after {len(kept)} epochs"
    assert epoch_of(learner[0], kept) == 1


@pytest.mark.parametrize("target", [np.nan, np.inf], ids=str)
def test_training_ends_with_a_loss_that_is_no_number(subject, learner, target):
    """The epoch that has it is the last."""
    model, x, y = learner
    y[-1] = target
    given = {"batch_size": 2, "epochs": 3, "shuffle": False, "verbose": 0}
    found = len(model.fit(x, y, callbacks=[subject.keras.callbacks.TerminateOnNaN()], **given).epoch)
    assert found == 1, f"it went on for {found} epochs"


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_model_is_kept_in_a_file(subject, told, tmp_path, suffix):
    """The whole model, unless only its weights are asked for."""
    path = str(tmp_path / f"model.{suffix}")
    kept = told([0.5], subject.keras.callbacks.ModelCheckpoint(path))
    again = subject.keras.models.load_model(path, compile=False)
    assert epoch_of(again, kept) == 0


def test_files_are_numbered_from_the_first_epoch(subject, told, tmp_path):
    """Its number is 1; what is told goes into their names too."""
    told([0.5, 0.25], checkpoint(subject, tmp_path / "{epoch}-{loss:.2f}.weights.h5"))
    found = sorted(file.name for file in tmp_path.iterdir())
    assert found == ["1-0.50.weights.h5", "2-0.25.weights.h5"]


@pytest.fixture
def saved_after(subject, learner, tmp_path):
    """After which of the 8 batches a file is there that was not there before."""

    def saved_after(save_freq, epochs=1, **given):
        (model, x, y), path, found = learner, tmp_path / "model.weights.h5", []

        def look(batch, logs):
            if path.exists():
                found.append(batch + 1)
                path.unlink()

        looking = subject.keras.callbacks.LambdaCallback(on_batch_end=look)
        saving = checkpoint(subject, path, save_freq=save_freq, **given)
        model.fit(x, y, batch_size=1, epochs=epochs, shuffle=False, verbose=0, callbacks=[saving, looking])
        return found

    return saved_after


def test_files_are_saved_after_so_many_batches(subject, saved_after):
    """Of 8 after the third and the sixth."""
    if "save_freq" not in inspect.signature(subject.keras.callbacks.ModelCheckpoint.__init__).parameters:
        pytest.skip("the ModelCheckpoint of this Keras has no save_freq")
    found = saved_after(3)
    assert found == [3, 6], f"it was saved after batches {found}"


@pytest.mark.parametrize(("save_freq", "epochs", "expected"), [(2, 1, [2, 6, 8]), (8, 2, [8])], ids=["steps", "epochs"])
def test_no_worse_model_is_saved_after_so_many_batches(subject, learner, saved_after, save_freq, epochs, expected):
    """With ``save_best_only``: the losses of the first epoch are 4, 3, 5, 3.75, 3, 2.5, 2.14 and 1.88."""
    if "save_freq" not in inspect.signature(subject.keras.callbacks.ModelCheckpoint.__init__).parameters:
        pytest.skip("the ModelCheckpoint of this Keras has no save_freq")
    model, x, y = learner
    y[:] = model.predict_on_batch(x) + np.sqrt([[4], [2], [9], [0], [0], [0], [0], [0]])
    model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.0), run_eagerly=True)
    found = saved_after(save_freq, epochs, monitor="loss", save_best_only=True)
    assert found == expected, f"it was saved after batches {found}"


def test_files_are_saved_where_batches_are_taken_together(learner, saved_after):
    """Two by two, by ``steps_per_execution``: of 8 after the fourth and the eighth."""
    model = learner[0]
    if "steps_per_execution" not in inspect.signature(model.compile).parameters:
        pytest.skip("this Keras has no steps_per_execution")
    model.compile(loss="mse", optimizer="sgd", steps_per_execution=2)
    found = saved_after(4)
    assert found == [4, 8], f"it was saved after batches {found}"


def test_nothing_is_saved_that_is_no_better_than_the_threshold(subject, told, tmp_path):
    if "initial_value_threshold" not in inspect.signature(subject.keras.callbacks.ModelCheckpoint.__init__).parameters:
        pytest.skip("the ModelCheckpoint of this Keras has no initial_value_threshold")
    given = {"monitor": "loss", "save_best_only": True, "initial_value_threshold": 0.5}
    told([1.0, 0.75, 0.25], checkpoint(subject, tmp_path / "{epoch}.weights.h5", **given))
    found = [file.name for file in tmp_path.iterdir()]
    assert found == ["3.weights.h5"], f"saved are {found}"


@pytest.fixture
def reduced(subject, learner, told):
    """The rates after epochs of these values, each of which halves it that is no better."""

    def reduced(values, monitor="loss", **given):
        callbacks, found = subject.keras.callbacks, []
        reducing = callbacks.ReduceLROnPlateau(monitor, factor=0.5, patience=1, **given)
        tell = callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: found.append(float(learner[0].optimizer.learning_rate.numpy()))
        )
        told(values, reducing, tell, name=monitor)
        return found

    return reduced


@pytest.mark.parametrize(("cooldown", "expected"), [(0, [0.25, 0.125, 0.0625]), (2, [0.25, 0.25, 0.125])])
def test_rate_is_not_reduced_in_a_cooldown(reduced, cooldown, expected):
    """The losses of which are not counted; the epoch that ends it is."""
    found = reduced([1.0] * 4, cooldown=cooldown)
    assert found == [0.5, *expected], f"the rates were {found}"


@pytest.mark.parametrize("monitor", BY_STEPS)
def test_rate_is_reduced_where_training_improves_by_less_than_is_asked_for(reduced, monitor):
    """With ``min_delta``, from the best on that there was."""
    found = reduced(BY_STEPS[monitor], monitor, min_delta=0.25)
    assert found == [0.5, 0.25, 0.25, 0.125, 0.0625, 0.0625], f"the rates were {found}"


def test_rate_is_not_reduced_below_the_least(reduced):
    """It is ``min_lr`` where half of it would be less."""
    found = reduced([1.0] * 4, min_lr=0.1875)
    assert found == [0.5, 0.25, 0.1875, 0.1875], f"the rates were {found}"


def test_rate_is_not_reduced_for_a_training_before(subject, learner, told):
    """Whose losses were lower; those of the next one fall."""
    reducing = subject.keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1)
    told([0.25, 0.125], reducing)
    told([1.0, 0.875, 0.75], reducing)
    found = float(learner[0].optimizer.learning_rate.numpy())
    assert found == 0.5, f"the rate was reduced to {found}"


@pytest.fixture
def interrupted(subject, learner, tmp_path):
    """Train for four epochs, or again after an interruption before the third; the weights, and the epochs it took."""
    callbacks, (model, x, y) = subject.keras.callbacks, learner
    if not hasattr(callbacks, "BackupAndRestore"):
        pytest.skip("this Keras has no BackupAndRestore, or as an experiment")
    start = model.get_weights()

    def train(*given):
        epochs = []
        count = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
        model.set_weights(start)
        model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.5, momentum=0.75), run_eagerly=True)
        model.fit(x, y, batch_size=SAMPLES, epochs=4, shuffle=False, verbose=0, callbacks=[count, *given])
        return model.get_weights(), epochs

    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    def interrupted():
        with pytest.raises(KeyboardInterrupt):
            train(callbacks.BackupAndRestore(str(tmp_path)), callbacks.LambdaCallback(on_epoch_begin=interrupt))
        return train(callbacks.BackupAndRestore(str(tmp_path)))

    return train, interrupted


def test_interrupted_training_goes_on_where_it_was(interrupted):
    """``BackupAndRestore`` has the epochs follow that are left, from the weights and the momenta that there were."""
    train, interrupted = interrupted
    (expected, _), (found, epochs) = train(), interrupted()
    assert epochs == [2, 3], f"it went on with the epochs {epochs}"
    assert all(map(np.allclose, found, expected)), "it came to other weights"


def test_next_training_begins_with_its_first_epoch(interrupted):
    """What was restored has come to its end, and its backup is deleted: the training after it has all its epochs."""
    train, interrupted = interrupted
    interrupted()
    _, epochs = train()
    assert epochs == [0, 1, 2, 3], f"the next training had the epochs {epochs}"


@pytest.mark.parametrize("validated", [True, False], ids=["validated", "not_validated"])
def test_epochs_are_written_in_rows(subject, learner, tmp_path, validated):
    """With a column of validation where every second epoch is followed by it, and none where none is."""
    (model, x, y), path = learner, tmp_path / "epochs.csv"
    given = {"validation_data": (x, y), "validation_freq": 2} if validated else {}
    history = model.fit(
        x, y, epochs=3, verbose=0, callbacks=[subject.keras.callbacks.CSVLogger(str(path))], **given
    ).history
    names, *rows = [row.split(",") for row in path.read_text().split()]
    wanted = sorted(["epoch", *history])
    assert sorted(names) == wanted, f"the columns are {names}, not {wanted}"
    assert [float(row[names.index("loss")]) for row in rows] == history["loss"]
    if validated:
        assert [row[names.index("val_loss")] for row in rows] == ["NA", str(history["val_loss"][0]), "NA"]


def test_rows_are_appended_under_one_header(subject, learner, tmp_path):
    """Those of the next training, with ``append=True``, to a file that is not there before the first."""
    (model, x, y), path, losses = learner, tmp_path / "epochs.csv", []
    for _ in range(2):
        logger = subject.keras.callbacks.CSVLogger(str(path), append=True)
        losses += model.fit(x, y, epochs=2, verbose=0, callbacks=[logger]).history["loss"]
    names, *rows = [row.split(",") for row in path.read_text().split()]
    assert [row[names.index("epoch")] for row in rows] == ["0", "1"] * 2
    assert [float(row[names.index("loss")]) for row in rows] == losses
