"""Arithmetic that does nothing wrong."""

import numpy as np


class Float32:
    """Honest float32: every result of the reference's operations rounded to float32."""

    def __call__(self, value):
        return value.astype("float32").astype("float64")

    elementary = __call__

    def matmul(self, a, b):
        return (a.astype("float32") @ b.astype("float32")).astype("float64")

    def outer(self, a, b):
        return (np.swapaxes(a, 1, 2).astype("float32") @ b.astype("float32")).astype("float64")
