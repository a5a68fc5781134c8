"""Each argument of a layer is found again: as an attribute, in the configuration, in the halves of a Bidirectional."""

import pytest
from arguments import MADE, PLAIN, same, value_of, with_argument

#: Those that Bidirectional decides itself for its halves.
NOT_OF_HALVES = ("name", "seed", "go_backwards", "zero_output_for_mask")

#: Arguments of an LSTM that are its loop's, not its cell's.
OF_THE_LOOP = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "time_major",
    "zero_output_for_mask",
)
OF_EVERY_LAYER = ("trainable", "name")
OF_A_CELL = [name for name in (*PLAIN, *MADE) if name not in (*OF_THE_LOOP, "activity_regularizer", "use_cudnn")]

each_plain = pytest.mark.parametrize("name", PLAIN)
each_made = pytest.mark.parametrize("name", MADE)


def configured(subject, layer, name):
    """The argument as it is in the configuration of a layer, made again."""
    config = layer.get_config()
    assert name in config, f"the configuration has no {name}"
    return config[name] if name in PLAIN else getattr(subject.keras, MADE[name][0]).get(config[name])


@each_plain
def test_config_keeps_the_argument(subject, name):
    assert configured(subject, with_argument(subject, name), name) == PLAIN[name]


@each_made
def test_config_keeps_the_object(subject, name):
    assert same(configured(subject, with_argument(subject, name), name), value_of(subject, name))


@pytest.mark.parametrize("name", OF_A_CELL)
def test_config_of_a_cell_keeps_the_argument(subject, name):
    cell = with_argument(subject, name, "LSTMCell")
    assert same(configured(subject, cell, name), value_of(subject, name))


@pytest.mark.parametrize("name", [*OF_THE_LOOP, *OF_EVERY_LAYER])
def test_config_of_a_loop_keeps_the_argument(subject, name):
    assert configured(subject, with_argument(subject, name, "RNN"), name) == PLAIN[name]


@pytest.mark.parametrize("name", [name for name in PLAIN if name != "seed"])  # of a seed there is no attribute
def test_attribute_is_the_argument(subject, name):
    assert getattr(with_argument(subject, name), name) == PLAIN[name]


@each_made
def test_attribute_is_the_object(subject, name):
    assert same(getattr(with_argument(subject, name), name), value_of(subject, name))


@pytest.mark.parametrize("name", [name for name in OF_A_CELL if name != "seed"])
def test_attribute_of_a_cell_is_the_argument(subject, name):
    assert same(getattr(with_argument(subject, name, "LSTMCell"), name), value_of(subject, name))


@pytest.mark.parametrize("name", [name for name in PLAIN if name not in NOT_OF_HALVES])
def test_halves_keep_the_argument(subject, name):
    """Bidirectional gives both of its halves what the layer was given."""
    layer = subject.keras.layers.Bidirectional(with_argument(subject, name))
    assert [getattr(half, name) for half in (layer.forward_layer, layer.backward_layer)] == [PLAIN[name]] * 2


@each_made
def test_halves_keep_the_object(subject, name):
    layer = subject.keras.layers.Bidirectional(with_argument(subject, name))
    halves = (layer.forward_layer, layer.backward_layer)
    for half in halves:
        assert same(getattr(half, name), value_of(subject, name))
