"""Where pytest keeps what several of its hooks speak of."""

from __future__ import annotations

from typing import Any, Mapping

import pytest

from conformance.subject import Subject

#: Of a run's configuration: the Keras under judgement.
SUBJECT = pytest.StashKey[Subject]()

#: Of a test: what a report draws and quotes of it, which goes with its report, beside its properties.
EVIDENCE = pytest.StashKey[Mapping[str, Any]]()
