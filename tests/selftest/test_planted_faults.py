"""Keras layers that each have a fault, as somebody might write them, are told which and nothing else."""

import numpy as np
import pytest
from planted import KINDS, PATCHES, planted_class

from conformance import catalogue, space
from conformance.data import draw
from conformance.expected import expected_outputs, returned
from conformance.faults import FAULTS, applied, with_activation
from conformance.judge import judge
from conformance.report.terminal import render
from conformance.subject import Subject
from reference_impl import Estimate

PLAIN = "lstm-B3-T4-D2-functional-call-U3-{}"
GIVEN_STATES = "lstm-B3-T4-D2-initial_state-functional-call-U3-{}"
MASKED = "lstm-B3-T4-D2-right_padding-initial_state-functional-call-mask_argument-U3-{}"
STACK = "stack-two_layers-B3-T4-D2-right_padding-functional-call-masking-U3-{}"
BIDIRECTIONAL = "bidirectional-B3-T4-D2-initial_state-functional-call-U3-sequences_state{}"

#: The case of a fault where it is not the one with everything.
CASES = {
    "mask_not_read_backwards": MASKED.format("sequences_state-backwards"),
    "mask_not_reversed": STACK.format("sequences-backwards"),
    "mask_not_handed_on": STACK.format("sequences"),
    "unmasked_with_states": MASKED.replace("mask_argument", "masking").format("sequences_state"),
    "masked_output_repeated": MASKED.format("sequences_state-zero_output"),
    "first_output_repeats_h0": MASKED.replace("right", "left").format("sequences_state"),
    "zeroed_in_reverse": MASKED.format("sequences_state-backwards-unroll-zero_output"),
    "last_zeroed": MASKED.format("state-zero_output"),
    "last_by_index": MASKED.format("state"),
    "go_backwards_ignored": MASKED.format("sequences_state-backwards"),
    "outputs_in_the_order_of_time": PLAIN.format("sequences-backwards"),
    "first_for_last": PLAIN.format("last"),
    "last_but_one_for_last": PLAIN.format("last"),
    "hard_sigmoid_keras2_for_keras3": PLAIN.format("hard_sigmoid_gates-sequences"),
    "hard_sigmoid_keras3_for_keras2": PLAIN.format("hard_sigmoid_gates-sequences"),
    "sigmoid_for_hard_sigmoid": PLAIN.format("hard_sigmoid_gates-sequences"),
    "sigmoid_for_hard_sigmoid_keras2": PLAIN.format("hard_sigmoid_gates-sequences"),
    "sparsemax_of_summed_sums": "activation-functional-B2-T7-D4-U3-sparsemax",
    "input_gate_for_candidate": PLAIN.format("linear-sequences"),
    "inputs_scaled_by_keep_rate": PLAIN.format("dropout-sequences"),
    "states_scaled_by_keep_rate": PLAIN.format("recurrent_dropout-sequences"),
    "dropout_at_inference": PLAIN.format("recurrent_dropout-sequences"),
    "state_not_carried": PLAIN.format("sequences_state-stateful"),
    "reset_ignored": PLAIN.format("sequences_state-stateful"),
    "state_carried_over": PLAIN.replace("T4", "open_steps").format("sequences_state"),
    "carried_before_given": GIVEN_STATES.format("sequences_state-stateful"),
    "inputs_in_float32": PLAIN.replace("call", "call-float64").format("sequences"),
    **{fault: BIDIRECTIONAL.format("") for fault in PATCHES if not fault.startswith("sums")},
    **{f"merged_by_{mode}": BIDIRECTIONAL.format("-sum") for mode in ("mul", "ave", "concat")},
    "merged_by_sum": BIDIRECTIONAL.format("-mul"),
    "mask_of_slices": "time_distributed-B1-T4-D1-left_padding-layer-call-masking-U1-hard_sigmoid_gates-"
    "recurrent_dropout-sequences-zero_output",
}

#: Cases that the option space does not have.
OPTIONS = {case.id: case for case in catalogue.options()}


#: Faults of a Keras that documents hard_sigmoid as Keras 2 does.
OF_KERAS2 = {"hard_sigmoid_keras3_for_keras2", "sigmoid_for_hard_sigmoid_keras2"}


class AsKeras2(Subject):
    def promised(self, case):
        return with_activation("hard_sigmoid", "hard_sigmoid_keras2")(case)


@pytest.fixture
def named(subject, monkeypatch):
    """Plant faults together and see them named, by the case of the first that has one of its own."""
    if subject.generation < 3:
        pytest.skip("the plants are written for Keras 3")

    def named(*faults):
        subject.keras.utils.set_random_seed(1)  # for what drops by chance
        case_id = next((CASES[fault] for fault in faults if fault in CASES), MASKED.format("sequences_state"))
        case, faulty = OPTIONS.get(case_id) or space.case(case_id), planted(subject, monkeypatch.setattr, faults)
        judgement = judge(case, faulty)
        assert judgement.raised is None, judgement.raised
        assert judgement.verdict == "diverges"
        explanations = judgement.diagnosis.explanations
        assert set(faults) in map(set, explanations)
        assert_all_return_the_same(explanations, faults, faulty.promised(case), judgement.comparisons)
        return judgement

    return named


def planted(subject, plant, faults):
    """A subject with all these faults."""
    for fault in set(faults) & set(PATCHES):
        PATCHES[fault](plant, subject.keras.layers)
    own = {kind: known[fault] for kind, known in KINDS.items() for fault in faults if fault in known}
    lstm = planted_class(subject, **own) if own else None
    kind = AsKeras2 if OF_KERAS2 & set(faults) else Subject
    return kind(subject.flavour, subject.keras, lstm, "planted")


def assert_all_return_the_same(explanations, faults, case, comparisons):
    """No name is wrong: what is named beside the faults themselves returns the same numbers in this case."""
    data, ordered = draw(case), sorted(faults, key=list(FAULTS).index)
    like = [Estimate(one.actual, one.tolerance) for one in comparisons]
    numbers = expected_outputs(*applied(ordered, case, data, like)).values()
    for names in explanations:
        for own, other in zip(numbers, returned(*applied(names, case, data, like))):
            assert np.all(np.abs(other - own.value) <= own.tolerance), f"{names} returns other numbers"


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_named(fault, named):
    named(fault)


PAIRS = (
    ("gates_ifoc", "mask_ignored"),
    ("gates_iofc", "h_c_exchanged_given"),
    ("gates_ifoc", "candidate_not_activated"),
    ("bias_missing", "mask_late"),
    ("bias_twice", "h0_ignored"),
    ("kernel_rows_reversed", "go_backwards_always"),
    ("recurrent_kernel_transposed", "masked_output_zero"),
    ("forget_bias_again", "c0_ignored"),
    ("candidate_not_activated", "mask_inverted"),
    ("output_not_activated", "initial_state_ignored"),
    ("hard_sigmoid_keras3_for_sigmoid", "inputs_late"),
)


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_planted_pair_is_named(pair, named):
    named(*pair)


def test_report_says_which_half_is_wrong(named):
    report = render(named("backward_output_not_turned"), "")
    assert "first [batch row 0, time step 0, backward unit 0]" in report
