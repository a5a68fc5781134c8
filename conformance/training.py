"""Judging a documented training program: what it trained must be what its weights say."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List, Tuple

import numpy as np

from conformance.case import Case
from conformance.compare import compare
from conformance.data import Data, draw, seed
from conformance.documented import Training
from conformance.expected import expected_outputs
from conformance.judge import Check, Judgement
from conformance.subject import Subject
from reference_impl import Estimate, Model, estimate
from reference_impl.losses import mean_squared_error
from reference_impl.rounding import FEWEST_COPIES, Exact
from reference_impl.types import Array

DTYPE = "float32"


def judge_training(program: Training, subject: Subject) -> Judgement:
    """Run a program and hold its predictions and its last epoch's loss to the reference with the weights it had."""
    x, y = windows(program)
    batch, steps, features = x.shape
    model = Model(program.layers)
    case = Case(program.id, model, batch, steps, features, api="input_shape", mode="predict", dtype=DTYPE)
    data = replace(draw(case), x=x)
    try:
        trained = subject.train(case, program, data, y)
    except Exception as error:  # whatever Keras raises is what it did with the program
        return Judgement(case, subject.environment, raised=error)
    predicted = expected_outputs(case, Data(x, trained.weights, []))["output"]
    loss = last_epoch_loss(case, program, x, y, trained.last_epoch_weights)
    figures = program.figures
    checks = (
        Check("documented windows", figures.windows, len(x)),
        Check("documented parameters", figures.parameters, trained.parameters),
        Check("documented output", figures.output, trained.predictions.shape),
        Check("epochs", program.epochs, len(trained.losses)),
    )
    comparisons = (
        compare("predictions", predicted, trained.predictions),
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
    """The mean over all windows of the squared error, each batch with the weights it met; shape (1,)."""
    batches = [slice(start, start + program.batch_size) for start in range(0, len(x), program.batch_size)]

    def compute(tile: Callable[[Array], Array], fl: Exact) -> List[Array]:
        total = np.zeros(FEWEST_COPIES + 1)
        for batch, own in zip(batches, weights):
            tiled_x, tiled_y = tile(x[batch].astype(np.float64)), tile(y[batch].astype(np.float64))
            (predicted,) = case.model(tiled_x, [w.astype(np.float64) for w in own], fl=fl)
            squares = mean_squared_error(tiled_y, predicted, fl)
            total = fl(total + fl(squares.reshape((FEWEST_COPIES + 1, -1)).sum(axis=1)))
        return [fl(total / y.size)]

    return estimate(compute, case.dtype, seed(case.id), FEWEST_COPIES)[0]
