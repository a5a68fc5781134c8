"""A Keras callback that notes what ``fit`` does: losses, and weights between epochs and between batches."""

from __future__ import annotations

from typing import Any

import numpy as np


def training_witness(callback: Any, last_epoch: int) -> Any:
    """An instance of Keras's ``callback`` class that has watched a run of ``fit`` once that is over.

    ``losses`` has what Keras prints of the loss after every batch, ``after_epochs`` ``get_weights()`` after every epoch
    and ``before_batches`` that before every batch of the last epoch.
    """

    class Witness(callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.losses: Any = []
            self.after_epochs: Any = []
            self.before_batches: Any = []
            self._watching = False
            self._told: Any = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._watching = epoch == last_epoch
            self._told = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.after_epochs.append(self.model.get_weights())

        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            if self._watching:
                self.before_batches.append(self.model.get_weights())

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            told = logs or {}
            self._told.append((float(told["loss"]), told.get("size", 1)))
            # Keras 2.3.1 tells each batch's own loss, and its size; what it prints is the mean so far.
            losses, sizes = zip(*(self._told if "size" in told else self._told[-1:]))
            self.losses.append(float(np.average(losses, weights=sizes)))

    return Witness()
