"""What sequences are before a model sees them: padded to one length, or cut out of a long one as windows."""

import numpy as np
import pytest

NAME = "timeseries_dataset_from_array"
WORDS = [[1, 2, 3], [], [4], [5, 6, 7, 8, 9]]


@pytest.fixture
def pad(subject):
    keras = subject.keras
    return keras.preprocessing.sequence.pad_sequences if hasattr(keras, "preprocessing") else keras.utils.pad_sequences


@pytest.fixture
def windows(subject):
    """The batches of a data set of windows, each as NumPy arrays."""
    keras = subject.keras
    owner = next((one for one in (keras.utils, keras.preprocessing) if hasattr(one, NAME)), None)
    if owner is None or not subject.eager:
        pytest.skip("this Keras cuts no windows out of arrays, or data sets cannot be looked into")

    def windows(*arguments, **given):
        batches = getattr(owner, NAME)(*arguments, **given)
        return [[part.numpy() for part in (batch if isinstance(batch, tuple) else (batch,))] for batch in batches]

    return windows


def padded(sequence, length, padding, truncating, value):
    """As documented: too long a sequence loses its beginning or its end, too short a one is filled up there."""
    kept = sequence[max(len(sequence) - length, 0) :] if truncating == "pre" else sequence[:length]
    filling = [value] * (length - len(kept))
    return filling + kept if padding == "pre" else kept + filling


@pytest.mark.parametrize("length", [None, 1, 3, 7])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("padding", ["pre", "post"])
def test_sequences_are_padded(pad, padding, truncating, length):
    found = pad(WORDS, maxlen=length, padding=padding, truncating=truncating, value=-1)
    expected = [padded(words, length or 5, padding, truncating, -1) for words in WORDS]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int32


def test_padding_is_zero_and_comes_first(pad):
    """Where nothing is said; of sentences too long the last words are kept."""
    np.testing.assert_array_equal(pad(WORDS, 4), [[0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 0, 4], [6, 7, 8, 9]])


def test_steps_of_several_features_are_padded(pad, uniform):
    series = [uniform(length, 2) for length in (3, 1, 2)]
    found = pad(series, padding="post", dtype="float32", value=0.5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [np.vstack([x, np.full((3 - len(x), 2), 0.5, "float32")]) for x in series])


#: Arguments, and the first data point of each window of 3 out of 11.
CUT = {
    "each": ({}, range(9)),
    "stride": ({"sequence_stride": 3}, range(0, 9, 3)),
    "rate": ({"sampling_rate": 2}, range(7)),
    "rate_of_three": ({"sampling_rate": 3, "sequence_stride": 2}, range(0, 5, 2)),
    "from": ({"start_index": 4}, range(4, 9)),
    "until": ({"end_index": 8}, range(6)),
    "between": ({"start_index": 2, "end_index": 10, "sampling_rate": 2, "sequence_stride": 2}, range(2, 6, 2)),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("cut", CUT)
def test_windows(windows, cut):
    """A window has every so many data points and the target of its first; the last window is the last that is whole."""
    given, starts = CUT[cut]
    data, rate = np.arange(11), given.get("sampling_rate", 1)
    x, y = map(np.concatenate, zip(*windows(data, 10 * data, 3, batch_size=2, **given)))
    np.testing.assert_array_equal(x, [[start + rate * step for step in range(3)] for start in starts])
    np.testing.assert_array_equal(y, [10 * start for start in starts])


@pytest.mark.usefixtures("eager")
def test_windows_forecast_what_comes_next(windows, uniform):
    """As in the documentation, which gives as targets the data without their first three."""
    data = uniform(9, 2)
    found = windows(data[:-3], data[3:], 3, batch_size=3)
    assert [len(x) for x, _ in found] == [3, 1]
    x, y = map(np.concatenate, zip(*found))
    np.testing.assert_array_equal(x, [data[start : start + 3] for start in range(4)])
    np.testing.assert_array_equal(y, data[3:7])


@pytest.mark.usefixtures("eager")
def test_shuffled_windows_keep_their_targets(windows):
    """Each of them comes once, and equal seeds are one order."""
    data = np.arange(40)
    orders = [
        np.concatenate([y for _, y in windows(data, 10 * data, 3, shuffle=True, seed=seed)]) for seed in (1, 1, 2)
    ]
    for x, y in windows(data, 10 * data, 3, shuffle=True, seed=1):
        np.testing.assert_array_equal(10 * x[:, 0], y)
    np.testing.assert_array_equal(orders[0], orders[1])
    assert any(orders[0] != np.sort(orders[0])), "they are in their old order"
    assert any(orders[0] != orders[2]), "the seed makes no difference"
    np.testing.assert_array_equal(np.sort(orders[0]), 10 * np.arange(38))
