"""Small training runs: each loss and optimizer once, on every kind of model, held to the reference's own run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Tuple

import numpy as np

from conformance.case import Case
from conformance.compare import Comparison
from conformance.data import draw, seed
from conformance.judge import Check, Judgement
from conformance.subject import Subject
from conformance.training import held, printed_losses, spread_of
from reference_impl import LSTM, Bidirectional, Dense, Layer, Masking, Model
from reference_impl.losses import Huber, Loss, MeanAbsoluteError, MeanSquaredError
from reference_impl.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from reference_impl.rounding import FORMATS, OneCopy, Rounding, exact
from reference_impl.training import Fitted, fit
from reference_impl.types import Array

BATCH, BATCHES, EPOCHS, STEPS, FEATURES = 4, 3, 2, 5, 2
DTYPE = "float32"

#: Perturbed runs from which the spread of a run is known.
RUNS = 16

LOSSES: Dict[str, Loss] = {"mse": MeanSquaredError(), "mae": MeanAbsoluteError(), "huber": Huber()}


@dataclass(frozen=True)
class Program:
    """A model, and how it is compiled; ``optimizer`` is the reference's, whose arguments are Keras's."""

    id: str
    layers: Tuple[Layer, ...]
    loss: str
    optimizer: Optimizer

    @property
    def case(self) -> Case:
        model = Model(self.layers)
        stateful = any(layer.stateful for layer in self.layers)
        mask = "gaps" if isinstance(self.layers[0], Masking) else ""
        rows = BATCH if stateful else BATCH * BATCHES
        return Case(self.id, model, rows, STEPS, FEATURES, api="sequential", dtype=DTYPE, mask=mask)


LAST = (LSTM(3), Dense(2))
SEQUENCE = (LSTM(3, return_sequences=True), Dense(2))
STACK = (LSTM(4, return_sequences=True), LSTM(3), Dense(2))

PROGRAMS = (
    Program("trains-sgd", LAST, "mse", SGD(learning_rate=0.1)),
    Program("trains-momentum-sequence", SEQUENCE, "mae", SGD(learning_rate=0.1, momentum=0.9)),
    Program("trains-nesterov-stack", STACK, "huber", SGD(learning_rate=0.1, momentum=0.9, nesterov=True)),
    Program("trains-rmsprop-masked", (Masking(0.5), *LAST), "mse", RMSprop(learning_rate=0.01)),
    Program("trains-rmsprop-centered", LAST, "mse", RMSprop(learning_rate=0.01, momentum=0.9, centered=True)),
    Program("trains-adam-bidirectional", (Bidirectional(LSTM(3)), Dense(2)), "mse", Adam(learning_rate=0.01)),
    Program("trains-amsgrad-unroll", (LSTM(3, unroll=True), Dense(2)), "mse", Adam(learning_rate=0.01, amsgrad=True)),
    Program("trains-adamw", LAST, "mse", AdamW(learning_rate=0.01)),
    Program("trains-adagrad-no_bias", (LSTM(3, use_bias=False), Dense(2)), "mse", Adagrad(learning_rate=0.1)),
    Program("trains-stateful", (LSTM(3, stateful=True), Dense(2)), "mse", SGD(learning_rate=0.1)),
    Program("trains-clipvalue", LAST, "mse", SGD(learning_rate=0.1, clipvalue=0.01)),
    Program("trains-clipnorm", LAST, "mse", SGD(learning_rate=0.1, clipnorm=0.05)),
    Program("trains-global_clipnorm", LAST, "mse", SGD(learning_rate=0.1, global_clipnorm=0.05)),
)


def drawn(program: Program) -> Tuple[Array, Array, List[Array]]:
    """X (n, T, d), y as the model's output, and the weights it starts from."""
    case = program.case
    whole = replace(case, model=Model(tuple(_stateless(layer) for layer in program.layers)), batch=BATCH * BATCHES)
    data = draw(whole)
    shape = (BATCH * BATCHES, *next(iter(whole.model.returned_shapes([whole.input_shape]).values()))[1:])
    y = 2.0 * np.random.RandomState(seed(f"{case.id} targets")).random_sample(shape) - 1.0
    return data.x, y.astype(DTYPE), data.weights


def _stateless(layer: Any) -> Any:
    return replace(layer, stateful=False) if layer.stateful else layer


def reference_run(program: Program, x: Array, y: Array, weights: List[Array], fl: Rounding = exact) -> Fitted:
    """The reference's own run."""
    wide, loss = [weight.astype(np.float64) for weight in weights], LOSSES[program.loss]
    model, x, y = Model(program.layers), x.astype(np.float64), y.astype(np.float64)
    return fit(model, x, y, wide, loss, program.optimizer, BATCH, EPOCHS, fl)


def judge_trajectory(program: Program, subject: Subject) -> Judgement:
    """Fit a program and hold the loss after every batch and the weights after every epoch to the reference."""
    case, own = program.case, replace(program, optimizer=subject.documented(program.optimizer))
    unsupported = subject.untrainable(own.loss, own.optimizer)
    if unsupported:
        return Judgement(case, subject.environment, unsupported=unsupported)
    x, y, weights = drawn(program)
    try:
        witness = subject.fit(case, own.loss, own.optimizer, x, y, weights, batch_size=BATCH, epochs=EPOCHS)
    except Exception as error:  # whatever Keras raises is what it did with the program
        return Judgement(case, subject.environment, raised=error)
    right = reference_run(own, x, y, weights)
    unit_roundoff, first = FORMATS[DTYPE].unit_roundoff, seed(program.id)
    runs = [reference_run(own, x, y, weights, OneCopy(unit_roundoff, first + number)) for number in range(RUNS)]
    checks = (Check("batches", len(right.losses), len(witness.losses)),)
    names = [name for shapes in case.model.weight_shapes(case.input_shape) for name in shapes]
    comparisons = [_losses(right, runs, witness.losses)] if checks[0].agrees else []
    for epoch, after in enumerate(right.weights):
        for number, (name, weight) in enumerate(zip(names, after)):
            spread = spread_of(weight, [run.weights[epoch][number] for run in runs])
            label = f"weight {number + 1}, {name}, after epoch {epoch + 1}"
            comparisons.append(held(label, weight, witness.after_epochs[epoch][number], spread))
    return Judgement(case, subject.environment, checks, tuple(comparisons))


def _losses(right: Fitted, runs: List[Fitted], actual: List[float]) -> Comparison:
    """What is printed after every batch."""
    shown = [printed_losses(run.losses, BATCH * BATCHES, BATCH).ravel() for run in (right, *runs)]
    return held("loss after each batch", shown[0], np.array(actual), spread_of(shown[0], shown[1:]))
