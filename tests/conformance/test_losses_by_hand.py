"""Losses and metrics that are called by hand; see ``test_training`` for those that a model learns by."""

import inspect

import numpy as np
import pytest
from learning import METRICS

pytestmark = pytest.mark.usefixtures("eager")

Y, P = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], "float32"), np.array([[0.2, 0.7, 0.1], [0.5, 0.2, 0.3]], "float32")


def cost(subject, loss, *arrays):
    return subject.to_numpy(loss(*map(subject.tensors, arrays)))


def test_a_certain_mistake_costs_what_epsilon_costs(subject):
    """A probability of 0 where 1 is right is clipped to ε = 1e-7: -log ε = 16.1."""
    loss = subject.keras.losses.BinaryCrossentropy()
    found = float(cost(subject, loss, np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")))
    assert np.isclose(found, -np.log(1e-7)), f"a probability of 0 costs {found:.4g}"


def test_logits_have_the_gradient_of_the_loss_whatever_targets_sum_to(subject):
    """ℓ = -Σ y·log softmax(z), so ∂ℓ/∂z = softmax(z)·Σy - y."""
    if subject.tensorflow is None:
        pytest.skip("gradients are TensorFlow's here")
    tensorflow, loss = subject.tensorflow, subject.keras.losses.CategoricalCrossentropy(from_logits=True)
    z, y = tensorflow.constant([[0.0, 0.0]]), tensorflow.constant([[1.0, 1.0]])
    with tensorflow.GradientTape() as tape:
        tape.watch(z)
        found = loss(y, z)
    assert np.isclose(float(found), 2.0 * np.log(2.0))
    gradient = subject.to_numpy(tape.gradient(found, z))
    assert np.allclose(gradient, 0.0), f"the gradient is {gradient}, not p·Σy - y"


#: Other losses of a sample, from targets and predictions between 0 and 1.
FORMULAS = {
    "CosineSimilarity": lambda y, p: -(y * p).sum(-1) / np.sqrt((y**2).sum(-1) * (p**2).sum(-1)),
    "KLDivergence": lambda y, p: (y * np.log(y / p)).sum(-1),
    "LogCosh": lambda y, p: np.log(np.cosh(p - y)).mean(-1),
    "MeanAbsolutePercentageError": lambda y, p: 100.0 * np.abs(1.0 - p / y).mean(-1),
    "MeanSquaredLogarithmicError": lambda y, p: ((np.log1p(y) - np.log1p(p)) ** 2).mean(-1),
    "Poisson": lambda y, p: (p - y * np.log(p)).mean(-1),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_loss_is_the_mean_of_its_formula(subject, uniform, name):
    y, p = (0.5 * np.abs(uniform(3, 4)) + np.float32(0.125) for _ in range(2))
    found = cost(subject, getattr(subject.keras.losses, name)(), y, p)
    assert np.isclose(found, FORMULAS[name](y, p).mean())


#: Metrics, from all targets and predictions.
OF_ALL = {**METRICS, "MeanAbsoluteError": lambda y, p: np.abs(p - y).mean()}


@pytest.mark.parametrize("name", OF_ALL)
def test_metric_is_that_of_all_batches(subject, uniform, name):
    """Of two, the second smaller; after a reset it is that of the second alone."""
    y, p = np.round(np.abs(uniform(5, 4))), np.abs(uniform(5, 4))
    metric = getattr(subject.keras.metrics, name)()
    for batch in (np.s_[:3], np.s_[3:]):
        metric.update_state(*map(subject.tensors, (y[batch], p[batch])))
    assert np.isclose(subject.to_numpy(metric.result()), OF_ALL[name](y, p))
    (metric.reset_state if hasattr(metric, "reset_state") else metric.reset_states)()
    metric.update_state(*map(subject.tensors, (y[batch], p[batch])))
    assert np.isclose(subject.to_numpy(metric.result()), OF_ALL[name](y[batch], p[batch]))


def test_logits_are_right_from_0_on(subject, uniform):
    y, logits = np.round(np.abs(uniform(5, 4))), uniform(5, 4)
    metric = subject.keras.metrics.BinaryAccuracy(threshold=0.0)
    metric.update_state(subject.tensors(y), subject.tensors(logits))
    assert np.isclose(subject.to_numpy(metric.result()), ((logits > 0.0) == y).mean())


def test_targets_have_weights_of_their_own(subject):
    """Weights of the shape of the targets: Σ(weight · right) / Σ weight."""
    y, p, weights = (np.array([row], "float32") for row in ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 3.0, 0.0]))
    metric = subject.keras.metrics.BinaryAccuracy()
    metric.update_state(subject.tensors(y), subject.tensors(p), sample_weight=subject.tensors(weights))
    found = subject.to_numpy(metric.result())
    assert np.isclose(found, 0.25), f"the accuracy is {found:.4g}, not 0.25"


@pytest.mark.parametrize("weights", [None, np.array([1.0, 3.0, 2.0, 0.5], "float32")], ids=["alike", "weighed"])
def test_area_under_the_curve_is_the_share_of_pairs_in_order(subject, weights):
    """Of all pairs of a 0 and a 1, those in which the 1 is the likelier; a pair weighs w·w' of its two samples."""
    y, p = np.array([0.0, 0.0, 1.0, 1.0], "float32"), np.array([0.1, 0.5, 0.3, 0.9], "float32")
    metric, given = subject.keras.metrics.AUC(), {} if weights is None else {"sample_weight": subject.tensors(weights)}
    metric.update_state(subject.tensors(y), subject.tensors(p), **given)
    zeros, ones = np.split(np.ones(4) if weights is None else weights, 2)
    expected = np.average(p[2:] > p[:2, np.newaxis], weights=np.outer(zeros, ones))
    found = subject.to_numpy(metric.result())
    assert np.isclose(found, expected), f"the area is {found:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("name", ["Precision", "Recall"])
def test_metric_of_one_class_is_weighted(subject, uniform, name):
    """With ``class_id`` it is that of one column, whose samples count as much as they weigh."""
    y, p, weights = np.round(np.abs(uniform(5, 3))), np.abs(uniform(5, 3)), np.float32(1.5) + uniform(5)
    y[0, 1], p[0, 1] = 1.0, 0.75
    metric = getattr(subject.keras.metrics, name)(class_id=1)
    metric.update_state(subject.tensors(y), subject.tensors(p), sample_weight=subject.tensors(weights))
    right, found = y[:, 1] == 1.0, p[:, 1] > 0.5
    expected = weights[right & found].sum() / weights[found if name == "Precision" else right].sum()
    assert np.isclose(subject.to_numpy(metric.result()), expected)


@pytest.mark.parametrize("name", ["SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy"])
def test_right_class_of_each_step_is_among_the_likeliest(subject, uniform, name):
    """Of sequences, targets (batch, T) or (batch, T, classes), it is asked of each step."""
    p, y = uniform(2, 3, 5), np.argsort(uniform(2, 3, 5))[..., 0]
    expected = (np.argsort(p)[..., -2:] == y[..., None]).any(axis=-1).mean()
    metric = getattr(subject.keras.metrics, name)(k=2)
    metric.update_state(
        subject.tensors(y if name.startswith("Sparse") else np.eye(5, dtype="float32")[y]), subject.tensors(p)
    )
    assert np.isclose(subject.to_numpy(metric.result()), expected)


#: Class 2049 is predicted for two samples, right for the second, by float16, which has no 2049.
NUMBERS, CERTAIN = np.array([2048, 2049]), np.eye(2050, dtype="float16")[[2049, 2049]]


def test_number_of_a_class_is_not_rounded(subject):
    loss = subject.keras.losses.SparseCategoricalCrossentropy(reduction="none")
    wrong, right = cost(subject, loss, NUMBERS, CERTAIN)
    assert right < 1.0 < wrong, f"the losses are {wrong:.4g} of the wrong class and {right:.4g} of the right one"


@pytest.mark.parametrize("name", ["SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy"])
def test_number_of_a_class_is_not_rounded_by_a_metric(subject, name):
    metric = getattr(subject.keras.metrics, name)(**{"k": 1} if "TopK" in name else {})
    metric.update_state(subject.tensors(NUMBERS), subject.tensors(CERTAIN))
    found = subject.to_numpy(metric.result())
    assert found == 0.5, f"of two classes {2.0 * found:.0f} are right"


@pytest.mark.parametrize("logits", [False, True], ids=["probabilities", "logits"])
def test_sparse_categorical_crossentropy(subject, logits):
    """Of targets that are numbers of classes it is -log p of the right one."""
    p, y = np.array([[[0.2, 0.8], [0.5, 0.5]], [[0.9, 0.1], [0.4, 0.6]]], "float32"), np.array([[1, 0], [0, 0]])
    loss = subject.keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    assert np.isclose(cost(subject, loss, y, np.log(p) if logits else p), -np.log([0.8, 0.5, 0.9, 0.4]).mean())


def test_targets_of_the_ignored_class_do_not_count(subject):
    """Neither in the sum of losses nor in the number that it is divided by."""
    losses = subject.keras.losses
    if "ignore_class" not in inspect.signature(losses.SparseCategoricalCrossentropy).parameters:
        pytest.skip("this Keras has no ignore_class")
    p, y = np.array([[[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]]], "float32"), np.array([[1, -1, 0]])
    found = cost(subject, losses.SparseCategoricalCrossentropy(ignore_class=-1), y, p)
    assert np.isclose(found, -np.log([0.8, 0.1]).mean())


@pytest.mark.parametrize(("name", "classes"), [("BinaryCrossentropy", 2), ("CategoricalCrossentropy", 3)])
def test_smoothed_labels_are_mixed_with_all_classes_alike(subject, name, classes):
    """With smoothing s, y counts as (1 - s)·y + s/n for n classes, of which binary targets have two."""
    loss = getattr(subject.keras.losses, name)
    found = cost(subject, loss(label_smoothing=0.2), Y, P)
    assert np.isclose(found, cost(subject, loss(), (0.8 * Y + 0.2 / classes).astype("float32"), P))


def test_smoothed_labels_of_classes_on_another_axis(subject):
    """They are mixed with as many classes as that axis has."""
    maker = subject.keras.losses.CategoricalCrossentropy
    if "axis" not in inspect.signature(maker.__init__).parameters:
        pytest.skip("the CategoricalCrossentropy of this Keras has no axis")
    y, p = (np.stack([array, array[::-1]], axis=-1) for array in (Y, P))
    found = cost(subject, maker(label_smoothing=0.2, axis=1), y, p)
    expected = cost(subject, maker(axis=1), (0.8 * y + 0.2 / 3).astype("float32"), p)
    assert np.isclose(found, expected), f"the loss is {found:.4g}, not {expected:.4g}"


@pytest.mark.parametrize("weights", [None, np.array([3.0, 0.5], "float32")], ids=["alike", "weighed"])
def test_losses_of_samples_are_reduced_as_asked(subject, weights):
    """They are added, or left as they are; the mean is over their number and not over the sum of their weights."""
    each = ((P - Y) ** 2).mean(axis=-1) * (1.0 if weights is None else weights)
    given = () if weights is None else (weights,)
    expected = {"sum": each.sum(), "none": each, "sum_over_batch_size": each.mean()}
    for reduction, wanted in expected.items():
        found = cost(subject, subject.keras.losses.MeanSquaredError(reduction=reduction), Y, P, *given)
        assert np.allclose(found, wanted), f"{reduction} is {found}, not {wanted}"


def test_loss_of_float64_is_not_rounded(subject):
    """Where what is predicted is float64; from Keras 3 on where the loss is told so."""
    loss, told = subject.keras.losses.MeanAbsoluteError, {}
    if subject.generation >= 3:
        if "dtype" not in inspect.signature(loss).parameters:
            pytest.skip("losses of this Keras are told no dtype")
        told = {"dtype": "float64"}
    found = cost(subject, loss(**told), np.zeros((2, 1)), np.full((2, 1), 1.0 + 2.0**-30))
    assert found == 1.0 + 2.0**-30, f"the loss is 1 + {found - 1.0:.3g}, not 1 + {2.0**-30:.3g}"


def test_mean_of_losses_by_the_sum_of_weights(subject):
    """As ``reduction="mean_with_sample_weight"``: a sample of weight 3 counts as three of them do."""
    try:
        loss = subject.keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    except ValueError:
        pytest.skip('losses of this Keras have no reduction="mean_with_sample_weight"')
    weights = np.array([3.0, 0.5], "float32")
    expected = np.average(((P - Y) ** 2).mean(axis=-1), weights=weights)
    assert np.isclose(cost(subject, loss, Y, P, weights), expected)
