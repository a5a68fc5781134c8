"""The specification: an LSTM and what surrounds it, in NumPy, to be read like a textbook.

Start with ``step`` (the equations), then ``scan`` (time, masks, directions), ``cells``, ``recurrent``, ``wrappers``,
``layers`` and ``model``. ``weights`` has the layout of the parameters, ``activations`` the functions, ``rounding`` the
tolerances. ``derivatives``, ``through_time`` and ``gradients`` go the whole way back, ``tangents`` and ``second_order``
once more. Nothing here knows Keras.
"""

from reference_impl.cells import LSTMCell, StackedRNNCells
from reference_impl.layer import Given, Layer, Run
from reference_impl.layers import Dense, Embedding, Masking
from reference_impl.model import EncoderDecoder, Model, Shared
from reference_impl.recurrent import LSTM, RNN
from reference_impl.rounding import TOLERANCE_FACTOR, Estimate, estimate, exact
from reference_impl.step import DropoutMasks
from reference_impl.weights import GATES, gate_slice, parameter_count, reorder_gates
from reference_impl.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "GATES",
    "LSTM",
    "RNN",
    "TOLERANCE_FACTOR",
    "Bidirectional",
    "Dense",
    "DropoutMasks",
    "Embedding",
    "EncoderDecoder",
    "Estimate",
    "Given",
    "LSTMCell",
    "Layer",
    "Masking",
    "Model",
    "Run",
    "Shared",
    "StackedRNNCells",
    "TimeDistributed",
    "estimate",
    "exact",
    "gate_slice",
    "parameter_count",
    "reorder_gates",
]
