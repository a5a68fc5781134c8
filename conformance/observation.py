"""What the subject did, and what built it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from reference_impl.types import Array, Shape

#: The flavour whose layers are those of TensorFlow 1.
OF_TENSORFLOW_1 = "tensorflow.compat.v1.keras"


@dataclass(frozen=True)
class SummaryRow:
    """A layer's row in ``model.summary()``: its class, the shapes of what it returns, its parameter count."""

    layer: str
    shapes: Tuple[Shape, ...]
    parameters: int


@dataclass(frozen=True)
class Summary:
    """The rows of ``model.summary()`` but for input layers, and the three totals below them."""

    rows: Tuple[SummaryRow, ...]
    total: Optional[int]
    trainable: Optional[int]
    non_trainable: Optional[int]


@dataclass(frozen=True)
class Observation:
    """Everything one build of a case's model answers; no summary where it is not asked."""

    weight_names: Tuple[str, ...]
    weight_shapes: Tuple[Shape, ...]
    parameters: int
    symbolic_shapes: Tuple[Shape, ...]
    summary: Optional[Summary]
    weights_read_back: List[Array]
    outputs: List[Array]


@dataclass(frozen=True)
class Trained:
    """What a training program did: each epoch's loss, what was printed of the loss after each batch, and weights.

    Those are the weights that each batch of the last epoch met, and those after each epoch.
    """

    parameters: int
    losses: List[float]
    batch_losses: List[float]
    last_epoch_weights: List[List[Array]]
    weights: List[List[Array]]
    predictions: Array


@dataclass(frozen=True)
class Environment:
    """What was judged, where."""

    keras: str
    backend: str
    numpy: str
    python: str
    device: str
    threads: str
    onednn: str
    layer: str

    @property
    def versions(self) -> Dict[str, str]:
        """What registered divergences name of it."""
        return versions(self.keras, self.backend, self.onednn)

    @property
    def lines(self) -> List[str]:
        """The versions, and what else decides the numbers."""
        return [
            f"{self.keras} on {self.backend}, NumPy {self.numpy}, Python {self.python}",
            f"{self.device}, threads {self.threads}, oneDNN {self.onednn}",
            *([f"LSTM is {self.layer}"] if self.layer else []),
        ]


def versions(keras: str, backend: str, onednn: str) -> Dict[str, str]:
    """What registered divergences name of a subject, from the words for it (see ``Divergence.concerns``)."""
    flavour, version = keras.split()
    package, of_package = backend.lower().split()
    layers = "v1" if flavour == OF_TENSORFLOW_1 else "v2"
    return {"keras": version, package: of_package, "onednn": onednn, "layers": layers}
