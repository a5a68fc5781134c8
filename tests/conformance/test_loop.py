"""The loop ``backend.rnn`` with a step of one's own.

In Keras 2 layers run their cells in it; Keras 3 keeps it for old code (``keras/src/legacy/backend.py``) beside the loop
of its layers, which is asked through them.

The step halves its state, adds what it reads, and returns twice that. On the integers it is given that is exact, so
what comes out must be that of the reference's scan, bit by bit.
"""

import inspect

import numpy as np
import pytest
from by_hand import equal, part_of

from reference_impl.scan import scan

pytestmark = pytest.mark.usefixtures("eager")

BATCH, STEPS, WIDTH = 3, 4, 2
GAPS = np.array([[True, True, True, False], [False, True, False, True], [True, True, False, False]])
UNROLL = pytest.mark.parametrize("unroll", [False, True], ids=["scan", "unroll"])
GO_BACKWARDS = pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
MASKED = pytest.mark.parametrize(
    ("mask", "zero_output_for_mask"),
    [(None, False), (GAPS, False), (GAPS, True)],
    ids=["unmasked", "repeated", "zero_output"],
)


def halve(x, states, *constants):
    total = 0.5 * states[0] + x + sum(constants)
    return 2.0 * total, [total]


@pytest.fixture
def loop(subject):
    """Run a step over x from the state zero: the last output, all that are returned, and the last state, as arrays."""
    rnn = part_of(subject.keras, "backend.rnn")

    def loop(step, x, in_a_function=False, mask=None, **arguments):
        unknown = set(arguments) - set(inspect.signature(rnn).parameters)
        if unknown:
            pytest.skip(f"backend.rnn of this Keras has no {', '.join(unknown)}")
        state = subject.tensors(np.zeros((BATCH, WIDTH), "float32"))
        mask = None if mask is None else subject.tensors(mask)

        def run():
            return rnn(step, subject.tensors(x), [state], mask=mask, **arguments)

        last, outputs, states = (subject.tensorflow.function(run) if in_a_function else run)()
        return [subject.to_numpy(array) for array in (last, outputs, *states)]

    return loop


def scanned(x, *constants, **arguments):
    """What the reference's scan makes of it."""

    def step(x_t, states):
        output, new = halve(x_t, states, *constants)
        return output, tuple(new)

    outputs, (state,) = scan(step, x, (np.zeros((BATCH, WIDTH)),), **arguments)
    return outputs[:, -1], outputs, state


def hold(found, expected):
    equal(found, expected, names=("last output", "array of outputs", "last state"))


@UNROLL
@GO_BACKWARDS
@MASKED
@pytest.mark.parametrize("time_major", [False, True], ids=["batch_first", "steps_first"])
def test_loop(loop, integers, unroll, go_backwards, mask, zero_output_for_mask, time_major):
    x = integers(BATCH, STEPS, WIDTH)
    reading = {"go_backwards": go_backwards, "zero_output_for_mask": zero_output_for_mask}

    def turned(array):
        return array.swapaxes(0, 1) if time_major and array is not None else array

    how = {"mask": turned(mask), "unroll": unroll, "time_major": time_major}
    last, outputs, state = loop(halve, turned(x), **how, **reading)
    hold((last, turned(outputs), state), scanned(x, mask=mask, **reading))


@UNROLL
@MASKED
def test_loop_that_returns_the_last_output(loop, integers, unroll, mask, zero_output_for_mask):
    """The others are not kept; an axis of one step is left of them."""
    x, masking = integers(BATCH, STEPS, WIDTH), {"mask": mask, "zero_output_for_mask": zero_output_for_mask}
    last, outputs, state = scanned(x, **masking)
    found = loop(halve, x, unroll=unroll, return_all_outputs=False, **masking)
    hold(found, (last, outputs[:, -1:], state))


@UNROLL
@MASKED
def test_loop_with_constants(subject, loop, integers, unroll, mask, zero_output_for_mask):
    """What every step is given beside the states comes after them."""
    x, constant = integers(BATCH, STEPS, WIDTH), integers(BATCH, WIDTH)

    def step(x_t, states):
        return halve(x_t, states[:1], *states[1:])

    masking = {"mask": mask, "zero_output_for_mask": zero_output_for_mask}
    found = loop(step, x, unroll=unroll, constants=[subject.tensors(constant)], **masking)
    hold(found, scanned(x, constant, **masking))


@UNROLL
@GO_BACKWARDS
def test_loop_of_two_inputs(loop, integers, unroll, go_backwards):
    """Each step is given the two of its time."""
    x, y = integers(BATCH, STEPS, WIDTH), integers(BATCH, STEPS, 1)

    def step(both, states):
        return halve(both[0] - both[1], states)

    found = loop(step, (x, y), unroll=unroll, go_backwards=go_backwards)
    hold(found, scanned(x - y, go_backwards=go_backwards))


@UNROLL
@GO_BACKWARDS
@pytest.mark.parametrize("lengths", [(4, 2, 3), (3, 1, 2)], ids=["longest_is_whole", "none_is_whole"])
@pytest.mark.parametrize("where", ["eagerly", "in_a_function"])
def test_loop_over_lengths(subject, loop, integers, unroll, go_backwards, lengths, where):
    """Without a mask, the steps from the length of a sequence on are masked."""
    x, mask = integers(BATCH, STEPS, WIDTH), np.arange(STEPS) < np.array(lengths)[:, np.newaxis]
    how = {"unroll": unroll, "input_length": subject.tensors(np.array(lengths, "int32"))}
    found = loop(halve, x, where == "in_a_function", go_backwards=go_backwards, **how)
    hold(found, scanned(x, mask=mask, go_backwards=go_backwards))
