"""Configurations: a layer made again from ``get_config()`` is the same layer."""

import copy

import numpy as np
import pytest
from by_hand import call, near

from conformance.case import Case
from conformance.observation import OF_TENSORFLOW_1
from conformance.subject.unsupported import unable_to_run
from reference_impl import LSTM, RNN, Bidirectional, LSTMCell, Model, StackedRNNCells, TimeDistributed

BATCH, STEPS, FEATURES, UNITS = 2, 4, 5, 3
SEQUENCES = {"return_sequences": True, "return_state": True}
OTHER = {"activation": "softsign", "recurrent_activation": "hard_sigmoid", "use_bias": False}
STACK = StackedRNNCells((LSTMCell(4, **OTHER), LSTMCell(3)))

LAYERS = {
    "LSTM": LSTM(UNITS),
    "LSTM-other": LSTM(UNITS, **OTHER, **SEQUENCES, go_backwards=True),
    "LSTM-zero_output": LSTM(UNITS, return_sequences=True, zero_output_for_mask=True, unroll=True),
    "RNN": RNN(LSTMCell(UNITS)),
    "RNN-other": RNN(LSTMCell(UNITS, **OTHER), **SEQUENCES, go_backwards=True),
    "RNN-zero_output": RNN(LSTMCell(UNITS), return_sequences=True, zero_output_for_mask=True, unroll=True),
    "StackedRNNCells": RNN(STACK),
    "StackedRNNCells-other": RNN(STACK, **SEQUENCES, go_backwards=True),
    **{f"Bidirectional-{mode}": Bidirectional(LSTM(UNITS), mode) for mode in ("concat", "sum", "ave", "mul", None)},
    "Bidirectional-other": Bidirectional(LSTM(UNITS, **OTHER, **SEQUENCES)),
    "Bidirectional-own_backward": Bidirectional(
        LSTM(UNITS), backward_layer=LSTM(UNITS, activation="softsign", go_backwards=True)
    ),
    "Bidirectional-RNN": Bidirectional(RNN(LSTMCell(UNITS, **OTHER), **SEQUENCES)),
    "TimeDistributed": TimeDistributed(LSTM(UNITS, **OTHER, return_sequences=True)),
}

each_layer = pytest.mark.parametrize("name", LAYERS)


@pytest.fixture(autouse=True)
def known(request, subject):
    """Skip where this Keras has no layer of these arguments."""
    description = LAYERS.get(getattr(request.node, "callspec", None) and request.node.callspec.params.get("name"))
    if description is None:
        return
    case = Case("", Model((description,)), BATCH, STEPS, FEATURES)
    if unable_to_run(subject, case):
        pytest.skip(unable_to_run(subject, case))


def shape_for(name):
    return (BATCH, 3, STEPS, FEATURES) if name == "TimeDistributed" else (BATCH, STEPS, FEATURES)


def again(layer):
    return type(layer).from_config(layer.get_config())


@each_layer
def test_layer_made_again_has_the_same_configuration(subject, name):
    layer = subject.layer(LAYERS[name], "float32")
    assert again(layer).get_config() == layer.get_config()


@each_layer
@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
def test_layer_made_again_computes_the_same(subject, by_hand, uniform, name, masked):
    """Given the weights of the first, the second returns what the first does, bit by bit."""
    first = by_hand(LAYERS[name], shape_for(name))
    second = again(first.layer)
    second.build(shape_for(name))
    second.set_weights(first.weights)
    x = uniform(*shape_for(name))
    given = {"mask": uniform(*shape_for(name)[:-1]) > 0.0} if masked else {}
    one, other = first(x, **given), call(subject, second, x, **given)
    assert len(one) == len(other)
    # Of a TimeDistributed of TensorFlow 1's LSTM the copy has TensorFlow 2's, which rounds otherwise.
    same = near if subject.flavour == OF_TENSORFLOW_1 else np.array_equal
    assert all(map(same, one, other))


@each_layer
def test_deep_copy_computes_the_same(by_hand, uniform, name):
    """And has weights of its own."""
    description = LAYERS[name]
    made = by_hand(description, (BATCH, 2, STEPS, FEATURES) if name == "TimeDistributed" else (BATCH, STEPS, FEATURES))
    x = uniform(BATCH, 2, STEPS, FEATURES) if name == "TimeDistributed" else uniform(BATCH, STEPS, FEATURES)
    copied, expected = copy.deepcopy(made.layer), made(x)
    made.layer.set_weights([0.0 * weight for weight in made.weights])
    assert all(map(np.array_equal, call(made.subject, copied, x), expected))


@each_layer
def test_configuration_may_be_used_twice(subject, name):
    """Making a layer leaves the configuration as it was."""
    layer = subject.layer(LAYERS[name], "float32")
    config = layer.get_config()
    type(layer).from_config(config)
    taken = sorted(set(layer.get_config()) - set(config))
    assert not taken, f"from_config took {taken} out of it"
    assert config == layer.get_config(), "from_config made another configuration of what lies in it"


@pytest.mark.parametrize(
    "description", [LSTMCell(UNITS), LSTMCell(UNITS, **OTHER), STACK], ids=["cell", "other", "stack"]
)
def test_cell_made_again_has_the_same_configuration(subject, description):
    cell = subject.layer(description, "float32")
    assert again(cell).get_config() == cell.get_config()


@pytest.mark.parametrize("cell", [True, False], ids=["cell", "layer"])
def test_implementation_is_kept(subject, cell):
    """It decides in which order numbers are rounded."""
    layer = subject.layer(LSTMCell(UNITS, implementation=1) if cell else LSTM(UNITS, implementation=1), "float32")
    made = again(layer)
    assert getattr(made, "cell", made).implementation == 1, "made again it has another implementation"


#: Layers of layers and their arguments, from the class LSTM and from Keras's layers.
WRAPPED = {
    "RNN": lambda lstm, layers, given: layers.RNN(layers.LSTMCell(UNITS), **given),
    "Bidirectional": lambda lstm, layers, given: layers.Bidirectional(lstm(UNITS), **given),
    "TimeDistributed": lambda lstm, layers, given: layers.TimeDistributed(lstm(UNITS), **given),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_activity_regularizer_of_a_layer_of_layers_is_kept(subject, kind):
    """It is an argument of every layer."""
    if subject.flavour == "keras" and subject.generation < 3:
        pytest.skip("layers of layers of this Keras have no activity_regularizer=")
    given = {"activity_regularizer": subject.keras.regularizers.l2(0.5)}
    made = again(WRAPPED[kind](subject.lstm, subject.keras.layers, given))
    assert made.activity_regularizer is not None, "made again it has no activity regularizer"


#: Layers of cells of one's own, from Keras's layers and the class of the cell.
OF_OWN_CELLS = {
    "RNN": lambda layers, own: layers.RNN(own(UNITS)),
    "StackedRNNCells": lambda layers, own: layers.RNN([own(UNITS), own(UNITS)]),
    "Bidirectional": lambda layers, own: layers.Bidirectional(
        layers.RNN(own(UNITS)), backward_layer=layers.RNN(own(UNITS), go_backwards=True)
    ),
}


def own_cell(layers):
    """A class of cells that Keras does not know."""
    return type("Own", (layers.LSTMCell,), {})


@pytest.mark.parametrize("name", OF_OWN_CELLS)
def test_cell_of_ones_own_is_found_among_custom_objects(subject, name):
    """``custom_objects`` reach the cells within an RNN, a stack and a Bidirectional."""
    own = own_cell(subject.keras.layers)
    layer = OF_OWN_CELLS[name](subject.keras.layers, own)
    made = type(layer).from_config(layer.get_config(), custom_objects={"Own": own})
    assert made.get_config() == layer.get_config(), "made again it has another configuration"


def test_activation_of_ones_own_is_found_among_custom_objects(subject):
    layers = subject.keras.layers

    def mine(x):
        return 2.0 * x

    layer = layers.LSTM(UNITS, activation=mine)
    with subject.keras.utils.custom_object_scope({"mine": mine}):
        assert again(layer).activation is mine


def test_bidirectional_takes_a_layer_with_an_activation_of_ones_own(subject):
    def mine(x):
        return 2.0 * x

    layer = subject.keras.layers.Bidirectional(subject.lstm(UNITS, activation=mine))
    assert [half.activation for half in (layer.forward_layer, layer.backward_layer)] == [mine, mine]


def test_bidirectional_takes_a_layer_of_ones_own_cell(subject, uniform):
    """Both halves have a cell of the class that the layer has."""
    layers = subject.keras.layers
    layer = layers.Bidirectional(layers.RNN(own_cell(layers)(UNITS)))
    assert [type(half.cell).__name__ for half in (layer.forward_layer, layer.backward_layer)] == ["Own", "Own"]
    assert call(subject, layer, uniform(BATCH, STEPS, FEATURES))[0].shape == (BATCH, 2 * UNITS)


def test_layer_whose_initializer_draws_from_a_generator_is_made_again(subject):
    """``seed=SeedGenerator(7)`` gives each weight numbers of its own, and those again to a layer that is made again."""
    if not hasattr(subject.keras, "random"):
        pytest.skip("this Keras has no SeedGenerator")
    initializer = subject.keras.initializers.GlorotUniform(seed=subject.keras.random.SeedGenerator(7))
    layer = subject.lstm(3, kernel_initializer=initializer, recurrent_initializer=initializer)
    again = type(layer).from_config(layer.get_config())
    for one in (layer, again):
        one.build((None, 4, 3))
    assert not np.array_equal(*layer.get_weights()[:2]), "two weights start alike"
    assert np.array_equal(layer.get_weights()[0], again.get_weights()[0]), "it starts from other weights"
