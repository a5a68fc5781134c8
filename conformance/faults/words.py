"""Wrong training of an Embedding, whose gradient TensorFlow keeps apart for each occurrence of a word.

The first layer of these models is the Embedding; the gradient of its table is a ``tf.IndexedSlices``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Sequence

import numpy as np

from conformance.faults.fault import made_with
from reference_impl.clipping import BOUNDS, clipped
from reference_impl.model import Model
from reference_impl.rounding import Rounding
from reference_impl.training import Compiled, Objective, Samples
from reference_impl.types import Array, Arrays


class WordsStandStill(Compiled):
    """Leaves words without a gradient where they are, and what is remembered of them as it is."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Any) -> Any:
        trained, remembered = super().step(weights, gradients, slots, number, fl)
        occurs = gradients[0].any(axis=-1, keepdims=True)
        trained[0] = np.where(occurs[0], trained[0], weights[0])
        remembered[0] = tuple(np.where(occurs, new, old) for new, old in zip(remembered[0], slots[0]))
        return trained, remembered


class WordByWord(Compiled):
    """The gradient of the table is (occurrences, words, columns), of which each occurrence has one row."""

    def objective(self, batch: Samples, weights: Sequence[Array], states: Sequence[Arrays], fl: Rounding) -> Objective:
        """As if every word of the batch were another, but for padding, which is word 0 and has no gradient."""
        table, *others = weights
        words = batch.x.ravel().astype(int)
        places = np.arange(len(words))
        rows = np.where(words, places + 1, 0)
        embedding: Any = self.model.layers[0]
        model = Model((replace(embedding, input_dim=len(words) + 1), *self.model.layers[1:]))
        told_apart = batch._replace(x=rows.reshape(batch.x.shape))
        own_rows = [np.concatenate([table[:1], table[words]]), *others]
        objective = super(WordByWord, replace(self, model=model)).objective(told_apart, own_rows, states, fl)

        def pullback() -> List[Array]:
            (found,), *gradients = objective.pullback()
            apart = np.zeros((len(words), *table.shape))
            apart[places, words] = found[rows]
            return [apart, *gradients]

        return objective._replace(pullback=pullback)


class ClippedWordByWord(WordByWord):
    """Clips the gradient of each occurrence, which counts in the norm, by itself."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Any) -> Any:
        apart, *others = gradients
        optimizer: Any = self.optimizer
        bounds = {name: getattr(optimizer, name) for name in BOUNDS}
        table, *others = clipped([apart.reshape((1, -1, apart.shape[-1])), *others], **bounds, fl=fl)
        summed = fl.total(table.reshape(apart.shape), 1)
        unclipped = replace(self, optimizer=replace(optimizer, **dict.fromkeys(bounds)))
        return super(ClippedWordByWord, unclipped).step(weights, [summed, *others], slots, number, fl)


class SquaredWordByWord(WordByWord):
    """Takes the sum of the squares of the gradients of all occurrences for the square of their sum."""

    def step(self, weights: Any, gradients: Any, slots: Any, number: int, fl: Any) -> Any:
        apart, *others = gradients
        summed, squares = fl.total(apart, 1), fl.total(fl(np.square(apart)), 1)
        optimizer: Any = type(self.optimizer)

        class Squaring(optimizer):  # type: ignore[misc]
            def _square(self, g: Array, fl: Rounding) -> Array:
                square: Array = squares if g is summed else super()._square(g, fl)
                return square

        squaring = replace(self, optimizer=Squaring(**made_with(self.optimizer)))
        return super(SquaredWordByWord, squaring).step(weights, [summed, *others], slots, number, fl)
