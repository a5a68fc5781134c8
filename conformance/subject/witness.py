"""A Keras callback that notes the weights each batch of the last epoch meets."""

from __future__ import annotations

from typing import Any


def weights_witness(callback: Any, last_epoch: int) -> Any:
    """An instance of Keras's ``callback`` class whose ``weights`` has, batch by batch, ``get_weights()`` before it."""

    class Witness(callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights: Any = []
            self._watching = False

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._watching = epoch == last_epoch

        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            if self._watching:
                self.weights.append(self.model.get_weights())

    return Witness()
