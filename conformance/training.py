"""Judging a documented training program: every step must be the reference's, and the end what the weights say.

::

    python -m conformance.training        writes fixtures/training.json, the spread that rounding gives each run

The reference trains from the same weights on the same batches. What rounding makes of that is known from perturbed
runs, which take minutes and are therefore frozen.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from math import ceil
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np

from conformance.case import Case
from conformance.command import parser
from conformance.compare import Comparison, compare
from conformance.data import Data, Inputs, draw, seed
from conformance.documented import Training, load_documents
from conformance.expected import expected_outputs
from conformance.fitted import DTYPE, known_to, roundings, spread_of
from conformance.fixtures import FIXTURES
from conformance.judge import Check, Judgement
from conformance.observation import Trained
from conformance.subject import Subject, by_chance, fitted
from conformance.trajectories import explained_by_model
from reference_impl import Estimate, Model, estimate, exact
from reference_impl.losses import MeanSquaredError
from reference_impl.optimizers import Adam
from reference_impl.rounding import Rounding, copies_for
from reference_impl.training import Compiled, Fitted, Samples
from reference_impl.types import Array

#: For how many epochs the default tier trains; the full one trains for as many as the document.
EPOCHS = 2

#: What the documents compile with, by the names they use.
LOSSES = {"mse": MeanSquaredError()}
OPTIMIZERS = {"adam": Adam()}

#: Perturbed runs from which the spread of a training run is known.
RUNS = 8

#: Where a documented program goes wrong whose model does not; only small programs can be asked for each fault.
UNTOLD = (
    "outputs and gradients of the model are right, training is not; tests/conformance/test_training.py has its parts"
)

SPREADS = FIXTURES / "training.json"

#: Of the predictions, those of every 16th window are compared.
EVERY = 16


def judge_training(program: Training, subject: Subject) -> Judgement:
    """Run a program and hold every batch's loss and the weights to the reference's own run.

    Its predictions and its last epoch's loss are held to the reference with the weights it had, too.
    """
    x, y = windows(program)
    case = case_of(program, x)
    data = Data((Inputs([x], [None]),), draw(case).weights)
    unsupported = by_chance(subject, program.optimizer)
    if unsupported:
        return Judgement(case, subject.environment, unsupported=unsupported)
    try:
        trained = fitted(subject, case, program, data, y)
    except Exception as error:  # whatever Keras raises is what it did with the program
        return Judgement(case, subject.environment, raised=error)
    checks = _checks(program, len(x), data.weights, trained)
    if not all(check.agrees for check in checks):
        return Judgement(case, subject.environment, checks)
    shown = replace(case, batch=len(x[::EVERY]))
    predicted = expected_outputs(shown, Data((Inputs([x[::EVERY]], [None]),), trained.weights[-1]))["output"]
    loss = last_epoch_loss(case, program, x, y, trained.last_epoch_weights)
    comparisons = (
        *_steps(case, program, data, y, trained),
        compare("predictions", predicted, trained.predictions[::EVERY]),
        compare("last epoch's loss", loss, np.array(trained.losses[-1:])),
    )
    judgement = Judgement(case, subject.environment, checks, comparisons)
    if judgement.agrees:
        return judgement
    of_model = explained_by_model(judgement, replace(case, batch=program.batch_size, mode="call"), subject)
    return of_model or replace(judgement, where=UNTOLD)


def _checks(program: Training, windows: int, start: Sequence[Array], trained: Trained) -> Tuple[Check, ...]:
    """What the document prints, how much was trained, and that it did something."""
    figures, batches = program.figures, ceil(windows / program.batch_size)
    moved = all((old != new).any() for old, new in zip(start, trained.weights[-1]))
    return (
        Check("documented windows", figures.windows, windows),
        Check("documented parameters", figures.parameters, trained.parameters),
        Check("documented output", figures.output, trained.predictions.shape),
        Check("epochs", program.epochs, len(trained.losses)),
        Check("batches", batches * program.epochs, len(trained.batch_losses)),
        Check("batches of the last epoch", batches, len(trained.last_epoch_weights)),
        Check("weights moved", True, moved),
        Check("loss fell", True, trained.losses[-1] < trained.losses[0]),
    )


def _steps(case: Case, program: Training, data: Data, y: Array, trained: Trained) -> List[Comparison]:
    """The loss after every batch, and the weights after the first epoch and the last."""
    fitted = reference_fit(program, data.x, y, data.weights)
    spread = frozen_spreads()[program.id]
    losses = np.reshape(fitted.means, (program.epochs, -1))
    printed = zip(losses, np.reshape(trained.batch_losses, losses.shape))
    comparisons = [
        compare(f"loss after each batch of epoch {epoch + 1}", known_to(right, spread["losses"][epoch]), actual)
        for epoch, (right, actual) in enumerate(printed)
    ]
    for epoch in sorted({0, program.epochs - 1}):
        after = zip(chain(*case.weight_names), fitted.weights[epoch], trained.weights[epoch], spread["weights"][epoch])
        comparisons += [
            compare(f"weight {number}, {name}, after epoch {epoch + 1}", known_to(right, sigma), actual)
            for number, (name, right, actual, sigma) in enumerate(after, 1)
        ]
    return comparisons


def reference_fit(program: Training, x: Array, y: Array, weights: Sequence[Array], fl: Rounding = exact) -> Fitted:
    """The reference's own run of a program."""
    compiled = Compiled(Model(program.layers), LOSSES[program.loss], OPTIMIZERS[program.optimizer])
    samples = Samples(x.astype(np.float64), y.astype(np.float64))
    start = [weight.astype(np.float64) for weight in weights]
    return compiled.fit(samples, start, program.batch_size, program.epochs, fl)


@lru_cache(maxsize=None)
def frozen_spreads() -> Dict[str, Any]:
    """By program and epoch: σ of what is printed after a batch, and of each weight after the epoch; the largest."""
    spreads: Dict[str, Any] = json.loads(SPREADS.read_text(encoding="utf-8"))
    return spreads


def spreads(program: Training) -> Dict[str, Any]:
    """What ``frozen_spreads`` has of a program, from perturbed runs."""
    x, y = windows(program)
    weights = draw(case_of(program, x)).weights
    right = reference_fit(program, x, y, weights)
    runs = [reference_fit(program, x, y, weights, fl) for fl in roundings(program.id, RUNS)]
    shown = [np.reshape(run.means, (program.epochs, -1)) for run in (right, *runs)]
    return {
        "losses": [spread_of(own, [run[epoch] for run in shown[1:]]) for epoch, own in enumerate(shown[0])],
        "weights": [
            [spread_of(own, [run.weights[epoch][number] for run in runs]) for number, own in enumerate(after)]
            for epoch, after in enumerate(right.weights)
        ],
    }


def case_of(program: Training, x: Array) -> Case:
    """A program's model and its data as a case, whose id draws the weights it starts from."""
    batch, steps, features = x.shape
    model = Model(program.layers)
    return Case(program.id, model, batch, steps, features, api="input_shape", mode="predict", dtype=DTYPE)


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
    return MeanSquaredError()(y.astype(np.float64), predicted, fl)


def main() -> None:
    parser("conformance.training", __doc__).parse_args()
    programs = [program for document in load_documents() for program in document.training]
    SPREADS.write_text(json.dumps({program.id: spreads(program) for program in programs}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
