"""A step of training of models that are no chain of layers: several inputs, shared layers, models of one's own."""

import numpy as np
import pytest
from by_hand import agree

from conformance import space
from conformance.data import draw
from conformance.gradients import cotangents, expected_gradients
from conformance.subject.build import input_arrays
from conformance.subject.layers import set_weights
from conformance.subject.unsupported import unable_to_run
from reference_impl import Estimate
from reference_impl.rounding import FORMATS, TOLERANCE_FACTOR

pytestmark = pytest.mark.usefixtures("eager")


def compiled(subject, model):
    model.compile(loss="mse", optimizer=subject.keras.optimizers.SGD(1.0))
    return model


def fit(subject, model, x, y):
    compiled(subject, model).fit(x, y, batch_size=len(y[0]), verbose=0)


def on_batch(subject, model, x, y):
    compiled(subject, model).train_on_batch(x, y)


def loop(subject, model, x, y):
    """As in a training loop of one's own."""
    tensorflow, optimizer = subject.tensorflow, subject.keras.optimizers.SGD(1.0)

    @tensorflow.function
    def step(x, y):
        with tensorflow.GradientTape() as tape:
            outputs = tensorflow.nest.flatten(model(x, training=True))
            losses = [tensorflow.reduce_mean((one - other) ** 2) for one, other in zip(outputs, y)]
            loss = tensorflow.add_n(losses)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))

    step(subject.tensors(x), subject.tensors(y))


#: By case, how it is trained.
TRAINED = {
    "encoder_decoder-B3-T4-D2-functional-call-U3-sequences": (fit, loop),
    "encoder_decoder-B3-T4-D2-subclass-call-U3-sequences": (on_batch,),
    "shared-B3-T4-D2-functional-call-U3-last": (fit,),
    "lstm-B3-T4-D2-initial_state-functional-call-U3-sequences": (on_batch,),
    "lstm-B3-T4-D2-right_padding-functional-call-mask_argument-U3-last-backwards": (fit,),
    "rnn-B3-T4-D2-functional-call-U3-sequences_state": (on_batch,),
    "cells-two_cells-B3-T4-D2-functional-call-U3-last": (loop,),
    "time_distributed-B3-T4-D2-functional-call-U3-last": (loop,),
    "bidirectional-B3-T4-D2-subclass-call-U3-last": (fit,),
}


@pytest.mark.parametrize(
    ("name", "train"),
    [pytest.param(name, way, id=f"{way.__name__}-{name}") for name, ways in TRAINED.items() for way in ways],
)
def test_step_of_training(subject, name, train):
    """Targets are such that the gradient of the loss with respect to an output is the case's cotangent of it.

    SGD(1.0) then takes the gradients of the case off its weights. Targets, differences and steps are rounded besides.
    """
    case = space.case(name)
    if unable_to_run(subject, case):
        pytest.skip(unable_to_run(subject, case))
    data, built = draw(case), subject.build(case)
    set_weights(built.layers, data.weights)
    outputs = subject.run(built, case, data)
    y = [(own - 0.5 * own.size * outer).astype("float32") for own, outer in zip(outputs, cotangents(case))]
    train(subject, built.model, input_arrays(case, data.calls[0]).arrange(), y)
    found = [weight for layer in built.layers for weight in layer.get_weights()]
    moves = list(expected_gradients(subject.promised(case), data).values())[-len(found) :]
    agree(found, [moved(weight, move) for weight, move in zip(data.weights, moves)])


def moved(weight, move):
    rounding = TOLERANCE_FACTOR * FORMATS["float32"].unit_roundoff * (np.abs(weight) + np.abs(move.value).max())
    return Estimate(weight - move.value, move.tolerance + rounding)
