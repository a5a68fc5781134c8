"""What prepares the inputs of an LSTM and is adapted to data: numbers that are normalized, words that are numbered."""

import inspect

import numpy as np
import pytest
from by_hand import agree, call, near
from keeping import WAYS, same_outputs

from reference_impl import estimate

pytestmark = pytest.mark.usefixtures("eager")

SAMPLES, STEPS, FEATURES, UNITS = 5, 3, 2, 3


def preparing(subject, name):
    """A layer that prepares inputs."""
    if subject.tensorflow is None or not hasattr(subject.keras.layers, name):
        pytest.skip(f"this Keras has no {name}, or as an experiment, or no tf.data to adapt it to")
    return getattr(subject.keras.layers, name)


@pytest.fixture
def normalization(subject):
    return preparing(subject, "Normalization")


@pytest.fixture
def x(uniform):
    """Of batches that differ from each other in mean and variance."""
    return 2.0 + np.sort(uniform(SAMPLES, STEPS, FEATURES), axis=0)


def in_batches(subject, x):
    return subject.tensorflow.data.Dataset.from_tensor_slices(x).batch(2)


#: Forms of what ``adapt`` is given.
DATA = {"array": lambda subject, x: x, "tensor": lambda subject, x: subject.tensors(x), "batches": in_batches}
each_form = pytest.mark.parametrize("form", DATA)

#: For ``axis``, along which there is a mean for each index, the axes that a mean is of.
AXES = {-1: (0, 1), 1: (0, 2), (1, 2): (0,), None: (0, 1, 2)}


def moments(x, axes=(0, 1)):
    """Mean and variance, of the shape of x."""
    return [np.broadcast_to(part(x, axis=axes, keepdims=True), x.shape) for part in (np.mean, np.var)]


@each_form
@pytest.mark.parametrize("axis", AXES, ids=lambda axis: f"axis={axis}".replace(" ", ""))
def test_normalized_to_mean_0_and_variance_1(subject, normalization, x, axis, form):
    """For each feature, or along the axes that are given, whatever the batches in which data come."""
    layer = normalization(axis=axis)
    layer.adapt(DATA[form](subject, x))
    mean, variance = moments(x, AXES[axis])
    (found,) = call(subject, layer, x)
    assert np.allclose(found * np.sqrt(variance) + mean, x), "it is normalized otherwise"


def direction(normalization, inverted):
    """The argument that tells a Normalization which way to go."""
    if inverted and "invert" not in inspect.signature(normalization.__init__).parameters:
        pytest.skip("the Normalization of this Keras has no invert")
    return {"invert": True} if inverted else {}


@pytest.mark.parametrize("adapted", [False, True], ids=["given", "adapted"])
@pytest.mark.parametrize("inverted", [False, True], ids=["there", "back"])
def test_normalized_there_and_back(subject, normalization, x, adapted, inverted):
    """``invert=True`` takes normalized numbers back to what they were; moments may be given too."""
    mean, variance = moments(x)
    given = {} if adapted else {"mean": mean[0, 0], "variance": variance[0, 0]}
    layer = normalization(**given, **direction(normalization, inverted))
    if adapted:
        layer.adapt(x)
    normalized = ((x - mean) / np.sqrt(variance)).astype("float32")
    source, target = (normalized, x) if inverted else (x, normalized)
    (found,) = call(subject, layer, source)
    assert near(found, target), "it is normalized otherwise"


@pytest.mark.parametrize("inverted", [False, True], ids=["there", "back"])
def test_normalization_made_again_is_the_same(subject, normalization, x, inverted):
    """From its configuration, with the moments that it was given."""
    given = direction(normalization, inverted)
    layer = normalization(axis=2, mean=[1.0, 3.0], variance=[4.0, 0.25], **given)
    same_outputs(subject, layer, normalization.from_config(layer.get_config()), x)


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("form", ["array", "batches"])
@pytest.mark.parametrize("scale", [1.0, 1024.0], ids=["small", "large"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_normalized_in_half_precision(subject, normalization, uniform, policy, scale, form):
    """Of numbers around 1000, which float16 holds, the variance is no number of float16."""
    x = scale * uniform(SAMPLES, STEPS, FEATURES)
    layer = normalization(dtype=subject.policy(policy))
    layer.adapt(DATA[form](subject, x))

    def compute(tile, fl):
        values, mean, variance = (fl(tile(array.astype(np.float64))) for array in (x, *moments(x)))
        return (fl(fl(values - mean) / fl(np.sqrt(variance))),)

    agree(call(subject, layer, x), estimate(compute, policy.replace("mixed_", ""), seed=0))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_normalized_is_kept(subject, normalization, draw_weights, x, kept, way):
    """Files and copies that have the weights of a model have what its Normalization was adapted to."""

    def program():
        inputs = subject.keras.layers.Input((STEPS, FEATURES))
        return subject.keras.models.Model(inputs, subject.lstm(UNITS)(normalization(name="to_scale")(inputs)))

    model = draw_weights(program())
    model.get_layer("to_scale").adapt(x)
    same_outputs(subject, model, kept(model, way, program), x)


def test_normalization_is_adapted_again(subject, normalization, x):
    """To other data, for which a model is to be compiled again."""
    layer, inputs = normalization(), subject.keras.layers.Input((STEPS, FEATURES))
    model = subject.keras.models.Model(inputs, layer(inputs))
    found = []
    for data in (x, 3.0 * x + 1.0):
        layer.adapt(data)
        model.compile()
        found.append(model.predict_on_batch(data))
    assert near(*found), "it goes on as it was adapted first"


@pytest.mark.parametrize("way", ["keras", "h5"])
def test_words_keep_their_numbers(subject, kept, way):
    """A file of a model has the vocabulary of its TextVectorization, which is no weight."""
    layers, words = subject.keras.layers, preparing(subject, "TextVectorization")(output_sequence_length=STEPS)
    words.adapt(np.array(["the cat sat on the mat", "the dog sat"]))
    inputs = subject.keras.Input((1,), dtype="string")
    model = subject.keras.Model(inputs, subject.lstm(UNITS)(layers.Embedding(9, FEATURES)(words(inputs))))
    again = kept(model, way)
    given = subject.tensorflow.constant([["the mat sat"], ["dog on cat"]])
    assert not np.array_equal(*subject.to_numpy(model(given))), "the words tell nothing"
    same_outputs(subject, model, again, given)
