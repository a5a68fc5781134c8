"""Faults of training are caught by the programs, and named when a Keras has them."""

from functools import lru_cache

import pytest

from conformance.compare import largest_ratio
from conformance.discrimination import TRUSTED
from conformance.faults.training import TRAINING_FAULTS
from conformance.programs import PROGRAMS
from conformance.report.terminal import render
from conformance.subject import Subject
from conformance.trajectories import diagnose_training, expected_training, judge_trajectory, shown

BY_ID = {program.id: program for program in PROGRAMS}


@lru_cache(maxsize=None)
def right(program_id):
    program = BY_ID[program_id]
    return list(expected_training(program, program.compiled).values())


def caught(name):
    """Programs in which a fault makes a difference that cannot be missed, with what a subject that has it shows."""
    fault = TRAINING_FAULTS[name]
    for program in PROGRAMS:
        if fault.where(program.compiled):
            found = list(shown(program, fault.of_training(program.compiled)).values())
            if largest_ratio(right(program.id), found) > TRUSTED:
                yield program, [own.astype("float32") for own in found]


@pytest.mark.parametrize("name", TRAINING_FAULTS)
def test_fault_is_caught_and_named(name):
    programs = list(caught(name))
    assert len(programs) >= 3, [program.id for program, _ in programs]
    program, found = programs[0]
    assert (name,) in diagnose_training(program, found).explanations


def test_what_no_fault_shows_has_no_name():
    program = BY_ID["sgd"]
    assert diagnose_training(program, [1.01 * one.value for one in right("sgd")]).explanations == ()


def without(dropped):
    """What is called with its arguments but one."""
    return lambda real: lambda **given: real(**{name: value for name, value in given.items() if name != dropped})


def summing(real):
    return lambda **given: real(**given, reduction="sum")


def unweighted(real):
    class Unweighted(real):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return super().__call__(y_true, y_pred)

    return Unweighted


def decaying_gradients(real):
    class Decaying(real):
        def _apply_weight_decay(self, variables):
            pass

        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient + self.weight_decay * variable, variable, learning_rate)

    return Decaying


#: By program, where in Keras something is changed, by what, and the fault it then has.
CHANGED = [
    ("momentum-sequence-mae", "optimizers.SGD", without("momentum"), "training_no_momentum"),
    ("nesterov-stack-huber", "optimizers.SGD", without("nesterov"), "training_no_nesterov"),
    ("clipvalue", "optimizers.SGD", without("clipvalue"), "training_no_clipvalue"),
    ("clipnorm", "optimizers.SGD", without("clipnorm"), "training_no_clipnorm"),
    ("global_clipnorm", "optimizers.SGD", without("global_clipnorm"), "training_no_global_clipnorm"),
    ("amsgrad-unroll", "optimizers.Adam", without("amsgrad"), "training_no_amsgrad"),
    ("adamw", "optimizers.AdamW", decaying_gradients, "training_weight_decay_as_l2"),
    ("sgd", "losses.MeanSquaredError", summing, "training_loss_summed"),
    ("amsgrad-sample_weight", "losses.Huber", unweighted, "training_unweighted"),
    ("nesterov-penalized", "layers.LSTM", without("kernel_regularizer"), "training_no_kernel_regularizer"),
    ("nesterov-penalized", "layers.LSTM", without("activity_regularizer"), "training_no_activity_regularizer"),
    ("momentum-constrained", "layers.LSTM", without("bias_constraint"), "training_no_bias_constraint"),
    ("sgd-frozen", "layers.LSTM", without("trainable"), "training_thawed"),
    ("sgd-stateful", "layers.LSTM", without("stateful"), "training_states_not_carried"),
]


@pytest.mark.parametrize(("program_id", "place", "change", "fault"), CHANGED, ids=[row[-1] for row in CHANGED])
def test_changed_keras_is_named(program_id, place, change, fault, subject, monkeypatch):
    if subject.generation < 3:
        pytest.skip("the changes are written for Keras 3")
    module, name = place.split(".")
    owner = getattr(subject.keras, module)
    changed = change(getattr(owner, name))
    monkeypatch.setattr(owner, name, changed)
    lstm = changed if name == "LSTM" else None
    judgement = judge_trajectory(BY_ID[program_id], Subject(subject.flavour, subject.keras, lstm))
    assert judgement.raised is None, judgement.raised
    assert judgement.diagnosis.explanations == ((fault,),), judgement.diagnosis.sentence
    lines = render(judgement, "rerun").splitlines()
    assert lines[0] == f"training of {program_id}"
    assert len(lines) <= 25


def test_wrong_gates_explain_wrong_training(subject):
    if subject.generation < 3:
        pytest.skip("the layer is written for Keras 3")

    class Forgetful(subject.keras.layers.LSTM):
        def build(self, sequences_shape, initial_state_shape=None):
            super().build(sequences_shape)
            self.cell.use_bias = False

    judgement = judge_trajectory(BY_ID["sgd"], Subject(subject.flavour, subject.keras, Forgetful, "planted"))
    assert judgement.diagnosis.explanations == (("bias_missing",),)
    assert "without being trained" in judgement.where
