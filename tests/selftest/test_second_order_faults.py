"""Faults of second-order gradients are caught by the cases, and named when a Keras layer has them."""

from itertools import islice

import numpy as np
import pytest

from conformance import space
from conformance.compare import largest_ratio
from conformance.data import draw
from conformance.discrimination import TRUSTED
from conformance.divergences import Divergence
from conformance.faults.second_order import SECOND_ORDER_FAULTS
from conformance.gradients import diagnose_answer, expected_gradients, judge_gradients
from conformance.judge import AGAINST_THE_RECORD
from conformance.report.terminal import render
from conformance.second_order import IN_SECOND_ORDER, cases, expected_products, judge_second_order
from conformance.subject import Subject
from reference_impl.rounding import round_to

CASES = [case for case in cases() if case.compute_dtype != "float16"]


def values(expected):
    return [one.value for one in expected.values()]


def catching(fault):
    """Cases in which a fault makes a difference that cannot be missed, with what a subject that has it returns."""
    for case in CASES:
        data = draw(case)
        found = values(expected_products(case, data, fault))
        if largest_ratio(list(expected_products(case, data).values()), found) > TRUSTED:
            yield case, data, [round_to(own, case.compute_dtype) for own in found]


@pytest.mark.parametrize("name", SECOND_ORDER_FAULTS)
def test_fault_is_caught_and_named(name):
    caught = list(islice(catching(SECOND_ORDER_FAULTS[name]), 3))
    assert len(caught) == 3
    assert any((name,) in diagnose_answer(IN_SECOND_ORDER, *one).explanations for one in caught)


@pytest.mark.parametrize("name", [name for name in SECOND_ORDER_FAULTS if name != "second_order_none"])
def test_fault_leaves_the_gradients_right(name):
    case = CASES[1]
    data = draw(case)
    right, found = (values(expected_gradients(case, data, *fault)) for fault in ((), (SECOND_ORDER_FAULTS[name],)))
    for one, other in zip(right, found):
        np.testing.assert_array_equal(one, other)


def test_what_no_fault_returns_has_no_name():
    case = CASES[0]
    data = draw(case)
    found = [1.5 * own + 0.25 for own in values(expected_products(case, data))]
    assert diagnose_answer(IN_SECOND_ORDER, case, data, found).explanations == ()


STATES = "lstm-B3-T4-D2-initial_state-functional-call-U3-sequences_state"


def planted(subject, change):
    """Keras's LSTM with something done to each cell."""

    class Planted(subject.keras.layers.LSTM):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            change(self.cell)

    return Subject(subject.flavour, subject.keras, Planted, "planted")


def before_each_step(change):
    """A change of a cell: something is done to h and c in front of every step."""

    def changed(cell):
        call = cell.call
        cell.call = lambda inputs, states, **given: call(inputs, list(change(*states)), **given)

    return changed


def identity(tensorflow):
    """What hands gradients back as constants."""
    return tensorflow.custom_gradient(lambda tensor: (tensorflow.identity(tensor), tensorflow.stop_gradient))


def tanh(tensorflow):
    """With a derivative that is taken for a constant."""

    @tensorflow.custom_gradient
    def tanh(x):
        y = tensorflow.tanh(x)
        return y, lambda d: d * tensorflow.stop_gradient(1.0 - y * y)

    return tanh


def sigmoid(tensorflow):
    """With a derivative that is taken for a constant."""

    @tensorflow.custom_gradient
    def sigmoid(x):
        y = tensorflow.sigmoid(x)
        return y, lambda d: d * tensorflow.stop_gradient(y * (1.0 - y))

    return sigmoid


def product(tensorflow, of_weight, of_factor):
    """A matrix product, whose gradients are made of what these functions make of its factors."""

    @tensorflow.custom_gradient
    def product(value, weight):
        def back(d):
            weights, values = of_weight(weight), of_factor(value)
            return tensorflow.matmul(d, weights, transpose_b=True), tensorflow.matmul(values, d, transpose_a=True)

        return value @ weight, back

    return product


def by_hand(tensorflow, **of_what):
    """A change of a cell: its step is written out with other products."""
    right = {"of_weight": tensorflow.identity, "of_factor": tensorflow.identity}
    times = product(tensorflow, **{**right, **of_what})

    def changed(cell):
        def call(inputs, states, training=False):
            h, c = states
            kernels = map(tensorflow.convert_to_tensor, (cell.kernel, cell.recurrent_kernel))
            z = sum(times(*factors) for factors in zip((inputs, h), kernels)) + cell.bias
            z_i, z_f, z_c, z_o = tensorflow.split(z, 4, axis=-1)
            c = tensorflow.sigmoid(z_f) * c + tensorflow.sigmoid(z_i) * tensorflow.tanh(z_c)
            h = tensorflow.sigmoid(z_o) * tensorflow.tanh(c)
            return h, [h, c]

        cell.call = call

    return changed


#: By fault, what is done to a cell.
PLANTS = {
    "second_order_truncated": lambda tf: before_each_step(lambda h, c: (identity(tf)(h), identity(tf)(c))),
    "second_order_without_carry": lambda tf: before_each_step(lambda h, c: (h, identity(tf)(c))),
    "second_order_without_h": lambda tf: before_each_step(lambda h, c: (identity(tf)(h), c)),
    "second_order_constant_activation": lambda tf: lambda cell: setattr(cell, "activation", tanh(tf)),
    "second_order_constant_gates": lambda tf: lambda cell: setattr(cell, "recurrent_activation", sigmoid(tf)),
    "second_order_constant_weights": lambda tf: by_hand(tf, of_weight=tf.stop_gradient),
    "second_order_constant_factors": lambda tf: by_hand(tf, of_factor=tf.stop_gradient),
}


@pytest.mark.parametrize("name", PLANTS)
def test_planted_fault_is_named(name, subject):
    if subject.generation < 3:
        pytest.skip("the layers are written for Keras 3")
    case, wrong = space.case(STATES), planted(subject, PLANTS[name](subject.tensorflow))
    assert judge_gradients(case, wrong).verdict == "conforms"
    judgement = judge_second_order(case, wrong)
    assert judgement.raised is None, judgement.raised
    assert judgement.diagnosis.explanations == ((name,),)
    lines = render(judgement, "rerun").splitlines()
    assert lines[0] == f"second-order gradients of {case.id}"
    assert len(lines) <= 25


def test_wrong_gradients_explain_wrong_second_order_ones(subject):
    if subject.generation < 3:
        pytest.skip("the layer is written for Keras 3")
    stop = subject.tensorflow.stop_gradient
    judgement = judge_second_order(space.case(STATES), planted(subject, before_each_step(lambda h, c: (h, stop(c)))))
    assert judgement.raised is None, judgement.raised
    assert judgement.diagnosis.explanations == (("gradients_without_carry",),)
    assert judgement.where == "the gradients of the case are wrong already"


def test_record_speaks_of_second_order_alone(subject):
    if not subject.eager:
        pytest.skip("this Keras computes in predict only")
    covered = [{"layer": "LSTM", "initial_state": "True"}]
    question = "second-order gradients"
    record = Divergence("id", "is", "why", {"keras": ">=2"}, "program", covered, raises="ValueError", question=question)
    case = space.case(STATES)
    assert judge_gradients(case, subject, [record]).verdict == "conforms"
    assert judge_second_order(case, subject, [record]).surprise == AGAINST_THE_RECORD
