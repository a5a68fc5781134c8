"""What is asked of models that learn, such as that of the fixture ``learner``: one output for each sequence."""

import numpy as np

SAMPLES, STEPS, FEATURES, UNITS = 8, 3, 2, 2

#: An argument of ``compile``: it runs eagerly, which is nothing to what is asked.
EAGERLY = {"run_eagerly": True}

#: Arguments of ``fit``: all samples in one batch.
WHOLE = {"batch_size": SAMPLES, "shuffle": False, "verbose": 0}

#: Metrics, from targets and predictions.
METRICS = {
    "BinaryAccuracy": lambda y, p: ((p > 0.5) == y).mean(),
    "Precision": lambda y, p: y[p > 0.5].mean(),
    "Recall": lambda y, p: (p[y == 1.0] > 0.5).mean(),
    "RootMeanSquaredError": lambda y, p: np.sqrt(((p - y) ** 2).mean()),
}


def differences(model, x, y):
    return (model.predict_on_batch(x) - y)[:, 0]


def squares(model, x, y):
    return differences(model, x, y) ** 2


def same(some, others):
    return all(map(np.array_equal, some, others))


def rates(model, x, y, steps, between=None):
    """The rate of each step: how far it moves the bias of the head, which is 0 before, by its gradient 2·Σ(p - y)/n."""
    start, found = model.get_weights(), []
    gradient = 2.0 * differences(model, x, y).mean()
    for step in range(steps):
        if between:
            between(step)
        model.set_weights(start)
        model.train_on_batch(x, y)
        found.append(float(-model.get_weights()[-1][0] / gradient))
    return found


def keeping(subject, model):
    """The weights at the end of each epoch, and the callback that keeps them."""
    kept = []
    keep = subject.keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    return kept, keep


def forgetting(subject, model):
    """A callback that begins each epoch from the weights that the model has now."""
    start = model.get_weights()
    return subject.keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: model.set_weights(start))
