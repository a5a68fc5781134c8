"""Training a case's model in Keras, and noting what it does meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Sequence, Tuple

import numpy as np

from conformance.observation import Trained
from conformance.programs import BATCH, COMPILED_FOR, EPOCHS, Program
from conformance.subject.layers import reset_states, set_weights
from conformance.subject.modes import building
from conformance.subject.witness import training_witness
from reference_impl.training import Samples
from reference_impl.types import Array

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.data import Data
    from conformance.documented import Training
    from conformance.subject.adapter import Subject


def fitted(subject: Subject, case: Case, program: Training, data: Data, y: Array) -> Trained:
    """Compile and fit the model of a case as the program says, from the weights of ``data`` on ``data.x`` and y."""
    subject.keras.backend.clear_session()  # a compiled training step is large
    built = subject.build(case)
    model = built.model
    model.set_weights(data.weights)
    model.compile(optimizer=program.optimizer, loss=program.loss)
    witness = training_witness(subject.keras.callbacks.Callback, last_epoch=program.epochs - 1)
    history = model.fit(
        data.x,
        y,
        epochs=program.epochs,
        batch_size=program.batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[witness],
    )
    return Trained(
        parameters=int(model.count_params()),
        losses=[float(loss) for loss in history.history["loss"]],
        batch_losses=witness.losses,
        last_epoch_weights=witness.before_batches,
        weights=witness.after_epochs,
        predictions=subject.run(built, case, data)[0],
    )


def trajectory(subject: Subject, program: Program, samples: Samples, weights: Sequence[Array]) -> List[Array]:
    """Compile a program, evaluate it and train it from these weights.

    Returns the loss that is evaluated first, that of each batch as it is shown, every weight after each epoch.
    """
    built, (x, y, weight) = subject.build(program.case), samples
    set_weights(built.layers, weights)
    with building(subject.tensorflow, program.case.mode):  # an optimizer belongs to where it is made
        optimizer, loss = subject.made(program.optimizer), subject.made(program.loss)
        built.model.compile(optimizer=optimizer, loss=loss, **COMPILED_FOR.get(program.way, {}))
    evaluated = built.model.evaluate(x, y, batch_size=BATCH, sample_weight=weight, verbose=0)
    reset_states(built.layers)
    train = _by_batch if program.way == "on_batch" else _by_fit
    losses, after = train(subject, built.model, samples)
    return [np.array([evaluated]), np.array(losses), *(own for epoch in after for own in epoch)]


def _by_fit(subject: Subject, model: Any, samples: Samples) -> Tuple[List[float], List[List[Array]]]:
    witness = training_witness(subject.keras.callbacks.Callback, last_epoch=EPOCHS - 1)
    given = {"sample_weight": samples.sample_weight, "batch_size": BATCH, "epochs": EPOCHS}
    model.fit(samples.x, samples.y, shuffle=False, verbose=0, callbacks=[witness], **given)
    return witness.losses, witness.after_epochs


def _by_batch(subject: Subject, model: Any, samples: Samples) -> Tuple[List[float], List[List[Array]]]:
    losses, after = [], []
    for _ in range(EPOCHS):
        losses += [float(model.train_on_batch(*batch)) for batch in samples.batches(BATCH)]
        after.append(model.get_weights())
    return losses, after
