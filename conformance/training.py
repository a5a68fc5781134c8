"""Judging a documented training program: what it trained must be what its weights say."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List, Tuple

import numpy as np

from conformance.case import Case
from conformance.compare import compare
from conformance.data import Data, Inputs, draw, seed
from conformance.documented import Training
from conformance.expected import expected_outputs
from conformance.judge import Check, Judgement
from conformance.subject import Subject
from reference_impl import Estimate, Model, estimate, exact
from reference_impl.losses import mean_squared_error
from reference_impl.rounding import Rounding, copies_for
from reference_impl.types import Array

DTYPE = "float32"

#: For how many epochs the default tier trains; the full one trains for as many as the document.
EPOCHS = 2

#: Of the predictions, those of every 16th window are compared.
EVERY = 16


def judge_training(program: Training, subject: Subject) -> Judgement:
    """Run a program and hold its predictions and its last epoch's loss to the reference with the weights it had."""
    x, y = windows(program)
    batch, steps, features = x.shape
    model = Model(program.layers)
    case = Case(program.id, model, batch, steps, features, api="input_shape", mode="predict", dtype=DTYPE)
    data = Data((Inputs([x], [None]),), draw(case).weights)
    try:
        trained = subject.train(case, program, data, y)
    except Exception as error:  # whatever Keras raises is what it did with the program
        return Judgement(case, subject.environment, raised=error)
    figures = program.figures
    checks = (
        Check("documented windows", figures.windows, len(x)),
        Check("documented parameters", figures.parameters, trained.parameters),
        Check("documented output", figures.output, trained.predictions.shape),
        Check("epochs", program.epochs, len(trained.losses)),
        Check("batches of the last epoch", -(-len(x) // program.batch_size), len(trained.last_epoch_weights)),
        Check("weights moved", True, all((old != new).any() for old, new in zip(data.weights, trained.weights))),
        Check("loss fell", True, trained.losses[-1] < trained.losses[0]),
    )
    if not all(check.agrees for check in checks):
        return Judgement(case, subject.environment, checks)
    shown = replace(case, batch=len(x[::EVERY]))
    predicted = expected_outputs(shown, Data((Inputs([x[::EVERY]], [None]),), trained.weights))["output"]
    loss = last_epoch_loss(case, program, x, y, trained.last_epoch_weights)
    comparisons = (
        compare("predictions", predicted, trained.predictions[::EVERY]),
        compare("last epoch's loss", loss, np.array(trained.losses[-1:])),
    )
    return Judgement(case, subject.environment, checks, comparisons)


def windows(program: Training) -> Tuple[Array, Array]:
    """The windows of a program's samples, (n, window, 1), and their targets: the ``target_steps`` samples after each.

    A single target is (n, 1), several are (n, target_steps, 1), as the document shapes them.
    """
    samples = np.random.RandomState(seed(program.id)).random_sample((program.samples, 1)).astype(DTYPE)
    starts = range(program.samples - program.window - (program.target_steps if program.target_steps > 1 else 0))
    ends = [start + program.window for start in starts]
    x = np.stack([samples[start:end] for start, end in zip(starts, ends)])
    if program.target_steps == 1:
        return x, np.stack([samples[end] for end in ends])
    return x, np.stack([samples[end : end + program.target_steps] for end in ends])


def last_epoch_loss(case: Case, program: Training, x: Array, y: Array, weights: List[List[Array]]) -> Estimate:
    """The mean over all windows of the squared error, each batch with the weights it met; shape (1,).

    The tolerance is that of the first batch's loss: the mean of many such losses is off by no more than one.
    """
    starts = range(0, len(x), program.batch_size)
    batches = [slice(start, start + program.batch_size) for start in starts]
    total = sum(_squares(case, x[own], y[own], met).sum() for own, met in zip(batches, weights))

    def compute(tile: Callable[[Array], Array], fl: Rounding) -> List[Array]:
        squares = _squares(case, tile(x[batches[0]]), tile(y[batches[0]]), weights[0], fl)
        return [fl(squares.reshape((copies + 1, -1)).mean(axis=1))]

    copies = copies_for(program.batch_size)
    (first,) = estimate(compute, case.dtype, seed(case.id), copies)
    return Estimate(np.array([total / y.size]), first.tolerance)


def _squares(case: Case, x: Array, y: Array, weights: List[Array], fl: Rounding = exact) -> Array:
    """The squared errors of the model with these weights."""
    (predicted,) = case.model(x.astype(np.float64), [w.astype(np.float64) for w in weights], fl=fl)
    return mean_squared_error(y.astype(np.float64), predicted, fl)
