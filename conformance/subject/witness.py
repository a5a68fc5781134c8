"""A Keras callback that notes what ``fit`` does: losses, and weights between epochs and between batches."""

from __future__ import annotations

from typing import Any


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

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._watching = epoch == last_epoch

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.after_epochs.append(self.model.get_weights())

        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            if self._watching:
                self.before_batches.append(self.model.get_weights())

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.losses.append(float((logs or {})["loss"]))

    return Witness()
