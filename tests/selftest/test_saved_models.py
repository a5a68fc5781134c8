"""Saved models: their archives are whole, and what they must compute is what the reference does."""

import json

import numpy as np
import pytest
from packaging.version import Version

from conformance.compare import agree
from conformance.data import draw
from conformance.expected import expected_outputs
from conformance.files import MODELS, SAVED_MODELS, meant, saved_models
from conformance.subject.files import FORMATS


@pytest.mark.parametrize("generation", ["2", "3"])
@pytest.mark.parametrize("name", MODELS)
def test_expected_values_are_those_of_the_reference(generation, name):
    frozen = json.loads((SAVED_MODELS / f"keras-{generation}.json").read_text())[name]
    case = meant(MODELS[name], Version(generation))
    data = draw(case)
    assert agree(expected_outputs(case, data), list(map(np.array, frozen["outputs"].values())))
    for call, given in zip(data.calls, frozen["calls"]):
        for array, wanted in zip([*call.x, *call.states], [*given["x"], *given["states"]]):
            np.testing.assert_array_equal(array, np.array(wanted, array.dtype))


def test_generations_differ_in_hard_sigmoid_alone():
    old, new = (json.loads((SAVED_MODELS / f"keras-{generation}.json").read_text()) for generation in "23")
    assert [name for name in MODELS if old[name] != new[name]] == ["hard_sigmoid"]


def test_every_model_and_format_is_saved_by_some_version():
    saved = {(saved.model, saved.format_name) for saved in saved_models()}
    assert {model for model, _ in saved} == set(MODELS)
    assert {name for _, name in saved} == set(FORMATS)
    assert {str(saved.maker) for saved in saved_models()} == {"2.4.0", "2.10.0", "2.15.0", "3.0.0", "3.6.0"}


@pytest.mark.parametrize("saved", [pytest.param(saved, id=saved.id) for saved in saved_models()])
def test_archive_unpacks(saved, tmp_path):
    path = saved.unpack(tmp_path)
    assert path.exists() or list(tmp_path.glob(f"{path.name}*")), "nothing is where it would be loaded from"
