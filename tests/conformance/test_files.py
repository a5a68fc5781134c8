"""Files: what a model was, and what it computes, is what a file gives back; a file that is damaged is refused."""

import json

import damage
import numpy as np
import pytest
from arguments import MADE, PLAIN, same, takes, value_of
from packaging.version import Version

from conformance.case import Case
from conformance.compare import compared
from conformance.data import draw
from conformance.diagnosis import diagnose
from conformance.expected import expected_outputs
from conformance.files import MODELS, saved_models, ways
from conformance.subject.build import Built
from conformance.subject.files import COPIES, FORMATS
from conformance.subject.layers import set_weights
from conformance.subject.unsupported import unable_to_run
from reference_impl import LSTM, Dense, Model


def run(subject, model, case):
    """What a model returns for the data of a case, in each of its calls."""
    return subject.run(Built(model, model.layers, ()), case, draw(case))


def program(subject, case):
    """What makes the model of a case anew."""
    return lambda: subject.build(case).model


@pytest.mark.parametrize("saved", [pytest.param(saved, id=saved.id) for saved in saved_models()])
def test_file_of_the_past(subject, saved, tmp_path):
    """A model that an older version saved computes what it was saved to compute."""
    if saved.maker > Version(subject.version):
        pytest.skip(f"saved by Keras {saved.maker}, which is newer")
    if saved.format.unread(subject.keras):
        pytest.skip(f"{subject.flavour} {subject.version} has {saved.format.unread(subject.keras)}")
    case = saved.case if saved.format.whole else subject.promised(saved.written)
    data = draw(case)
    model = saved.format.load(subject.keras, saved.unpack(tmp_path), program(subject, saved.written))
    if not saved.format.weighed:
        set_weights(model.layers, data.weights)
    outputs, expected = run(subject, model, case), expected_outputs(case, data)
    assert [array.shape for array in outputs] == [one.value.shape for one in expected.values()]
    ratio = max(comparison.ratio for comparison in compared(expected, outputs))
    if ratio > 1.0:
        diagnosis = diagnose(case, data, outputs, list(expected.values()))
        pytest.fail(f"wrong values, ratio {ratio:.3g}; cause: {diagnosis.sentence}")
    if saved.format.whole and model.layers:  # what is served has none
        hold_arguments(model.layers, program(subject, saved.written)().layers)


#: Arguments that are drawn or counted.
UNLIKE = ("name", "seed")


def hold_arguments(layers, originals):
    """Layers have the arguments of others, also those that change nothing before they are trained."""
    for layer, original in zip(layers, originals):
        halves = [name for name in ("forward_layer", "backward_layer") if hasattr(original, name)]
        hold_arguments([getattr(layer, name) for name in halves], [getattr(original, name) for name in halves])
        given = [name for name in (*PLAIN, *MADE) if name not in UNLIKE and hasattr(original, name)]
        lost = [name for name in given if not same(getattr(layer, name), getattr(original, name))]
        assert not lost, f"{type(layer).__name__} lost {lost}"


each_model = pytest.mark.parametrize("name", MODELS)


def same_model(subject, built, again, case):
    """What is computed is the same, bit by bit."""
    for before, after in zip(run(subject, built.model, case), run(subject, again, case)):
        np.testing.assert_array_equal(before, after)


def same_configuration(built, again):
    """Each layer has the arguments that it had, in JSON, which knows no tuples."""
    before, after = (
        json.loads(json.dumps(configurations(model), default=plain), object_hook=arguments)
        for model in (built.model, again)
    )
    assert list(before) == list(after)
    for name, config in before.items():
        lost = {key: (value, after[name].get(key)) for key, value in config.items() if value != after[name].get(key)}
        assert not lost, f"{name} lost {lost}"


def plain(value):
    """What JSON does not know: Keras 2 wraps dictionaries."""
    return dict(value) if hasattr(value, "items") else str(value)


#: What stands beside an object's class and configuration: a number that tells two of them apart, and what the form of
#: 2.13 and later adds, which an object that is read from HDF5 is not written in again.
NO_ARGUMENTS = ("shared_object_id", "module", "registered_name", "build_config")


def arguments(config):
    return {name: value for name, value in config.items() if name not in NO_ARGUMENTS}


def configurations(model):
    """By name; inputs are named anew in a clone."""
    return {layer.name: layer.get_config() for layer in model.layers if type(layer).__name__ != "InputLayer"}


def drawn(subject, case):
    """A model with the weights of its case."""
    if unable_to_run(subject, case):
        pytest.skip(unable_to_run(subject, case))
    built = subject.build(case)
    set_weights(built.layers, draw(case).weights)
    return built


@pytest.mark.parametrize(
    ("name", "form"),
    [pytest.param(name, way, id=f"{name}-{way}") for name in MODELS for way in ways(name)],
)
def test_file_gives_the_model_back(subject, kept, name, form):
    built = drawn(subject, MODELS[name])
    again = kept(built.model, form, program(subject, MODELS[name]))
    same_model(subject, built, again, MODELS[name])
    if FORMATS[form].whole and again.layers:
        same_configuration(built, again)


@each_model
@pytest.mark.parametrize("copy", COPIES)
def test_copy_of_a_model_is_the_model(subject, kept, name, copy):
    built = drawn(subject, MODELS[name])
    again = kept(built.model, copy)
    same_model(subject, built, again, MODELS[name])
    same_configuration(built, again)


def test_kept(subject, register, kept, kept_case):
    """A model of the option space is what a file, or a copy of it, gives back."""
    form, case = kept_case
    if any(record.covers(case) for record in register):
        pytest.skip("a case in which this Keras departs is not asked again of files and copies")
    built = drawn(subject, case)
    again = kept(built.model, form, program(subject, case))
    same_model(subject, built, again, case)
    if form in COPIES or FORMATS[form].whole:
        same_configuration(built, again)


#: All arguments of an LSTM; an unrolled one is another computation.
ARGUMENTS = {"unroll": ["unroll"], "others": [name for name in (*PLAIN, *MADE) if name != "unroll"]}


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if form.whole])
@pytest.mark.parametrize("names", ARGUMENTS)
def test_file_keeps_every_argument(subject, kept, names, form):
    """An LSTM whose arguments are other than their defaults is configured so when it is read again."""
    given = {name: value_of(subject, name) for name in ARGUMENTS[names] if takes(subject, "LSTM", name)}

    def model():
        inputs = subject.keras.Input(batch_shape=(2, 3, 4))
        return subject.keras.Model(inputs, subject.lstm(**{"units": 3, **given})(inputs))

    built = Built(model(), (), ())
    again = kept(built.model, form, model)
    if not again.layers:
        pytest.skip("an exported model has no configuration when it is read")
    same_configuration(built, again)


#: The one LSTM that files are damaged of.
DAMAGED = Case("damaged", Model((LSTM(3, return_sequences=True), Dense(2))), batch=2, steps=4, features=5)


def refuses(subject, form, tmp_path, damage, names):
    """A file is written, damaged and refused in words that name the file, the layer or the variable."""
    keras, path = subject.keras, tmp_path / f"mine{form.suffix}"
    if form.unwritten(keras):
        pytest.skip(f"{subject.flavour} {subject.version} has {form.unwritten(keras)}")
    form.save(keras, drawn(subject, DAMAGED).model, path)
    damage(path)
    with pytest.raises(Exception) as raised:  # noqa: PT011  of any kind, as long as it says what is wrong
        form.load(keras, path, program(subject, DAMAGED))
    text = str(raised.value)
    assert any(name in text for name in (*names, path.name)), f"does not say what is wrong: {text}"


@pytest.mark.parametrize("form", ["keras", "h5", "weights", "old_weights"])
def test_truncated_file_is_refused(subject, tmp_path, form):
    refuses(subject, FORMATS[form], tmp_path, damage.truncate, ("truncated file",))


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ("savedmodel", "saved_model.pb"),
        ("savedmodel", "variables.index"),
        ("savedmodel", "variables.data-00000-of-00001"),
        ("checkpoint", "mine.ckpt.index"),
        ("checkpoint", "mine.ckpt.data-00000-of-00001"),
    ],
)
def test_truncated_part_is_refused(subject, tmp_path, form, part):
    """One of the files that together are a model, or its weights; TensorFlow says what its readers met."""
    words = ("bad magic number", "Read less bytes than requested", "out of range")
    refuses(subject, FORMATS[form], tmp_path, lambda path: damage.truncate(next(path.parent.rglob(part))), words)


@pytest.mark.parametrize("form", ["keras", "h5", "weights", "old_weights"])
@pytest.mark.parametrize("what", damage.TO_WEIGHTS)
def test_altered_weights_are_refused(subject, tmp_path, form, what):
    edit = damage.TO_WEIGHTS[what]
    refuses(subject, FORMATS[form], tmp_path, lambda path: damage.edit_weights(path, edit), ("kernel", "lstm"))


@pytest.mark.parametrize("form", ["keras", "h5", "json"])
@pytest.mark.parametrize("what", damage.TO_CONFIG)
def test_altered_configuration_is_refused(subject, tmp_path, form, what):
    old, new = damage.TO_CONFIG[what]
    refuses(subject, FORMATS[form], tmp_path, lambda path: damage.edit_config(path, old, new), (new,))
