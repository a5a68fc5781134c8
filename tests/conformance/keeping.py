"""Ways of keeping a model, in a file or as a copy, and what is asked of the model that they give back."""

import numpy as np
import pytest
from by_hand import call

from conformance.subject.files import COPIES, FORMATS

#: All but one; a model of several layers takes half a minute to be read from a SavedModel of Keras 2.
WAYS = [*(name for name in FORMATS if name != "savedmodel"), *COPIES]
#: Those that need no program to make the model anew.
WHOLE_WAYS = [way for way in WAYS if way in COPIES or FORMATS[way].whole]


def keep(subject, model, way, program, folder):
    """Keep a model in one of the ways, and give back what is copied, or read from a file in the folder."""
    if way in COPIES:
        again, weighed = COPIES[way](subject.keras, model), False
    else:
        again, weighed = there_and_back(subject, model, FORMATS[way], program, folder), FORMATS[way].weighed
    if not weighed:
        again.set_weights(model.get_weights())
    return again


def there_and_back(subject, model, form, program, folder):
    if form.unwritten(subject.keras):
        pytest.skip(f"{subject.flavour} {subject.version} has {form.unwritten(subject.keras)}")
    path = folder / f"model{form.suffix}"
    form.save(subject.keras, model, path)
    return form.load(subject.keras, path, program)


def same_outputs(subject, model, again, *inputs):
    """Bit by bit, and in their order."""
    given = list(inputs) if len(inputs) > 1 else inputs[0]
    before, after = call(subject, model, given), call(subject, again, given)
    assert len(before) == len(after)
    assert all(map(np.array_equal, before, after)), "it computes something else"
