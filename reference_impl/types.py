"""The two types every file here speaks in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

if TYPE_CHECKING:
    from typing import Optional

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Shape = Tuple[Optional[int], ...]
else:  # numpy.typing is younger than the NumPy 1.18 this runs on
    import numpy as np

    Array = np.ndarray
    Shape = Tuple[Any, ...]
