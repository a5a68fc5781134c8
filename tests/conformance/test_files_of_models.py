"""Files and copies of models: nested ones, shared layers, weights by name, what is served; and their layers."""

import inspect
import pickle
from copy import deepcopy

import numpy as np
import pytest
from by_hand import call
from keeping import WAYS, WHOLE_WAYS, same_outputs

from conformance.subject.files import FORMATS

pytestmark = pytest.mark.usefixtures("eager")

BATCH, STEPS, FEATURES, UNITS = 2, 3, 2, 3

each_whole_way = pytest.mark.parametrize("way", WHOLE_WAYS)


def chain(subject, names, head=1):
    """LSTMs of these names, whose weights have the same shapes, and a head."""
    keras = subject.keras
    x = inputs = keras.Input((STEPS, UNITS))
    for name in names:
        x = subject.lstm(UNITS, return_sequences=True, name=name)(x)
    return keras.Model(inputs, keras.layers.Dense(head, name="head")(x))


@pytest.mark.parametrize("way", WAYS)
def test_frozen_layers_of_a_nested_model_have_their_own_weights(subject, draw_weights, kept, way):
    """Two LSTMs whose weights have the same shapes, below a head that is not frozen: they stay frozen, each its own."""

    def program():
        inputs, within = subject.keras.Input((STEPS, UNITS)), chain(subject, ["first", "second"])
        for name in ("first", "second"):
            within.get_layer(name).trainable = False
        return subject.keras.Model(inputs, within(inputs))

    model = draw_weights(program())
    again = kept(model, way, program)
    frozen = len(again.non_trainable_weights)
    assert frozen == len(model.non_trainable_weights) == 6, f"{frozen} weights are frozen, not 6"
    assert all(map(np.array_equal, again.get_weights(), model.get_weights())), "weights are not where they were"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("half", ["forward_layer", "backward_layer"])
def test_half_that_is_frozen_keeps_its_weights(subject, uniform, draw_weights, kept, way, half):
    """What is read has in each half what that half had; a program makes it with no half frozen."""

    def program():
        x = subject.keras.Input((STEPS, FEATURES))
        return subject.keras.Model(x, subject.keras.layers.Bidirectional(subject.lstm(UNITS))(x))

    model = draw_weights(program())
    getattr(model.layers[-1], half).trainable = False
    same_outputs(subject, model, kept(model, way, program), uniform(2, STEPS, FEATURES))


@pytest.mark.parametrize("renamed", [False, True], ids=["all", "all_but_one"])
def test_weights_are_loaded_by_name(subject, draw_weights, tmp_path, renamed):
    """Each layer has those of the layer of its name, whatever their order; one of another name keeps its own."""
    names = ["second", "mine" if renamed else "first"]
    saved, loaded = (draw_weights(chain(subject, own)) for own in (["first", "second"], names))
    own = loaded.layers[2].get_weights()
    saved.save(str(tmp_path / "model.h5"))
    loaded.load_weights(str(tmp_path / "model.h5"), by_name=True)
    for name in (*names, "head"):
        expected = own if name == "mine" else saved.get_layer(name).get_weights()
        assert all(map(np.array_equal, loaded.get_layer(name).get_weights(), expected)), f"{name} has other weights"


@pytest.mark.parametrize("file", ["model.h5", "mine.weights.h5"], ids=["by_name", "weights"])
def test_weights_of_other_shapes_are_skipped(subject, draw_weights, tmp_path, file):
    """With ``skip_mismatch`` a layer whose weights do not fit keeps its own, and the others are loaded."""
    by_name = {"by_name": True} if file == "model.h5" else {}
    if not by_name and not hasattr(subject.keras, "ops"):
        pytest.skip("this Keras skips weights only by name")
    saved, loaded = draw_weights(chain(subject, ["lstm"])), draw_weights(chain(subject, ["lstm"], head=2))
    own = loaded.get_layer("head").get_weights()
    (saved.save if by_name else saved.save_weights)(str(tmp_path / file))
    loaded.load_weights(str(tmp_path / file), skip_mismatch=True, **by_name)
    lstms = [model.get_layer("lstm").get_weights() for model in (loaded, saved)]
    assert all(map(np.array_equal, *lstms)), "what fits is not loaded"
    assert all(map(np.array_equal, loaded.get_layer("head").get_weights(), own)), "what does not fit is not its own"


def test_what_is_served_drops_nothing(subject, uniform, draw_weights, tmp_path):
    """The signature of a SavedModel infers: it returns what the model does, in which training drops one in two."""
    form, keras = FORMATS["savedmodel"], subject.keras
    if form.unwritten(keras):
        pytest.skip(f"{subject.flavour} {subject.version} has {form.unwritten(keras)}")
    inputs = keras.Input((STEPS, 64))
    model = draw_weights(keras.Model(inputs, subject.lstm(UNITS, dropout=0.5)(inputs)))
    form.save(keras, model, tmp_path / "served")
    loaded, x = subject.tensorflow.saved_model.load(str(tmp_path / "served")), uniform(BATCH, STEPS, 64)
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    (served,) = serve(**{name: subject.tensorflow.constant(x)}).values()
    (expected,) = call(subject, model, x)
    assert np.array_equal(served, expected), "what is served is something else"


@each_whole_way
def test_layer_that_always_drops_still_does(subject, uniform, kept, way):
    """``layer(x, training=True)`` in a model is how dropout at inference is asked for."""
    inputs = subject.keras.Input((STEPS, 64))
    model = subject.keras.Model(inputs, subject.lstm(UNITS, dropout=0.5)(inputs, training=True))
    again, x = kept(model, way), uniform(BATCH, STEPS, 64)
    assert not np.array_equal(*(call(subject, again, x)[0] for _ in range(2))), "it drops nothing, or the same twice"


@each_whole_way
def test_model_of_layers_that_were_called_before(subject, uniform, draw_weights, kept, way):
    """The decoder of an encoder and a decoder that are trained together, with states that it is given."""
    keras = subject.keras
    x, words, h, c = (
        keras.Input((STEPS, FEATURES)),
        keras.Input((STEPS, FEATURES)),
        *(keras.Input((UNITS,)) for _ in "hc"),
    )
    decoder, head = subject.lstm(UNITS, return_sequences=True, return_state=True), keras.layers.Dense(1)
    _, *states = subject.lstm(UNITS, return_state=True)(x)
    draw_weights(keras.Model([x, words], head(decoder(words, initial_state=states)[0])))
    outputs, *states = decoder(words, initial_state=[h, c])
    model = keras.Model([words, h, c], [head(outputs), *states])
    given = uniform(BATCH, STEPS, FEATURES), uniform(BATCH, UNITS), uniform(BATCH, UNITS)
    same_outputs(subject, model, kept(model, way), *given)


@each_whole_way
def test_model_that_reads_two_inputs_alike(subject, uniform, draw_weights, kept, way):
    """A nested encoder is called twice; its outputs come in the order of the calls."""
    keras = subject.keras
    inputs = keras.Input((STEPS, FEATURES))
    encoder = draw_weights(keras.Model(inputs, subject.lstm(UNITS)(inputs)))
    both = [keras.Input((STEPS, FEATURES)) for _ in range(2)]
    model = keras.Model(both, [encoder(one) for one in both])
    again = kept(model, way)
    same_outputs(subject, model, again, uniform(BATCH, STEPS, FEATURES), uniform(BATCH, STEPS, FEATURES))
    assert len(again.weights) == 3, "the encoder is not one any more"


@each_whole_way
def test_layer_called_twice_stays_one(subject, uniform, draw_weights, kept, way):
    """And is called with one input and then with the other."""
    keras = subject.keras
    both, lstm = [keras.Input((STEPS, FEATURES)) for _ in range(2)], subject.lstm(UNITS)
    model = draw_weights(keras.Model(both, keras.layers.Concatenate()([lstm(one) for one in both])))
    again = kept(model, way)
    kinds = [type(layer).__name__ for layer in again.layers]
    assert len(kinds) == 4, f"it has the layers {kinds}"
    assert len(again.weights) == 3
    same_outputs(subject, model, again, uniform(BATCH, STEPS, FEATURES), uniform(BATCH, STEPS, FEATURES))


@each_whole_way
def test_layers_called_in_turns(subject, uniform, draw_weights, kept, way):
    """One reads what the other returned, and the other reads that again."""
    keras = subject.keras
    x = inputs = keras.Input((STEPS, UNITS))
    layers = [subject.lstm(UNITS, return_sequences=True) for _ in range(2)]
    for layer in (*layers, *layers):
        x = layer(x)
    model = draw_weights(keras.Model(inputs, x))
    again = kept(model, way)
    assert len(again.weights) == 6
    same_outputs(subject, model, again, uniform(BATCH, STEPS, UNITS))


#: Parts of a sequence, as Python writes them.
PARTS = {
    "backwards": lambda x: x[:, ::-1],
    "every_other": lambda x: x[:, ::2],
    "without_ends": lambda x: x[:, 1:-1],
    "last_step": lambda x: x[:, -1],
    "one_feature": lambda x: x[:, :, :1],
}


@each_whole_way
def test_parts_of_a_sequence(subject, uniform, draw_weights, kept, way):
    """What is sliced out of the outputs of an LSTM is what NumPy slices, also in a model that was kept."""
    inputs = subject.keras.Input((STEPS, FEATURES))
    outputs = subject.lstm(UNITS, return_sequences=True)(inputs)
    model = draw_weights(subject.keras.Model(inputs, [outputs, *(part(outputs) for part in PARTS.values())]))
    again, x = kept(model, way), uniform(BATCH, STEPS, FEATURES)
    for asked in (model, again):
        whole, *found = call(subject, asked, x)
        other = [name for name, array in zip(PARTS, found) if not np.array_equal(array, PARTS[name](whole))]
        assert not other, f"{other} are other parts"
    same_outputs(subject, model, again, x)


@each_whole_way
def test_part_of_all_axes(subject, uniform, draw_weights, kept, way):
    """With ... for the axes that are left whole, and one axis more."""
    inputs = subject.keras.Input((STEPS, FEATURES))
    outputs = subject.lstm(UNITS, return_sequences=True)(inputs)
    model = draw_weights(subject.keras.Model(inputs, [outputs, outputs[..., None, :1]]))
    again, x = kept(model, way), uniform(BATCH, STEPS, FEATURES)
    whole, part = call(subject, again, x)
    np.testing.assert_array_equal(part, whole[..., None, :1])
    same_outputs(subject, model, again, x)


@each_whole_way
def test_inputs_keep_their_dtypes(subject, kept, way):
    """Of tokens that are integers and of flags."""
    keras = subject.keras
    given = {"int32": keras.Input((STEPS,), dtype="int32"), "bool": keras.Input((STEPS,), dtype="bool")}
    read = keras.layers.Concatenate()([keras.layers.Embedding(5, 2)(one) for one in given.values()])
    again = kept(keras.Model(list(given.values()), subject.lstm(UNITS)(read)), way)
    found = [getattr(one.dtype, "name", one.dtype) for one in again.inputs]
    assert found == list(given), f"the inputs are {found}"


def model_of_two_within(keras, lstm):
    """One LSTM is in both of the models that a model is made of, below heads of 1 and of 2 units."""

    def within(head):
        inputs = keras.Input((STEPS, FEATURES))
        return keras.Model(inputs, keras.layers.Dense(head)(lstm(inputs)))

    both = [keras.Input((STEPS, FEATURES)) for _ in range(2)]
    return keras.Model(both, [within(head)(one) for head, one in zip((1, 2), both)])


def test_layer_of_two_models_within_is_counted_once(subject):
    model = model_of_two_within(subject.keras, subject.lstm(UNITS))
    sizes = {"LSTM": 4 * UNITS * (FEATURES + UNITS + 1), "heads": (UNITS + 1) * (1 + 2)}
    assert model.count_params() == sum(sizes.values())
    for listed in (model.weights, model.trainable_weights, model.get_weights()):
        assert len(listed) == 3 + 2 + 2


def test_penalty_of_a_layer_of_two_models_within(subject, uniform, draw_weights):
    """What it returns is penalized once for each of its two calls, though both models have the layer."""
    keras, lstm = subject.keras, subject.lstm(UNITS, activity_regularizer=subject.keras.regularizers.l2(1.0))
    model = draw_weights(model_of_two_within(keras, lstm))
    both, alone = [uniform(BATCH, STEPS, FEATURES) for _ in range(2)], []
    for x in both:
        call(subject, lstm, x)
        alone += [float(loss) for loss in lstm.losses]
    call(subject, model, both)
    losses = [float(loss) for loss in model.losses]
    assert len(alone) == 2
    assert np.isclose(sum(losses), sum(alone)), f"the penalties are {losses}, not {alone}"


def frozen(layer):
    """A copy of a layer, frozen if it is the second one."""
    return type(layer).from_config({**layer.get_config(), "trainable": layer.name != "second"})


def hold_frozen(model, original):
    """Layers of other weights than those of the original, of which the second one is frozen, and no other."""
    for name in ("first", "second", "head"):
        layer = model.get_layer(name)
        assert layer is not original.get_layer(name), f"{name} is not copied"
        assert len(layer.trainable_weights) == (0 if name == "second" else len(layer.weights)), f"{name} is another"


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_clone_is_made_of_what_a_function_makes(subject, uniform, kind):
    """``clone_model(clone_function=)`` gives each layer to the function, and takes the layer that it returns."""
    keras = subject.keras
    model = chain(subject, ["first", "second"])
    if kind == "sequential":
        model = keras.Sequential(model.layers[1:])
    clone = keras.models.clone_model(model, clone_function=frozen)
    call(subject, clone, uniform(BATCH, STEPS, UNITS))
    hold_frozen(clone, model)


@pytest.mark.parametrize("depth", [1, 2])
def test_clone_of_a_model_within(subject, depth):
    """With ``recursive=True`` the function makes the layers of models within, too, and of those within these."""
    clone_model = subject.keras.models.clone_model
    if "recursive" not in inspect.signature(clone_model).parameters:
        pytest.skip("this Keras has no clone_model(recursive=)")
    model = within = chain(subject, ["first", "second"])
    for _ in range(depth):
        inputs = subject.keras.Input((STEPS, UNITS))
        model = subject.keras.Model(inputs, model(inputs))
    clone = clone_model(model, clone_function=frozen, recursive=True)
    for _ in range(depth):
        clone = clone.layers[-1]
    hold_frozen(clone, within)


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_clone_reads_what_it_is_given(subject, uniform, draw_weights, kind):
    """``clone_model(input_tensors=)`` makes a model of that input."""
    keras = subject.keras
    model = draw_weights(chain(subject, ["first"]))
    if kind == "sequential":
        model = keras.Sequential(model.layers)
    clone = keras.models.clone_model(model, input_tensors=keras.Input((STEPS, UNITS), name="given"))
    clone.set_weights(model.get_weights())
    assert "given" in clone.inputs[0].name, f"it reads {clone.inputs[0].name}"
    same_outputs(subject, model, clone, uniform(BATCH, STEPS, UNITS))


#: Copies that Python makes of anything.
COPIED = {"deepcopy": deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


@pytest.mark.parametrize("way", COPIED)
def test_copy_that_python_makes(subject, uniform, draw_weights, way):
    """It computes the same, from weights of its own."""
    if subject.generation < 3 and "__reduce__" not in vars(subject.keras.Model):
        pytest.skip("Python cannot copy models of this Keras")
    model, x = draw_weights(chain(subject, ["first", "second"])), uniform(BATCH, STEPS, UNITS)
    again = COPIED[way](model)
    same_outputs(subject, model, again, x)
    (before,) = call(subject, model, x)
    again.set_weights([2.0 * weight for weight in again.get_weights()])
    assert np.array_equal(call(subject, model, x)[0], before), "the weights are shared"


def test_input_that_nothing_reads(subject, uniform, draw_weights):
    """A model may have one: it is given, and changes nothing."""
    keras, inputs = subject.keras, [subject.keras.Input((STEPS, FEATURES)) for _ in range(2)]
    model = draw_weights(keras.Model(inputs, subject.lstm(UNITS)(inputs[0])))
    x, one, other = (uniform(BATCH, STEPS, FEATURES) for _ in range(3))
    assert np.array_equal(*(model.predict_on_batch([x, unread]) for unread in (one, other)))


def test_upper_part_of_a_model_is_a_model(subject, uniform, draw_weights):
    """From what a layer within returns up: it has the layers and the weights above it, and no others."""
    if subject.generation < 3:
        pytest.skip("in some versions of this Keras a part of a model counts its Input as a layer")
    model = draw_weights(chain(subject, ["first", "second"]))
    first, second, head = (model.get_layer(name) for name in ("first", "second", "head"))
    upper = subject.keras.Model(first.output, model.output)
    names = [layer.name for layer in upper.layers[1:]]
    assert names == ["second", "head"], f"above its input it has the layers {names}"
    assert len(upper.weights) == len(second.weights) + len(head.weights)
    x = uniform(BATCH, STEPS, UNITS)
    between = call(subject, first, x)[0]
    assert np.allclose(call(subject, upper, between)[0], call(subject, model, x)[0])


@pytest.mark.parametrize("called", [False, True], ids=["new", "called_before"])
def test_sequential_without_its_last_layer(subject, uniform, draw_weights, called):
    """After ``pop`` it returns what the layer below does, and has no other weights."""
    keras, lstm, x = subject.keras, subject.lstm(UNITS), uniform(BATCH, STEPS, FEATURES)
    model = draw_weights(keras.Sequential([keras.Input((STEPS, FEATURES)), lstm, keras.layers.Dense(1)]))
    if called:
        assert model.predict_on_batch(x).shape == (BATCH, 1)
    model.pop()
    (expected,) = call(subject, lstm, x)
    for found in (model.predict_on_batch(x), *call(subject, model, x)):
        assert found.shape == expected.shape, f"the outputs have the shape {found.shape}, not {expected.shape}"
        assert np.allclose(found, expected)
    assert len(model.get_weights()) == 3


#: Ways to read a model with custom objects, from Keras, a model, a path and the objects.
READ = {
    "from_config": lambda keras, model, path, own: type(model).from_config(model.get_config(), custom_objects=own),
    "json": lambda keras, model, path, own: keras.models.model_from_json(model.to_json(), custom_objects=own),
    "h5": lambda keras, model, path, own: saved_and_loaded(keras, model, path / "model.h5", own),
    "keras": lambda keras, model, path, own: saved_and_loaded(keras, model, path / "model.keras", own),
}


def saved_and_loaded(keras, model, path, own, **given):
    model.save(str(path))
    return keras.models.load_model(str(path), custom_objects=own, **given)


def distributed_cells(layers, own):
    """An RNN over cells of one's own in another layer."""
    return layers.TimeDistributed(layers.RNN(own(UNITS)))


def test_wrapped_cell_of_ones_own_is_found_among_custom_objects(subject):
    layers = subject.keras.layers
    own = type("Own", (layers.LSTMCell,), {})
    layer = distributed_cells(layers, own)
    again = type(layer).from_config(layer.get_config(), custom_objects={"Own": own})
    assert again.get_config() == layer.get_config(), "made again it has another configuration"


@pytest.mark.parametrize("way", READ)
def test_model_of_a_cell_of_ones_own_is_read_with_custom_objects(subject, uniform, draw_weights, tmp_path, way):
    keras = subject.keras
    own = type("Own", (keras.layers.LSTMCell,), {})
    inputs = keras.Input((2, STEPS, FEATURES))
    model = draw_weights(keras.Model(inputs, distributed_cells(keras.layers, own)(inputs)))
    again = READ[way](keras, model, tmp_path, {"Own": own})
    again.set_weights(model.get_weights())
    same_outputs(subject, model, again, uniform(BATCH, 2, STEPS, FEATURES))


def times(x, factor=1.0):
    return factor * x


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_arguments_of_a_function_are_kept(subject, uniform, draw_weights, tmp_path, suffix):
    """``Lambda(function, arguments=...)`` gives them to the function, also in a model that is read again."""
    keras = subject.keras
    inputs = keras.Input((STEPS, FEATURES))
    larger = keras.layers.Lambda(times, arguments={"factor": 3.0})(inputs)
    model = draw_weights(keras.Model(inputs, [larger, subject.lstm(UNITS)(larger)]))
    # A function is code, which Keras reads if it is told that it is safe.
    told = {"safe_mode": False} if "safe_mode" in inspect.signature(keras.models.load_model).parameters else {}
    again = saved_and_loaded(keras, model, tmp_path / f"model.{suffix}", {"times": times}, **told)
    x = uniform(BATCH, STEPS, FEATURES)
    for asked in (model, again):
        assert np.allclose(call(subject, asked, x)[0], 3.0 * x), "the function did not have its arguments"
    same_outputs(subject, model, again, x)


def test_saving_is_a_module_of_tensorflow_s_keras(subject):
    """``tf.keras.saving``, where layers of one's own are registered since TensorFlow 2.12, as the guides write it."""
    if subject.flavour != "tensorflow.keras" or (subject.generation < 3 and not hasattr(subject.keras, "saving")):
        pytest.skip("only TensorFlow's own Keras is meant, from 2.12 on")
    assert hasattr(subject.keras.saving, "register_keras_serializable")


def one_cell_in_two_rnns(subject, x):
    layers, cell = subject.keras.layers, subject.keras.layers.LSTMCell(UNITS)
    return layers.add([layers.RNN(cell)(x), layers.RNN(cell, go_backwards=True)(x)])


def one_layer_of_steps_in_two(subject, x):
    layers, dense = subject.keras.layers, subject.keras.layers.Dense(UNITS)
    first = layers.TimeDistributed(dense)(x)
    return subject.lstm(UNITS)(layers.add([first, layers.TimeDistributed(dense)(x)]))


#: What two layers share, and what is made of an input with it.
SHARING = {
    "cell": one_cell_in_two_rnns,
    "time_distributed": one_layer_of_steps_in_two,
}


@pytest.mark.parametrize("way", [way for way in WHOLE_WAYS if way != "clone"])  # which is documented not to
@pytest.mark.parametrize("what", SHARING)
def test_what_layers_share_stays_shared(subject, uniform, draw_weights, kept, way, what):
    """A cell or a layer that stands in two others has one set of weights, in what is read or copied too."""

    def program():
        inputs = subject.keras.Input((STEPS, FEATURES))
        return subject.keras.Model(inputs, SHARING[what](subject, inputs))

    model = draw_weights(program())
    again = kept(model, way, program)
    numbers = [one.count_params() for one in (model, again)]
    assert numbers[0] == numbers[1], f"of {numbers[0]} parameters it has {numbers[1]}"
    same_outputs(subject, model, again, uniform(BATCH, STEPS, FEATURES))


@each_whole_way
@pytest.mark.parametrize("given", ["initial_state", "mask"])
def test_layer_that_is_given_constants(subject, uniform, draw_weights, kept, way, given):
    """Arrays that are part of the program, and not inputs of the model."""
    states = [uniform(BATCH, UNITS) for _ in "hc"]
    constants = states if given == "initial_state" else np.array([[True, True, False], [False, True, True]])

    def program():
        inputs = subject.keras.Input(batch_shape=(BATCH, STEPS, FEATURES))
        return subject.keras.Model(inputs, subject.lstm(UNITS)(inputs, **{given: subject.tensors(constants)}))

    model = draw_weights(program())
    same_outputs(subject, model, kept(model, way, program), uniform(BATCH, STEPS, FEATURES))
