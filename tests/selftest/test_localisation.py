"""Where a case goes wrong whose cause is not known: how it is run, which layer, which step and part of it."""

import pytest

from conformance import catalogue, space
from conformance.judge import judge
from conformance.report.terminal import render
from conformance.subject import Subject

SEQUENCE = "lstm-B3-T4-D2-initial_state-functional-call-U3-sequences_state"


@pytest.fixture
def where(subject):
    """Where a subject with another layer in the place of LSTM goes wrong in a case."""
    if subject.generation < 3:
        pytest.skip("the layers are written for Keras 3")

    def where(layer, case):
        judgement = judge(case, Subject(subject.flavour, subject.keras, layer, "planted"))
        assert judgement.raised is None, judgement.raised
        assert judgement.diagnosis.explanations == ()
        return judgement.where

    return where


@pytest.fixture
def of_cell(subject):
    """An LSTM whose cell does something else in its step, from the gates' sums and the carry."""

    def of_cell(fused):
        class Planted(subject.keras.layers.LSTM):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                cell = self.cell
                own = cell._compute_carry_and_output_fused
                cell._compute_carry_and_output_fused = lambda z, c: fused(own, z, c)

        return Planted

    return of_cell


def scaled(own, gate):
    """Half of one gate's sum."""
    return lambda z, c: own(tuple(0.5 * one if number == gate else one for number, one in enumerate(z)), c)


@pytest.mark.parametrize(
    ("gate", "part"),
    [
        (0, "c is wrong (input gate, forget gate or candidate), h follows from it"),
        (2, "c is wrong (input gate, forget gate or candidate), h follows from it"),
        (3, "h is wrong (output gate or activation)"),
    ],
)
@pytest.mark.parametrize("direction", ["", "-backwards"])
def test_part_of_a_step(gate, part, direction, where, of_cell):
    layer = of_cell(lambda own, z, c: scaled(own, gate)(z, c))
    told = where(layer, space.case(SEQUENCE + direction))
    assert told == f"step 0 is the first that is wrong: {part}; of the last step {part}"


def test_step_that_only_goes_on_from_wrong_states(where, subject):
    """The initial carry is taken a third too large; every later step is right."""

    class Planted(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, **given):
            h, c = initial_state
            return super().call(sequences, initial_state=[h, 1.3 * c], **given)

    told = where(Planted, space.case(SEQUENCE))
    assert told.endswith("of the last step h and c are right by themselves: it goes on from wrong states")


def test_layer_of_a_stack(where, subject):
    """Only layers of three units are wrong."""

    class Planted(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, **given):
            done = super().call(sequences, initial_state=initial_state, **given)
            wrong = self.units == 3
            return [1.5 * done[0], *done[1:]] if wrong and isinstance(done, (list, tuple)) else done

    (case,) = (case for case in catalogue.options() if case.id.startswith("stack3") and case.id.endswith("-no_bias"))
    told = where(Planted, case)
    assert told.startswith("layer 3 of 3, LSTM(3, ")
    assert told.endswith("is the first whose outputs are wrong")


@pytest.mark.parametrize(
    "name",
    [
        "lstm-B3-T4-D2-functional-call-float16-U3-dropout-sequences",
        "stack-two_layers-B3-T4-D2-functional-call-U3-recurrent_dropout-sequences",
    ],
)
def test_dropout_at_inference(name, where, subject):
    """Where the fault is not tried: of numbers of few bits, of too many entries."""

    class Planted(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return super().call(sequences, initial_state=initial_state, mask=mask, training=True)

    told = where(Planted, space.case(name))
    assert told.endswith("is right, and calls do not return the same: something is dropped at inference")


def test_what_only_goes_with_dropout_is_not_called_dropping(where, subject):
    """Keras takes another path where states may be dropped; here that one is wrong, and drops nothing."""

    class Planted(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            wrong = 1.5 if self.recurrent_dropout else 1.0
            return super().call(wrong * sequences, initial_state=initial_state, mask=mask, training=training)

    told = where(Planted, space.case("lstm-B3-T4-D2-functional-call-U3-recurrent_dropout-sequences"))
    assert told == "without dropout= and recurrent_dropout= the same model is right"


def test_sequence_that_is_not_that_of_the_states(where, subject):
    """What is returned is clipped, what is carried is not."""

    class Planted(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            done = super().call(sequences, initial_state=initial_state, mask=mask, training=training)
            return [1.5 * done[0], *done[1:]] if self.return_sequences else done

    told = where(Planted, space.case(SEQUENCE))
    assert told.startswith("step 0 is the first that is wrong: h and c are right, but the sequence has something else")


def test_way_of_running(where, subject):
    class Planted(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, **given):
            eager = subject.tensorflow.executing_eagerly()
            return super().call(sequences if eager else 1.5 * sequences, initial_state=initial_state, **given)

    case = space.case("lstm-B3-T4-D2-layer-function-U3-sequences")
    assert where(Planted, case) == "called eagerly, the same model is right"


def test_report_says_so_and_fits(where, of_cell, subject):
    layer = of_cell(lambda own, z, c: scaled(own, 3)(z, c))
    judgement = judge(space.case(SEQUENCE), Subject(subject.flavour, subject.keras, layer, "planted"))
    lines = render(judgement, "rerun").splitlines()
    assert any(line.startswith("where: step 0 is the first that is wrong: h is wrong") for line in lines)
    assert len(lines) <= 25


def test_what_cannot_be_told_is_not(subject):
    class Broken(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, **given):
            if sequences.shape[1] != 4:
                raise RuntimeError("as it likes")
            return [1.5 * one for one in super().call(sequences, initial_state=initial_state, **given)]

    judgement = judge(space.case(SEQUENCE), Subject(subject.flavour, subject.keras, Broken, "planted"))
    assert judgement.verdict == "diverges"
    assert judgement.where == ""
