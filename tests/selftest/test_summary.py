"""Reading ``model.summary()`` as the versions print it."""

import pytest

from conformance.observation import Summary, SummaryRow
from conformance.subject.summary import parse_summary

KERAS_2_3 = """\
Model: "model_1"
______________________________________________________________________________________________
Layer (type)                    Output Shape                 Param #     Connected to
==============================================================================================
input_1 (InputLayer)            (None, 20, 5)                0
______________________________________________________________________________________________
lstm_1 (LSTM)                   [(None, 20, 8), (None, 8)]   1,448       input_1[0][0]
                                                                         input_2[0][0]
______________________________________________________________________________________________
dense_1 (Dense)                 (None, 20, 3)                27          lstm_1[0][0]
==============================================================================================
Total params: 1,475
Trainable params: 1,475
Non-trainable params: 0
"""
KERAS_2_15 = """\
Model: "model"
_________________________________________________________________
 Layer (type)                Output Shape              Param #
=================================================================
 input_1 (InputLayer)        [(None, 20, 5)]           0

 lstm (LSTM)                 [(None, 20, 8),           1448
                              (None, 8)]

 dense (Dense)               (None, 20, 3)             27

=================================================================
Total params: 1475 (5.76 KB)
Trainable params: 1475 (5.76 KB)
Non-trainable params: 0 (0.00 Byte)
_________________________________________________________________
"""
KERAS_3 = """\
Model: "functional"
┏━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┓
┃ Layer (type)        ┃ Output Shape      ┃    Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━┩
│ input_layer         │ (None, 20, 5)     │          0 │
│ (InputLayer)        │                   │            │
├─────────────────────┼───────────────────┼────────────┤
│ lstm (LSTM)         │ [(None, 20, 8),   │      1,448 │
│                     │ (None, 8)]        │            │
├─────────────────────┼───────────────────┼────────────┤
│ dense (Dense)       │ (None, 20, 3)     │         27 │
└─────────────────────┴───────────────────┴────────────┘
 Total params: 1,475 (5.76 KB)
 Trainable params: 1,475 (5.76 KB)
 Non-trainable params: 0 (0.00 B)
"""


@pytest.mark.parametrize("text", [KERAS_2_3, KERAS_2_15, KERAS_3], ids=["2.3", "2.15", "3"])
def test_every_style_says_the_same(text):
    rows = (SummaryRow("LSTM", ((None, 20, 8), (None, 8)), 1448), SummaryRow("Dense", ((None, 20, 3),), 27))
    assert parse_summary(text) == Summary(rows, total=1475, trainable=1475, non_trainable=0)
