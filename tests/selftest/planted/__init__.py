"""Keras layers that each have a fault, written as somebody might write them: dictionaries by the name of the fault.

``cells`` has cells, ``layers`` subclasses of LSTM, ``patches`` changes of Keras's own classes.
"""

from planted.cells import CELLS, WEIGHTS
from planted.layers import ARGUMENTS, CALLS, METHODS, planted_class
from planted.patches import PATCHES

#: What ``planted_class`` is told, by the name of its argument.
KINDS = {"weights": WEIGHTS, "cell": CELLS, "call": CALLS, "arguments": ARGUMENTS, "methods": METHODS}

__all__ = ["KINDS", "PATCHES", "planted_class"]
