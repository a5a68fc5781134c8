"""One layer of Keras, called by hand, and what the reference expects of it."""

from itertools import count
from operator import attrgetter

import numpy as np
import pytest

from conformance.compare import compare
from conformance.subject.build import flat
from reference_impl import Given, estimate


class ByHand:
    """A Keras layer with drawn weights; ``description`` is the same layer in the reference."""

    def __init__(self, subject, description, input_shape, uniform, dtype="float32"):
        if dtype.startswith("mixed_") and not subject.has_mixed_policies:
            pytest.skip("this Keras has no mixed precision, or as an experiment")
        self.subject = subject
        self.description = description
        self.dtype = dtype
        self.layer = subject.layer(description, dtype)
        self.layer.build(input_shape)
        self.weights = [uniform(*shape) for shape in description.weight_shapes(input_shape[-1]).values()]
        self.layer.set_weights(self.weights)

    def __call__(self, x, **given):
        return call(self.subject, self.layer, x, **given)

    def expected(self, *inputs, masks=None, initial_state=()):
        """What the last of several calls returns; each starts from the states that the one before it ended in."""
        masks = masks or [None] * len(inputs)

        def compute(tile, fl):
            states, outputs = tuple(tile(state.astype(np.float64)) for state in initial_state), ()
            for x, mask in zip(inputs, masks):
                given = Given(states, None if mask is None else tile(mask), fl)
                outputs, states, _ = self.description.run(tile(x.astype(np.float64)), self.weights, given)
            return outputs

        return estimate(compute, self.dtype.replace("mixed_", ""), seed=0)


def call(subject, layer, x, **given):
    """What a layer or a model returns for x, its arrays in a row; masks and states are given as tensors."""
    if not subject.eager:
        pytest.skip("this Keras does not compute eagerly")
    tensors = {name: subject.tensors(value) for name, value in given.items()}
    return [subject.to_numpy(array) for array in flat(layer(subject.tensors(x), **tensors))]


def part_of(owner, path, of=""):
    """What Keras, or a part of it that a skip names by ``of``, has at a path; without it a test is skipped."""
    try:
        return attrgetter(path)(owner)
    except AttributeError:
        pytest.skip(f"this Keras has no {of}{path}")


def agree(arrays, expected):
    """Hold arrays to estimates, in their order."""
    for number, comparison in enumerate(comparisons(arrays, expected)):
        worst, ratio = comparison.worst, comparison.ratio
        actual, wanted = comparison.actual[worst], comparison.expected[worst]
        assert comparison.agrees, f"array {number} is {actual} at {worst}, not {wanted}: ratio {ratio:.3g}"


def equal(arrays, expected, names=None):
    """Hold arrays to others bit by bit, in their order; ``names`` are what a failure calls them."""
    assert len(arrays) == len(expected), f"there are {len(arrays)} arrays, not {len(expected)}"
    for name, array, wanted in zip(names or map("array {}".format, count()), arrays, expected):
        assert array.shape == wanted.shape, f"{name} has the shape {array.shape}, not {wanted.shape}"
        unequal = np.argwhere(array != wanted).tolist()
        if unequal:
            place = tuple(unequal[0])
            raise AssertionError(f"{name} is {array[place]} at {place}, not {wanted[place]}")


def matches(arrays, expected):
    """Whether arrays are what is estimated."""
    return all(comparison.agrees for comparison in comparisons(arrays, expected))


def near(found, expected):
    """Whether float32 numbers are equal, as far as it tells numbers of the size of the largest apart.

    A small one among them may be the difference of large ones, and is off by a rounding of theirs.
    """
    size = np.abs(expected).max()
    return np.allclose(2.0 * size + found, 2.0 * size + expected)


def comparisons(arrays, expected):
    shapes, wanted = [array.shape for array in arrays], [one.value.shape for one in expected]
    assert shapes == wanted, f"the shapes are {shapes}, not {wanted}"
    return [compare("array", one, array) for one, array in zip(expected, arrays)]
