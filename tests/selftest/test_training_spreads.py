"""The frozen spreads of training runs, and faults that the runs must tell."""

from dataclasses import replace

import numpy as np
import pytest

from conformance.compare import largest_ratio
from conformance.data import draw
from conformance.discrimination import TRUSTED
from conformance.documented import load_documents
from conformance.faults.optimizers import LateStep
from conformance.fitted import known_to
from conformance.training import OPTIMIZERS, case_of, frozen_spreads, reference_fit, spreads, windows
from reference_impl.optimizers import SGD, Adam

PROGRAMS = [program for document in load_documents() for program in document.training]
SHORT = min(PROGRAMS, key=lambda program: len(program.layers))


def test_frozen_spreads_are_those_of_today():
    """Of the first epoch: what comes later has the same beginning."""
    today, frozen = spreads(replace(SHORT, epochs=1)), frozen_spreads()[SHORT.id]
    assert today["losses"] == frozen["losses"][:1]
    assert today["weights"] == frozen["weights"][:1]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.id)
def test_training_does_not_amplify_rounding_beyond_use(program):
    """After ten epochs a weight is known to far less than it has moved."""
    x, y = windows(program)
    weights = draw(case_of(program, x)).weights
    moved = [np.abs(new - old).max() for new, old in zip(reference_fit(program, x, y, weights).weights[-1], weights)]
    assert all(1000.0 * spread < own for spread, own in zip(frozen_spreads()[program.id]["weights"][-1], moved))


#: By what is wrong, the optimizer, and after how many epochs nobody can miss it.
FAULTS = {
    "bias correction left out": (LateStep(inner=Adam()), 1),
    "another epsilon": (Adam(epsilon=1e-5), 1),
    "amsgrad": (Adam(amsgrad=True), 10),
    "gradients clipped": (Adam(clipnorm=0.1), 1),
    "weights decayed": (Adam(weight_decay=0.004), 10),
    "steps of SGD": (SGD(), 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_optimizer_is_caught(fault, monkeypatch):
    """By the losses it prints or the weights it leaves."""
    optimizer, epochs = FAULTS[fault]
    program = replace(SHORT, epochs=epochs)
    x, y = windows(program)
    weights = draw(case_of(program, x)).weights
    right = reference_fit(program, x, y, weights)
    monkeypatch.setitem(OPTIMIZERS, program.optimizer, optimizer)
    wrong = reference_fit(program, x, y, weights)
    spread = frozen_spreads()[program.id]
    shown = [np.reshape(run.means, (epochs, -1))[-1] for run in (right, wrong)]
    sigmas = [spread["losses"][epochs - 1], *spread["weights"][epochs - 1]]
    known = map(known_to, [shown[0], *right.weights[-1]], sigmas)
    assert largest_ratio(list(known), [shown[1], *wrong.weights[-1]]) > TRUSTED
