"""Optimizers: what a step makes of weights and gradients, as ``keras.optimizers``.

Weights, gradients and slots (what an optimizer remembers of a weight) are float64 arrays ``(runs, *shape)``: the first
axis holds the exact run and its perturbed copies (see ``rounding``), and has size 1 where there is one run. Steps are
elementwise but for norms, which are taken over all axes but the first. Numbers such as β₂ are rounded wherever they are
used: 1 - 0.999 is off by 1e-5 of itself in float32, and Keras's versions compute it in float32 or in float64.

Clipping comes first, then weight decay, then the step; a constraint (see ``constraints``) after it. The gradients are
of the loss with its regularizers. Measured on Keras 2.4, 2.10, 2.15 and 3.15. The optimizers before 2.11 are those of
``keras/optimizers/optimizer_v2/`` at v2.10.0, those since 2.11 of ``keras/optimizers/optimizer_experimental/`` at
v2.11.0 and ``keras/src/optimizers/`` at v3.15.0. Defaults are the same in all versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from reference_impl.clipping import clipped, constant
from reference_impl.rounding import Rounding, exact
from reference_impl.types import Array

#: What an optimizer remembers of one weight.
Slots = Tuple[Array, ...]


@dataclass(frozen=True)
class Optimizer:
    """Clipping (see ``clipping``), and ``weight_decay`` λ, since 2.11 in all: w ← w - λ·η·w before the step."""

    learning_rate: float = 0.001
    weight_decay: Optional[float] = None
    clipnorm: Optional[float] = None
    clipvalue: Optional[float] = None
    global_clipnorm: Optional[float] = None

    def slots(self, weights: Sequence[Array]) -> List[Slots]:
        """What is remembered of each weight before the first step."""
        return [self._initial(weight) for weight in weights]

    def step(
        self,
        weights: Sequence[Array],
        gradients: Sequence[Array],
        slots: Sequence[Slots],
        number: int,
        fl: Rounding = exact,
    ) -> Tuple[List[Array], List[Slots]]:
        """The weights and slots after step ``number``, the first being 1; all arrays are (runs, *shape).

        Raises ValueError where gradients are clipped in two ways.
        """
        updated = []
        gradients = clipped(gradients, self.clipnorm, self.clipvalue, self.global_clipnorm, fl)
        for weight, gradient, own in zip(weights, gradients, slots):
            step, remembered = self._update(gradient, own, number, fl)
            updated.append((fl(self._decayed(weight, fl) - step), remembered))
        return [weight for weight, _ in updated], [remembered for _, remembered in updated]

    def _decayed(self, weight: Array, fl: Rounding) -> Array:
        if self.weight_decay is None:
            return weight
        decay = fl(fl(weight * constant(self.weight_decay, weight, fl)) * constant(self.learning_rate, weight, fl))
        return fl(weight - decay)

    def _initial(self, weight: Array) -> Slots:
        return ()

    def _square(self, g: Array, fl: Rounding) -> Array:
        """What g² is; a fault may put something else in its place."""
        return fl(np.square(g))

    def _update(self, g: Array, slots: Slots, number: int, fl: Rounding) -> Tuple[Array, Slots]:
        """What is subtracted from a weight with gradient g, and its slots after that."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """v ← μ·v - η·g,  w ← w + v, or w + μ·v - η·g with ``nesterov`` (Sutskever et al., 2013); without μ w - η·g.

    η enters v: where it changes between steps, what v remembers does not.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def _initial(self, weight: Array) -> Slots:
        return (np.zeros_like(weight),) if self.momentum else ()

    def _update(self, g: Array, slots: Slots, number: int, fl: Rounding) -> Tuple[Array, Slots]:
        step = fl(constant(self.learning_rate, g, fl) * g)
        if not slots:
            return step, ()
        momentum = constant(self.momentum, g, fl)
        v = fl(fl(momentum * slots[0]) - step)
        return (fl(step - fl(momentum * v)) if self.nesterov else -v), (v,)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v ← ρ·v + (1 - ρ)·g²,  w ← w - η·g/√(v + ε) (Tieleman and Hinton, Coursera lecture 6e, 2012).

    ``centered``: v less the square of a mean m ← ρ·m + (1 - ρ)·g under the root. ``momentum`` μ: b ← μ·b + η·g/√(v + ε)
    and w ← w - b. With ``epsilon_inside`` false the divisor is √v + ε instead, which is Keras before 2.11 without
    momentum; those versions with momentum, and all since, have ε inside the root. With ε = 1e-7 this decides where
    |g| ≲ 3e-4.
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False
    epsilon_inside: bool = False

    def _initial(self, weight: Array) -> Slots:
        return tuple(np.zeros_like(weight) for _ in range(3))

    def _update(self, g: Array, slots: Slots, number: int, fl: Rounding) -> Tuple[Array, Slots]:
        v, m, b = slots
        v, m = _average(v, self._square(g, fl), self.rho, fl), _average(m, g, self.rho, fl)
        variance = fl(v - fl(np.square(m))) if self.centered else v
        step = fl(constant(self.learning_rate, g, fl) * g)
        b = fl(
            fl(constant(self.momentum, g, fl) * b) + fl(step / _root(variance, self.epsilon, self.epsilon_inside, fl))
        )
        return b, (v, m, b)


@dataclass(frozen=True)
class Adam(Optimizer):
    """m ← β₁·m + (1 - β₁)·g,  v ← β₂·v + (1 - β₂)·g²,  w ← w - α·m/(√v + ε),  α = η·√(1 - β₂ᵗ)/(1 - β₁ᵗ) at step t.

    Kingma and Ba, "Adam", 2015, in the form before their section 2.1, whose ε is not that of their algorithm 1: it is
    added before the bias of v is corrected. ``amsgrad``: the largest v so far in the place of v, itself not corrected
    (Reddi et al., 2018). The same in all versions.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def _initial(self, weight: Array) -> Slots:
        return tuple(np.zeros_like(weight) for _ in range(3))

    def _update(self, g: Array, slots: Slots, number: int, fl: Rounding) -> Tuple[Array, Slots]:
        m, v, largest = slots
        m, v = _average(m, g, self.beta_1, fl), _average(v, self._square(g, fl), self.beta_2, fl)
        largest = np.maximum(largest, v)
        unbias_1, unbias_2 = (
            fl(1.0 - fl.elementary(constant(beta, g, fl) ** number)) for beta in (self.beta_1, self.beta_2)
        )
        alpha = fl(fl(constant(self.learning_rate, g, fl) * fl(np.sqrt(unbias_2))) / unbias_1)
        root = _root(largest if self.amsgrad else v, self.epsilon, False, fl)
        return fl(fl(m * alpha) / root), (m, v, largest)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with a weight decay that is not part of the gradient (Loshchilov and Hutter, 2019).

    λ is multiplied by η. In 2.10 and 2.11 it is ``keras.optimizers.experimental.AdamW``, and computes the same.
    """

    weight_decay: Optional[float] = 0.004


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """a ← a + g²,  w ← w - η·g/√(a + ε), a starting at ``initial_accumulator_value`` (Duchi et al., 2011).

    With ``epsilon_inside`` false the divisor is √a + ε, which is Keras before 2.11.
    """

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7
    epsilon_inside: bool = False

    def _initial(self, weight: Array) -> Slots:
        return (np.full_like(weight, self.initial_accumulator_value),)

    def _update(self, g: Array, slots: Slots, number: int, fl: Rounding) -> Tuple[Array, Slots]:
        a = fl(slots[0] + self._square(g, fl))
        step = fl(constant(self.learning_rate, g, fl) * g)
        return fl(step / _root(a, self.epsilon, self.epsilon_inside, fl)), (a,)


def _average(old: Array, new: Array, share: float, fl: Rounding) -> Array:
    """share·old + (1 - share)·new."""
    rest = fl(1.0 - constant(share, old, fl))
    return fl(fl(constant(share, old, fl) * old) + fl(rest * new))


def _root(value: Array, epsilon: float, inside: bool, fl: Rounding) -> Array:
    """√(value + ε) or √value + ε."""
    return fl(np.sqrt(fl(value + epsilon))) if inside else fl(fl(np.sqrt(value)) + epsilon)
