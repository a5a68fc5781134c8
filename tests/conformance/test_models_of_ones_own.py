"""Models of one's own: whichever container they keep their LSTMs in, these are listed, trained and saved."""

import numpy as np
import pytest
from by_hand import agree, call

from reference_impl import LSTM, Given, estimate

pytestmark = pytest.mark.usefixtures("eager")

BATCH, STEPS, FEATURES = 2, 3, 2
SHAPE = (BATCH, STEPS, FEATURES)
#: The upper LSTM has another width: in the other order they could not be called.
WIDTHS = (3, 1)
DESCRIPTIONS = [LSTM(width, return_sequences=True) for width in WIDTHS]


def appended(model, lstms):
    model.kept = []
    for lstm in lstms:
        model.kept.append(lstm)


def extended(model, lstms):
    model.kept = lstms[:1]
    model.kept.extend(lstms[1:])


def inserted(model, lstms):
    model.kept = lstms[:1]
    model.kept.insert(1, lstms[1])


def exchanged(model, lstms):
    """The upper one takes the place of another."""
    model.kept = lstms[:1] * 2
    model.kept[1] = lstms[1]


def added(model, lstms):
    model.kept = lstms[:1]
    model.kept += lstms[1:]


def by_name(model, lstms):
    model.kept = {}
    for name, lstm in zip("ab", lstms):
        model.kept[name] = lstm


def updated(model, lstms):
    model.kept = {}
    model.kept.update({"a": lstms[0], "b": lstms[1]})


def updated_by_pairs(model, lstms):
    model.kept = {}
    model.kept.update(zip("ab", lstms))


def updated_by_keywords(model, lstms):
    model.kept = {}
    model.kept.update(a=lstms[0], b=lstms[1])


def missing_ones_set(model, lstms):
    model.kept = {}
    for name, lstm in zip("ab", lstms):
        model.kept.setdefault(name, lstm)


def nested(model, lstms):
    model.kept = {"a": [lstms[0]]}
    model.kept["a"].append(lstms[1])


def in_a_tuple(model, lstms):
    model.kept = tuple(lstms)


#: Ways to keep LSTMs in an attribute, and how they are taken out of it again.
KEPT = {
    "appended": (appended, list),
    "extended": (extended, list),
    "inserted": (inserted, list),
    "exchanged": (exchanged, list),
    "added": (added, list),
    "by_name": (by_name, lambda kept: kept.values()),
    "updated": (updated, lambda kept: kept.values()),
    "updated_by_pairs": (updated_by_pairs, lambda kept: kept.values()),
    "updated_by_keywords": (updated_by_keywords, lambda kept: kept.values()),
    "missing_ones_set": (missing_ones_set, lambda kept: kept.values()),
    "nested": (nested, lambda kept: kept["a"]),
    "in_a_tuple": (in_a_tuple, list),
}

each_way = pytest.mark.parametrize("way", KEPT)


@pytest.fixture
def model_of(subject):
    """A model that hands its inputs from one LSTM to the next."""

    def model_of(way):
        keep, taken = KEPT[way]

        class Own(subject.keras.Model):
            def __init__(self):
                super().__init__()
                keep(self, [subject.layer(description, "float32") for description in DESCRIPTIONS])

            def call(self, x):
                for lstm in taken(self.kept):
                    x = lstm(x)
                return x

        return Own()

    return model_of


@each_way
def test_lstms_in_a_container(subject, uniform, model_of, tmp_path, way):
    """Their weights are those of the model, in their order; training changes them all, and a file gives them back."""
    model, x = model_of(way), uniform(*SHAPE)
    call(subject, model, x)
    shapes = [
        shape
        for description, features in zip(DESCRIPTIONS, (FEATURES, *WIDTHS))
        for shape in description.weight_shapes(features).values()
    ]
    for listed in (model.weights, model.trainable_weights, model.get_weights()):
        assert [tuple(weight.shape) for weight in listed] == shapes, f"it has {len(listed)} weights of 6"
    model.set_weights([uniform(*shape) for shape in shapes])
    start = model.get_weights()
    agree(call(subject, model, x), expected_of(x, start))
    model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(0.5), run_eagerly=True)
    model.train_on_batch(x, uniform(BATCH, STEPS, 1))
    assert not any(map(np.array_equal, model.get_weights(), start)), "weights were not trained"
    model.save_weights(str(tmp_path / "mine.weights.h5"))
    again = model_of(way)
    call(subject, again, x)
    again.load_weights(str(tmp_path / "mine.weights.h5"))
    assert all(map(np.array_equal, again.get_weights(), model.get_weights())), "a file gives back other weights"


#: Containers of two LSTMs, and how they are taken out again.
WITHIN = {
    "list": (list, list),
    "dictionary": (lambda lstms: dict(zip("ab", lstms)), lambda kept: kept.values()),
    "lists_in_a_list": (lambda lstms: [[lstm] for lstm in lstms], lambda kept: [lstm for (lstm,) in kept]),
    "lists_by_name": (
        lambda lstms: {name: [lstm] for name, lstm in zip("ab", lstms)},
        lambda kept: [lstm for (lstm,) in kept.values()],
    ),
}


@pytest.mark.parametrize("within", WITHIN)
def test_lstms_in_a_container_of_a_layer(subject, draw_weights, tmp_path, within):
    """A file of weights has those of a layer of one's own that keeps LSTMs in containers, also in nested ones."""
    keras, (put, taken) = subject.keras, WITHIN[within]

    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.kept = put([subject.layer(description, "float32") for description in DESCRIPTIONS])

        def call(self, x):
            for lstm in taken(self.kept):
                x = lstm(x)
            return x

    def model():
        inputs = keras.layers.Input((STEPS, FEATURES))
        return draw_weights(keras.models.Model(inputs, Own()(inputs)))

    model, again = model(), model()
    model.save_weights(str(tmp_path / "mine.weights.h5"))
    again.load_weights(str(tmp_path / "mine.weights.h5"))
    assert len(model.get_weights()) == 6
    assert all(map(np.array_equal, again.get_weights(), model.get_weights())), "a file gives back other weights"


def expected_of(x, weights):
    """What the LSTMs return, one reading the other."""

    def compute(tile, fl):
        x_, own = tile(x.astype(np.float64)), [weights[:3], weights[3:]]
        for description, three in zip(DESCRIPTIONS, own):
            (x_,) = description.run(x_, three, Given((), None, fl)).outputs
        return (x_,)

    return estimate(compute, "float32", seed=0)
