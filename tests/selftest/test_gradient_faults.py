"""Faults of gradients are caught by the cases, and named when a Keras layer has them."""

from itertools import islice

import numpy as np
import pytest

from conformance import space
from conformance.compare import largest_ratio
from conformance.covering import frozen_ids
from conformance.data import draw
from conformance.discrimination import TRUSTED
from conformance.divergences import Divergence
from conformance.faults.gradients import GRADIENT_FAULTS
from conformance.gradients import FIRST_ORDER, diagnose_answer, expected_gradients, judge_gradients
from conformance.judge import AGAINST_THE_RECORD, judge
from conformance.report.terminal import render
from conformance.subject import Subject
from reference_impl.rounding import round_to

CASES = [case for case in map(space.case, frozen_ids("gradients")) if case.compute_dtype != "float16"]


def values(expected):
    return [one.value for one in expected.values()]


def catching(fault):
    """Cases in which a fault makes a difference that cannot be missed, with what a subject that has it returns."""
    for case in CASES:
        data = draw(case)
        if fault.where(case):
            with np.errstate(all="ignore"):
                found = values(expected_gradients(case, data, fault))
                right = list(expected_gradients(case, data).values())
            if largest_ratio(right, found) > TRUSTED:
                yield case, data, [round_to(own, case.compute_dtype) for own in found]


@pytest.mark.parametrize("name", GRADIENT_FAULTS)
def test_fault_is_caught_and_named(name):
    caught = list(islice(catching(GRADIENT_FAULTS[name]), 3))
    assert len(caught) == 3
    assert any((name,) in diagnose_answer(FIRST_ORDER, *one).explanations for one in caught)


def test_what_no_fault_returns_has_no_name():
    case = CASES[0]
    data = draw(case)
    found = [1.5 * own + 0.25 for own in values(expected_gradients(case, data))]
    assert diagnose_answer(FIRST_ORDER, case, data, found).explanations == ()


STATES = "lstm-B3-T4-D2-initial_state-functional-call-U3-sequences_state"

#: By fault, what a cell or a call stops the gradients of.
STOPS = {
    "gradients_truncated": ("cell", lambda stop, x, h, c: (x, stop(h), stop(c))),
    "gradients_without_carry": ("cell", lambda stop, x, h, c: (x, h, stop(c))),
    "gradients_without_h": ("cell", lambda stop, x, h, c: (x, stop(h), c)),
    "gradients_no_inputs": ("call", lambda stop, x, h, c: (stop(x), h, c)),
    "gradients_no_states": ("call", lambda stop, x, h, c: (x, stop(h), stop(c))),
}


@pytest.mark.parametrize("name", STOPS)
@pytest.mark.parametrize("mode", ["call", "function"])
def test_planted_fault_is_named(name, mode, subject):
    if subject.generation < 3:
        pytest.skip("the layers are written for Keras 3")
    place, stopped = STOPS[name]
    stop = subject.tensorflow.stop_gradient

    class Planted(subject.keras.layers.LSTM):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            if place == "cell":
                call = self.cell.call

                def stopping(inputs, states, **given):
                    x, h, c = stopped(stop, inputs, *states)
                    return call(x, [h, c], **given)

                self.cell.call = stopping

        def call(self, sequences, initial_state=None, mask=None, training=False):
            if place == "call":
                sequences, *initial_state = stopped(stop, sequences, *initial_state)
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    case = space.case(STATES.replace("-call-", f"-{mode}-"))
    judgement = judge_gradients(case, Subject(subject.flavour, subject.keras, Planted, "planted"))
    assert judgement.raised is None, judgement.raised
    assert judgement.diagnosis.explanations == ((name,),)
    lines = render(judgement, "rerun").splitlines()
    assert lines[0] == f"gradients of {case.id}"
    assert len(lines) <= 25


def test_wrong_outputs_explain_wrong_gradients(subject):
    if subject.generation < 3:
        pytest.skip("the layer is written for Keras 3")

    class Forgetful(subject.keras.layers.LSTM):
        def build(self, sequences_shape, initial_state_shape=None):
            super().build(sequences_shape)
            self.cell.use_bias = False

    planted = Subject(subject.flavour, subject.keras, Forgetful, "planted")
    judgement = judge_gradients(space.case(STATES), planted)
    assert judgement.raised is None, judgement.raised
    assert judgement.diagnosis.explanations == (("bias_missing",),)


def recorded(**signature):
    covered = [{"layer": "LSTM", "initial_state": "True"}]
    return Divergence("id", "departs", "why", {"keras": ">=2"}, "program", covered, question="gradients", **signature)


def test_record_of_gradients_is_strict(subject):
    """It speaks of gradients alone, and where they are right, or wrong otherwise, it fails."""
    if not subject.eager:
        pytest.skip("this Keras computes in predict only")
    case, record = space.case(STATES), recorded(raises="ValueError")
    assert judge(case, subject, [record]).verdict == "conforms"
    judgement = judge_gradients(case, subject, [record])
    assert judgement.verdict == "diverges"
    assert judgement.surprise == AGAINST_THE_RECORD


def test_record_of_outputs_excuses_gradients_of_departing_outputs_alone(subject):
    if subject.generation < 3:
        pytest.skip("the layer is written for Keras 3")

    class Planted(subject.keras.layers.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            stopped = subject.tensorflow.stop_gradient(sequences)
            return super().call(stopped, initial_state=initial_state, mask=mask, training=training)

    covered = [{"layer": "LSTM", "initial_state": "True"}]
    record = Divergence("id", "departs", "why", {"keras": ">=2"}, "program", covered, fault="bias_missing")
    planted = Subject(subject.flavour, subject.keras, Planted, "planted")
    judgement = judge_gradients(space.case(STATES), planted, [record])
    assert judgement.verdict == "diverges"
    assert judgement.diagnosis.explanations == (("gradients_no_inputs",),)
