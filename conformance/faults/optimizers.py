"""Optimizers that take a wrong step: of right gradients, or of what they make of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, List, Sequence

from conformance.faults.fault import ChangeOfTraining
from reference_impl.clipping import BOUNDS
from reference_impl.optimizers import Optimizer, Slots
from reference_impl.rounding import Rounding, exact
from reference_impl.training import Compiled
from reference_impl.types import Array

#: What mixed precision multiplies the loss by, to begin with.
LOSS_SCALE = 2.0**15


def optimizing(**changed: Any) -> ChangeOfTraining:
    """An optimizer with other arguments."""
    return lambda compiled: replace(compiled, optimizer=replace(compiled.optimizer, **changed))


def stepping(kind: Callable[..., Optimizer]) -> ChangeOfTraining:
    """An optimizer with something around it."""
    return lambda compiled: replace(compiled, optimizer=kind(inner=compiled.optimizer))


@dataclass(frozen=True)
class Around(Optimizer):
    """An optimizer that is given other gradients or takes another step."""

    inner: Any = None

    def slots(self, weights: Sequence[Array]) -> List[Slots]:
        slots: List[Slots] = self.inner.slots(weights)
        return slots

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        return self.inner.step(weights, gradients, slots, number, fl)


class LateStep(Around):
    """Takes every step for one so late that its means need no correction."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        return super().step(weights, gradients, slots, 10**6, fl)


class ClippedWhileScaled(Around):
    """Clips the gradients of the scaled loss, and takes the scale out of what is left."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        given = {name: getattr(self.inner, name) for name in BOUNDS}
        smaller = {name: own and own / LOSS_SCALE for name, own in given.items()}
        return replace(self.inner, **smaller).step(weights, gradients, slots, number, fl)


class DecayInGradient(Around):
    """Adds λ·w to the gradient, as if the loss had a penalty, and decays no weight."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        added = [fl(g + fl(self.inner.weight_decay * w)) for g, w in zip(gradients, weights)]
        return replace(self.inner, weight_decay=None).step(weights, added, slots, number, fl)


class UnscaledDecay(Around):
    """Takes λ·w off a weight, whatever the learning rate."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        larger = self.inner.weight_decay / self.inner.learning_rate
        return replace(self.inner, weight_decay=larger).step(weights, gradients, slots, number, fl)


class Dampened(Around):
    """Remembers only (1 - μ)·g of each gradient, as an average does."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Rounding = exact) -> Any:
        smaller = [fl((1.0 - self.inner.momentum) * g) for g in gradients]
        return self.inner.step(weights, smaller, slots, number, fl)


def epsilon_moved(compiled: Compiled) -> Compiled:
    optimizer: Any = compiled.optimizer
    return optimizing(epsilon_inside=not optimizer.epsilon_inside)(compiled)


def betas_exchanged(compiled: Compiled) -> Compiled:
    adam: Any = compiled.optimizer
    return optimizing(beta_1=adam.beta_2, beta_2=adam.beta_1)(compiled)
