"""What a subject drops at inference is found in what it returns, and nothing else is taken for dropping."""

import numpy as np
import pytest

from conformance import space
from conformance.compare import largest_ratio
from conformance.data import draw, seed
from conformance.diagnosis import diagnose
from conformance.discrimination import TRUSTED, distances
from conformance.expected import expected_outputs, returned
from conformance.faults import FAULTS, applied
from conformance.faults.dropout import entries, with_masks
from reference_impl import Estimate
from reference_impl.rounding import round_to

NAME = "dropout_at_inference"
LSTM = "lstm-B3-T4-D2-functional-call-U3-{}sequences"

#: Masks shared by the gates and their own; of one cell and of several; one call and several, with states carried over.
CASES = (
    LSTM.format("dropout-"),
    LSTM.format("dropout-implementation1-"),
    LSTM.format("recurrent_dropout-"),
    LSTM.format("recurrent_dropout-").replace("T4", "T1").replace("functional", "initial_state-functional"),
    LSTM.format("recurrent_dropout-") + "-stateful",
    LSTM.format("dropout-").replace("T4", "open_steps"),
    "lstm-B3-T4-D2-masked_row-functional-call-float64-mask_argument-U3-dropout-last",
    "cell-B3-D2-functional-predict_batches-float64-U1-linear-tanh_gates-dropout",
    "rnn-B3-T4-D2-functional-call-U3-dropout-state-backwards",
    "cells-two_cells-B3-T4-D2-functional-call-U1-dropout-sequences",
    "stack-two_layers-B3-T4-D2-functional-call-U1-dropout-sequences_state",
    "bidirectional-B3-T4-D2-functional-call-U3-dropout-sequences_state",
    "encoder_decoder-B3-T4-D2-functional-call-U3-dropout-sequences",
    "shared-B3-T4-D2-functional-call-U3-dropout-last",
)

each_case = pytest.mark.parametrize("case", list(map(space.case, CASES)), ids=lambda case: case.id)


def dropping(case, share):
    """What a subject returns that drops about this share of all entries, and what is right."""
    data, random = draw(case), np.random.RandomState(seed(case.id) + 1)
    right = list(expected_outputs(case, data).values())
    for number in range(len(case.calls)):
        data = with_masks(case, data, number, random.random_sample((case.batch, entries(case))) < share)
    return [round_to(output, case.compute_dtype) for output in returned(case, data)], right


def agrees(case, outputs, right):
    """Whether something that may have been dropped explains the outputs."""
    like = [Estimate(own, one.tolerance) for own, one in zip(outputs, right)]
    found = expected_outputs(*applied([NAME], case, draw(case), like)).values()
    return largest_ratio(list(found), outputs) <= 1.0


@each_case
def test_what_was_dropped_is_found_and_named(case):
    outputs, right = dropping(case, 0.5)
    assert agrees(case, outputs, right)
    assert diagnose(case, draw(case), outputs, right).explanations == ((NAME,),)


@each_case
def test_to_keep_all_entries_is_not_dropping(case):
    """They are times 1/(1 - rate)."""
    outputs, right = dropping(case, 0.0)
    assert not agrees(case, outputs, right)
    assert largest_ratio(right, outputs) > TRUSTED


@each_case
def test_the_hardest_to_tell_can_be_told(case):
    assert distances(case)[NAME] > TRUSTED


@pytest.mark.parametrize("name", CASES[:3])
def test_no_other_fault_is_taken_for_dropping(name):
    """Unless it returns the same: to ignore the recurrent kernel is to drop all of h."""
    case = space.case(name)
    data = draw(case)
    right = list(expected_outputs(case, data).values())
    for fault in set(FAULTS) - {NAME, "recurrent_kernel_ignored"}:
        outputs = [round_to(output, case.compute_dtype) for output in returned(*applied([fault], case, data))]
        assert largest_ratio(right, outputs) <= 1.0 or not agrees(case, outputs, right), fault


@pytest.mark.parametrize("options", ["float16-U3-dropout", "U3", "U3-recurrent_dropout"])
def test_where_it_cannot_be_told_it_is_not_tried(options):
    """In half precision, without dropout, of more entries than can be gone through."""
    kind = "lstm" if "recurrent" not in options else "bidirectional"
    case = space.case(f"{kind}-B3-T4-D2-functional-call-{options}-sequences")
    assert not FAULTS[NAME].where(case)
    assert FAULTS[NAME].of_data(case, draw(case)).calls[0].dropout == ()
