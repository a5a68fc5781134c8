"""Weights outside of their model: as a tree, in a file of several parts, in the editor of files."""

import importlib
import inspect

import numpy as np
import pytest
from keeping import same_outputs

pytestmark = pytest.mark.usefixtures("eager")

BATCH, STEPS, FEATURES, UNITS = 2, 3, 2, 4


def plain(keras, lstm):
    return lstm(UNITS)


def both_ways(keras, lstm):
    return keras.layers.Bidirectional(lstm(UNITS))


def of_cells(keras, lstm):
    return keras.layers.RNN([keras.layers.LSTMCell(units) for units in (UNITS, 3)])


LAYERS = {"plain": plain, "both_ways": both_ways, "of_cells": of_cells}


@pytest.fixture(params=LAYERS)
def model_of(subject, draw_weights, request):
    """Make a model of an LSTM below one or more of another kind and a head; of each two times the same."""
    keras = subject.keras

    def model_of():
        layers = [subject.lstm(UNITS, return_sequences=True), LAYERS[request.param](keras, subject.lstm)]
        model = keras.models.Sequential([keras.layers.Input((STEPS, FEATURES)), *layers, keras.layers.Dense(1)])
        return draw_weights(model)

    return model_of


def test_tree_puts_model_and_optimizer_back(subject, uniform, model_of):
    """After a step of training, so that the next one is the same."""
    model = model_of()
    if not hasattr(model, "get_state_tree"):
        pytest.skip("models of this Keras have no state tree")
    x, y = uniform(BATCH, STEPS, FEATURES), uniform(BATCH, 1)
    model.compile(loss="mse", optimizer=subject.keras.optimizers.Adam(0.125), run_eagerly=True)
    model.train_on_batch(x, y)
    tree = model.get_state_tree(value_format="numpy_array")
    model.train_on_batch(x, y)
    trained = model.get_weights()
    model.train_on_batch(x, y)
    model.set_state_tree(tree)
    model.train_on_batch(x, y)
    assert all(map(np.array_equal, model.get_weights(), trained)), "it learns something else"


def test_file_of_several_parts(subject, uniform, model_of, tmp_path):
    """None larger than asked for, in units of 2³⁰ bytes."""
    model, again = model_of(), model_of()
    if "max_shard_size" not in inspect.signature(model.save_weights).parameters:
        pytest.skip("this Keras keeps weights in one file")
    path = str(tmp_path / "model.weights.json")
    model.save_weights(path, max_shard_size=900 / 2**30)
    assert len(list(tmp_path.glob("*.h5"))) > 1
    again.load_weights(path)
    same_outputs(subject, model, again, uniform(BATCH, STEPS, FEATURES))


def test_editor_of_files_drops_nothing(subject, uniform, model_of, tmp_path):
    """It finds in a file what the model has, and writes it into another."""
    saving = importlib.import_module("keras").saving if subject.generation >= 3 else None  # tf.keras has none
    if not hasattr(saving, "KerasFileEditor"):
        pytest.skip("this Keras has no editor of files")
    model, again = model_of(), model_of()
    path, edited = (str(tmp_path / name) for name in ("model.weights.h5", "edited.weights.h5"))
    model.save_weights(path)
    editor = saving.KerasFileEditor(path)
    assert editor.compare(model)["status"] == "success", "it does not find all weights"
    editor.save(edited)
    again.load_weights(edited)
    same_outputs(subject, model, again, uniform(BATCH, STEPS, FEATURES))
