"""The drawn data: the same bytes on every NumPy, and nothing alike that could hide a mix-up."""

import hashlib

import numpy as np
import pytest

from conformance import catalogue, space
from conformance.data import draw
from conformance.documented import load_documents
from conformance.training import windows

CASES = {case.id: case for case in (*catalogue.grid("single"), *catalogue.options(), *catalogue.heads())}

#: The sha256 of the bytes of x, weights and initial states, 16 digits of it. These never change: all results rest on
#: them.
FROZEN = {
    "single-functional-B3-T20-D5-U8-sequences_state": "e98cc7d4b2ad851f",
    "bidirectional-functional-B2-T7-D4-U3-initial_state": "351bd34585dba8c9",
    "stack3-functional-B2-T7-D4-U3-float64": "db0defc71c8dec45",
}


#: The same of all calls of cases of the option space: one input, several calls, two inputs.
FROZEN_SPACE = {
    "cell-B3-D2-functional-mirrored-U3-dropout": "247f23fa5c499ade",
    "stack-bidirectional_below-B1-T4-D1-left_padding-layer-call-masking-U3-hard_sigmoid_gates-no_bias-state-backwards-"
    "unroll-zero_output-stateful": "fe7935a398a9ed55",
    "shared-B1-T1-D1-nan_masked-right_padding-initial_state-subclass-predict_on_batch-float64-mask_argument-U1-relu-"
    "hard_sigmoid_gates-no_bias-dropout-implementation1-sequences-backwards-unroll": "7564ffdb375e5980",
}


def digest(arrays):
    little_endian = (array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays)
    return hashlib.sha256(b"".join(little_endian)).hexdigest()


@pytest.mark.parametrize("name", FROZEN)
def test_bytes_are_frozen(name):
    data = draw(CASES[name])
    assert digest([data.x, *data.weights, *data.initial_state])[:16] == FROZEN[name]


@pytest.mark.parametrize("name", FROZEN_SPACE)
def test_bytes_of_the_option_space_are_frozen(name):
    data = draw(space.case(name))
    calls = [array for call in data.calls for array in (*call.x, *call.states)]
    assert digest([*data.weights, *calls])[:16] == FROZEN_SPACE[name]


def test_training_samples_are_frozen():
    program = next(program for document in load_documents() for program in document.training)
    assert digest(windows(program))[:16] == "0c55b689d3821501"


def test_dtype_of_the_case():
    data = draw(CASES["stack3-functional-B2-T7-D4-U3-float64"])
    assert {str(array.dtype) for array in (data.x, *data.weights)} == {"float64"}


@pytest.mark.parametrize("name", FROZEN)
def test_nothing_is_alike(name):
    """No two numbers of an array are equal, so no two gates, units, rows or steps are; and h0 is not c0."""
    data = draw(CASES[name])
    for array in (data.x, *data.weights, *data.initial_state):
        assert len(np.unique(array)) == array.size
        assert (array != 0).all()
    for one, other in zip(data.initial_state[0::2], data.initial_state[1::2]):
        assert (one != other).all()
