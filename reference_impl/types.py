"""The types every file here speaks in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:  # numpy.typing is younger than the NumPy 1.18 this runs on
    from numpy import ndarray as Array

Arrays = Tuple[Array, ...]

#: Sizes of the axes, None where one is open.
Shape = Tuple[Any, ...]

__all__ = ["Array", "Arrays", "Shape"]
