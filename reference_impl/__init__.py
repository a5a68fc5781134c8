"""The specification: an LSTM and what surrounds it, in NumPy, to be read like a textbook.

Start with ``step`` (the equations), then ``scan`` (time, masks, directions), ``layers`` and ``model``. ``weights`` has
the layout of the parameters, ``activations`` the functions, ``rounding`` the tolerances. Nothing here knows Keras.
"""

from reference_impl.layers import LSTM, Bidirectional, Dense, TimeDistributed
from reference_impl.model import Model
from reference_impl.rounding import TOLERANCE_FACTOR, Estimate, estimate, exact
from reference_impl.weights import GATES, gate_slice, parameter_count, reorder_gates

__all__ = [
    "GATES",
    "LSTM",
    "TOLERANCE_FACTOR",
    "Bidirectional",
    "Dense",
    "Estimate",
    "Model",
    "TimeDistributed",
    "estimate",
    "exact",
    "gate_slice",
    "parameter_count",
    "reorder_gates",
]
