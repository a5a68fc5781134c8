"""Bad input is refused: by an error of the right kind, that names what is wrong, as soon as it can be known.

Words that a message must have are alternatives where ``|`` stands between them.
"""

import inspect
from types import SimpleNamespace

import pytest

from conformance.bad_input import (
    BUILD,
    CALL,
    CONSTRUCTION,
    FEATURES,
    STEPS,
    UNITS,
    X,
    booleans,
    floats,
    given,
    layer,
    layer_class,
    lstm,
    model,
    on,
    predict,
    refusal,
    strings,
    unbuilt,
)

STATE, WIDE_STATE = floats(2, UNITS), floats(2, 9)
KERNEL, RECURRENT_KERNEL, BIAS = floats(FEATURES, 4 * UNITS), floats(UNITS, 4 * UNITS), floats(4 * UNITS)

CELL, CELL_CLASS = layer("LSTMCell", UNITS), layer_class("LSTMCell")
DENSE, LSTM_CLASS = layer("Dense", UNITS), layer_class("LSTM")
BIDIRECTIONAL, TIME_DISTRIBUTED = layer("Bidirectional", lstm()), layer("TimeDistributed", lstm())

ON_X, GIVEN_X = on(X.shape), given(X)

#: What a message may call the initial states, and how many of them there are to be.
INITIAL_STATE, NUMBER_OF_STATES = "initial_state|initial states|states|state_size", "state_size|states"


@pytest.fixture
def refuses(subject):
    """Assert that the subject refuses a mistake by the moment ``latest``, in a message that has the words."""

    def refuses(construct, *words, latest=CONSTRUCTION, build=ON_X, call=GIVEN_X):
        if latest == CALL and not subject.eager:
            pytest.skip("this Keras does not compute eagerly")
        refused = refusal(subject, construct, build, call)
        complaint = refused.complaint(words, latest) if refused else "accepted silently"
        if complaint:
            raise AssertionError(complaint)

    return refuses


@pytest.fixture
def needs(subject):
    """Skip where a layer has no such argument."""

    def needs(name, argument):
        if argument not in inspect.signature(getattr(subject.keras.layers, name)).parameters:
            pytest.skip(f"this Keras has no {name}({argument}=)")

    return needs


def rows(*table):
    """The rows of a table for parametrize; the first column has the ids."""
    return [pytest.param(*row[1:], id=row[0]) for row in table]


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None])
def test_bad_units(units, refuses):
    refuses(lstm(units=units), "units|dimension", str(units))


def test_no_units(refuses):
    refuses(lambda subject: subject.lstm(), "units")


@pytest.mark.parametrize("name", ["tanhh", 3])
@pytest.mark.parametrize("argument", ["activation", "recurrent_activation"])
def test_bad_activation(argument, name, refuses):
    refuses(lstm(**{argument: name}), "activation", str(name))


@pytest.mark.parametrize("value", ["glorot", 0.5])
@pytest.mark.parametrize("weight", ["kernel", "recurrent", "bias"])
def test_bad_initializer(weight, value, refuses):
    refuses(lstm(**{f"{weight}_initializer": value}), "initializer", str(value))


@pytest.mark.parametrize("value", ["l3", 0.01])
@pytest.mark.parametrize("of", ["kernel", "recurrent", "bias", "activity"])
def test_bad_regularizer(of, value, refuses):
    refuses(lstm(**{f"{of}_regularizer": value}), "regularizer", str(value))


@pytest.mark.parametrize("value", ["positive", 2.0])
@pytest.mark.parametrize("weight", ["kernel", "recurrent", "bias"])
def test_bad_constraint(weight, value, refuses):
    refuses(lstm(**{f"{weight}_constraint": value}), "constraint", str(value))


@pytest.mark.parametrize("rate", [-0.1, 1.5, "half", None])
@pytest.mark.parametrize("argument", ["dropout", "recurrent_dropout"])
def test_bad_dropout(argument, rate, refuses):
    refuses(lstm(**{argument: rate}), argument, str(rate))


@pytest.mark.parametrize(("argument", "value"), [("implementation", 3), ("seed", "seven"), ("use_cudnn", "yes")])
def test_bad_argument(argument, value, needs, refuses):
    if argument != "implementation":  # which all have, some unnamed
        needs("LSTM", argument)
    refuses(lstm(**{argument: value}), argument, str(value))


def test_unknown_keyword(refuses):
    """It is ``return_sequences``."""
    refuses(lstm(return_sequence=True), "return_sequence")


def test_bad_dtype(refuses):
    refuses(lstm(dtype="float31"), "float31")


def test_integer_dtype(refuses):
    """Weights that are integers can be neither drawn by the initializers nor trained."""
    refuses(lstm(dtype="int32"), "dtype|type", "int32", latest=BUILD)


def test_cudnn_where_there_is_none(subject, needs, refuses):
    """``use_cudnn=True`` is a demand: where it cannot be met, the other implementation is no answer."""
    needs("LSTM", "use_cudnn")
    if not subject.environment.device.startswith("CPU"):
        pytest.skip("there is an accelerator, which may have cuDNN")
    refuses(lstm(use_cudnn=True), "use_cudnn", "True", latest=CALL)


def test_unrolling_unknown_steps(refuses):
    refuses(lstm(unroll=True), "time|timesteps", latest=BUILD, build=on((None, None, FEATURES)))


def test_unrolling_no_steps(refuses):
    refuses(lstm(unroll=True), "time|timesteps|sequences", latest=CALL, call=given(floats(2, 0, FEATURES)))


def test_stateful_without_batch_size(refuses):
    refuses(lstm(stateful=True), "stateful", "batch", latest=BUILD, build=on((None, STEPS, FEATURES)))


@pytest.mark.parametrize(
    "construct",
    rows(("lstm", lstm(stateful=True)), ("bidirectional", layer("Bidirectional", lstm(stateful=True)))),
)
def test_stateful_with_another_batch_size(construct, refuses):
    """The states of two samples do not carry on for seven."""
    refuses(construct, "batch|expected shape", "7", latest=CALL, call=given(floats(7, STEPS, FEATURES)))


@pytest.mark.parametrize(
    ("construct", "words"),
    rows(
        ("units", layer("RNN", layer("LSTMCell", 0)), ["units|dimension", "0"]),
        ("dropout", layer("RNN", layer("LSTMCell", UNITS, dropout=1.5)), ["dropout", "1.5"]),
        ("no-call", layer("RNN", SimpleNamespace(state_size=UNITS)), ["cell", "call"]),
        ("no-state_size", layer("RNN", SimpleNamespace(call=len)), ["cell", "state_size"]),
        ("state_size-none", layer("RNN", SimpleNamespace(call=len, state_size=None)), ["cell", "state_size"]),
        ("state_size-word", layer("RNN", SimpleNamespace(call=len, state_size="three")), ["state_size"]),
        ("number", layer("RNN", 3), ["cell", "3"]),
        ("class", layer("RNN", CELL_CLASS), ["cell"]),
        ("layer", layer("RNN", lstm()), ["cell"]),
        ("none", layer("RNN", []), ["cell|cells"]),
        ("stack-none", layer("RNN", layer("StackedRNNCells", [])), ["cell|cells"]),
        ("stack-string", layer("RNN", layer("StackedRNNCells", [CELL, "cell"])), ["cells", "call"]),
        ("stack-dense", layer("RNN", layer("StackedRNNCells", [CELL, DENSE])), ["cells", "state_size"]),
        ("stack-no-list", layer("RNN", layer("StackedRNNCells", CELL)), ["cells|LSTMCell"]),
    ),
)
def test_bad_cell(construct, words, refuses):
    """A cell has ``call`` and ``state_size``. An LSTM is no cell: it goes over the time steps already."""
    refuses(construct, *words)


@pytest.mark.parametrize(
    ("x", "states", "words"),
    rows(
        ("one-state", floats(2, FEATURES), [STATE], [NUMBER_OF_STATES]),
        ("three-states", floats(2, FEATURES), [STATE] * 3, [NUMBER_OF_STATES]),
        ("states-of-9-units", floats(2, FEATURES), [WIDE_STATE] * 2, ["9"]),
        ("input-of-rank-3", X, [STATE] * 2, ["ndim|rank|shape|shapes"]),
    ),
)
def test_cell_given_bad(x, states, words, refuses):
    refuses(CELL, *words, latest=CALL, build=unbuilt, call=given(x, states))


@pytest.mark.parametrize(
    ("construct", "words"),
    rows(
        ("string", layer("Bidirectional", "lstm"), ["layer", "lstm"]),
        ("class", layer("Bidirectional", LSTM_CLASS), ["layer", "LSTM"]),
        ("cell", layer("Bidirectional", CELL), ["Bidirectional|go_backwards"]),
        ("dense", layer("Bidirectional", DENSE), ["Bidirectional|go_backwards"]),
        ("merge_mode", layer("Bidirectional", lstm(), merge_mode="average"), ["merge_mode|merge mode", "average|ave"]),
        ("keyword", layer("Bidirectional", lstm(), merge="sum"), ["merge"]),
    ),
)
def test_bad_bidirectional(construct, words, refuses):
    refuses(construct, *words)


def test_bidirectional_weights_of_one_half(refuses):
    weights = [KERNEL, RECURRENT_KERNEL, BIAS]
    refuses(layer("Bidirectional", lstm(), weights=weights), "weights", "3", latest=BUILD)


@pytest.mark.parametrize(
    ("backward_layer", "word"),
    rows(
        ("list", [lstm(go_backwards=True)], "backward_layer"),
        ("go_backwards", lstm(), "go_backwards"),
        ("return_sequences", lstm(go_backwards=True, return_sequences=True), "return_sequences"),
        ("return_state", lstm(go_backwards=True, return_state=True), "return_state"),
        ("stateful", lstm(go_backwards=True, stateful=True), "stateful"),
    ),
)
def test_bad_backward_layer(backward_layer, word, needs, refuses):
    needs("Bidirectional", "backward_layer")
    refuses(layer("Bidirectional", lstm(), backward_layer=backward_layer), word)


def test_backward_layer_of_another_width(needs, refuses):
    """Halves of 3 and 9 units have no sum."""
    needs("Bidirectional", "backward_layer")
    wider = lstm(units=9, go_backwards=True)
    refuses(layer("Bidirectional", lstm(), "sum", backward_layer=wider), "3", "9", latest=BUILD)


@pytest.mark.parametrize(("layer_given", "word"), rows(("string", "lstm", "lstm"), ("class", LSTM_CLASS, "LSTM")))
def test_bad_time_distributed(layer_given, word, refuses):
    refuses(layer("TimeDistributed", layer_given), "layer", word)


@pytest.mark.parametrize(
    ("construct", "shape"),
    rows(
        ("dense-rank-1", layer("TimeDistributed", DENSE), (2,)),
        ("dense-rank-2", layer("TimeDistributed", DENSE), (2, STEPS)),
        ("lstm-rank-3", TIME_DISTRIBUTED, X.shape),
    ),
)
def test_bad_time_distributed_input_rank(construct, shape, refuses):
    """TimeDistributed gives its layer one dimension less than it is given."""
    build, call = on((None, *shape[1:])), given(floats(*shape))
    refuses(construct, "ndim|rank|3 dimensions|input_shape", latest=BUILD, build=build, call=call)


@pytest.mark.parametrize(
    ("mask", "value"),
    rows(
        ("inner-steps", booleans(2, 3, 6), "6"),
        ("outer-steps", booleans(2, 6, STEPS), "6"),
        ("rank-1", booleans(2), "2"),
        ("rows", booleans(7, 3, STEPS), "7"),
    ),
)
def test_bad_time_distributed_mask(mask, value, refuses):
    x = floats(2, 3, STEPS, FEATURES)
    refuses(TIME_DISTRIBUTED, "mask", value, latest=CALL, build=on(x.shape), call=given(x, mask=mask))


@pytest.mark.parametrize("shape", [(2, FEATURES), (2, 3, STEPS, FEATURES)], ids=["rank-2", "rank-4"])
@pytest.mark.parametrize("construct", [lstm(), BIDIRECTIONAL], ids=["lstm", "bidirectional"])
def test_bad_input_rank(construct, shape, refuses):
    refuses(construct, "ndim|rank|dimensions", str(len(shape)), latest=BUILD, build=on(shape))


def test_unknown_features(refuses):
    refuses(lstm(), "shape|dimension|features", "None", latest=BUILD, build=on((None, STEPS, None)))


@pytest.mark.parametrize("construct", [lstm(), BIDIRECTIONAL], ids=["lstm", "bidirectional"])
def test_other_features(construct, refuses):
    refuses(construct, "5", "6", latest=CALL, call=given(floats(2, STEPS, 6)))


def test_other_features_symbolic(refuses):
    other = floats(2, STEPS, 6)
    refuses(lstm(), "5", "6", latest=BUILD, build=on(X.shape, other.shape), call=given(other))


@pytest.mark.parametrize(
    ("x", "word"),
    rows(
        ("none", None, "None"),
        ("text", "text", "text"),
        ("strings", strings(*X.shape), "string|strings"),
        ("nested-list", X.tolist(), "input|inputs|tensor|tensors"),
        ("two", [X, X], f"input|inputs|{INITIAL_STATE}"),
    ),
)
def test_bad_input(x, word, refuses):
    refuses(lstm(), word, latest=CALL, call=given(x))


def test_unknown_keyword_of_the_call(refuses):
    refuses(lstm(), "states", latest=CALL, call=given(X, states=[STATE, STATE]))


@pytest.mark.parametrize(
    ("states", "value"),
    rows(
        ("one", [STATE], NUMBER_OF_STATES),
        ("tensor", STATE, NUMBER_OF_STATES),
        ("three", [STATE] * 3, NUMBER_OF_STATES),
        ("9-units", [WIDE_STATE, WIDE_STATE], "9"),
        ("c-of-9-units", [STATE, WIDE_STATE], "9"),
        ("batch-7", [floats(7, UNITS)] * 2, "7"),
        ("batch-1", [floats(1, UNITS)] * 2, "1"),
        ("c-of-batch-1", [STATE, floats(1, UNITS)], "1"),
        ("rank-1", [floats(UNITS)] * 2, "ndim|rank|(3,)"),
        ("rank-3", [floats(2, 1, UNITS)] * 2, "ndim|rank|(2, 1, 3)"),
        ("strings", [strings(2, UNITS)] * 2, "string|strings"),
        ("complex", [STATE.astype("complex64")] * 2, "complex|complex64"),
        ("none-for-c", [STATE, None], "None|NoneType"),
        ("word", "zeros", "zeros"),
    ),
)
def test_bad_initial_state(states, value, refuses):
    """Two are wanted, h and c, each with a row for each sample and a column for each unit."""
    refuses(lstm(), INITIAL_STATE, value, latest=CALL, call=given(X, initial_state=states))


@pytest.mark.parametrize(
    ("states", "value"), rows(("one", [STATE], NUMBER_OF_STATES), ("9-units", [WIDE_STATE, WIDE_STATE], "9"))
)
def test_bad_initial_state_symbolic(states, value, refuses):
    build = model((None, STEPS, FEATURES), initial_state=[(None, state.shape[1]) for state in states])
    refuses(lstm(), INITIAL_STATE, value, latest=BUILD, build=build, call=predict(X, *states))


@pytest.mark.parametrize(
    ("construct", "count"),
    rows(
        ("bidirectional-2", BIDIRECTIONAL, 2),
        ("bidirectional-3", BIDIRECTIONAL, 3),
        ("bidirectional-6", BIDIRECTIONAL, 6),
        ("stack-2", layer("RNN", [CELL, CELL]), 2),
    ),
)
def test_bad_number_of_initial_states(construct, count, refuses):
    """A Bidirectional has four: h and c of its forward half, then of the backward half; two cells have two each."""
    call = given(X, initial_state=[STATE] * count)
    refuses(construct, INITIAL_STATE, NUMBER_OF_STATES, latest=CALL, call=call)


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unroll"])
@pytest.mark.parametrize(
    ("mask", "value"),
    rows(
        ("long", booleans(2, 9), "9"),
        ("short", booleans(2, 3), "3"),
        ("one-step", booleans(2, 1), "1"),
        ("batch-7", booleans(7, STEPS), "7"),
        ("batch-1", booleans(1, STEPS), "1"),
        ("rank-1", booleans(STEPS), "ndim|rank|dimensions|(4,)"),
        ("rank-3", booleans(2, STEPS, UNITS), "ndim|rank|dimensions|(2, 4, 3)"),
        ("strings", strings(2, STEPS), "string|strings"),
    ),
)
def test_bad_mask(mask, value, unroll, refuses):
    """A mask has a row for each sample and a column for each time step."""
    refuses(lstm(unroll=unroll), "mask", value, latest=CALL, call=given(X, mask=mask))


def test_bad_bidirectional_mask(refuses):
    refuses(BIDIRECTIONAL, "mask", "9", latest=CALL, call=given(X, mask=booleans(2, 9)))


@pytest.mark.parametrize("steps", [3, 9], ids=["short", "long"])
def test_bad_mask_symbolic(steps, refuses):
    """A graph for any number of steps learns only as it runs that the mask has others than the input."""
    build = model((None, None, FEATURES), mask=(None, None))
    refuses(lstm(), str(steps), latest=CALL, build=build, call=predict(X, booleans(2, steps)))


@pytest.mark.parametrize(
    ("weights", "words"),
    rows(
        ("two", [KERNEL, RECURRENT_KERNEL], ["weights", "2"]),
        ("four", [KERNEL, RECURRENT_KERNEL, BIAS, BIAS], ["weights", "4"]),
        ("transposed", [KERNEL.T, RECURRENT_KERNEL, BIAS], ["shape", "(12, 5)"]),
        ("exchanged", [RECURRENT_KERNEL, KERNEL, BIAS], ["shape", "(3, 12)"]),
        ("bias-of-1", [KERNEL, RECURRENT_KERNEL, floats(1)], ["shape", "(1,)"]),
    ),
)
def test_bad_set_weights(weights, words, refuses):
    refuses(lstm(), *words, latest=CALL, call=lambda _, built: built.set_weights(weights))
