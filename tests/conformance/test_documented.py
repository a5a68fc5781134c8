"""The documented examples: Keras against the reference and against the figures the documents print."""

from dataclasses import replace

import numpy as np
import pytest

from conformance.data import draw
from conformance.documented import load_documents
from conformance.training import EPOCHS, judge_training
from reference_impl import gate_slice

DOCUMENTS = load_documents()
EXAMPLES = [
    pytest.param(example, document.title, id=example.case.id) for document in DOCUMENTS for example in document.example
]
WITH_KERNEL_C = [param for param in EXAMPLES if param.values[0].figures.kernel_c]
PROGRAMS = [
    pytest.param(program, document.title, id=program.id) for document in DOCUMENTS for program in document.training
]


@pytest.mark.parametrize(("example", "document"), EXAMPLES)
def test_example(example, document, conforms):
    conforms(example.case, example.figures, document)


@pytest.mark.parametrize(("example", "document"), [param for param in EXAMPLES if "state" in param.id.split("-")[-1:]])
def test_state_is_the_last_output(example, document, subject):
    """With ``return_state`` h is the output, and with ``return_sequences`` the last step of the sequence."""
    output, h, _ = subject.observe(example.case, draw(example.case)).outputs
    last = output[:, -1] if output.ndim == 3 else output
    assert np.array_equal(last, h)


@pytest.mark.parametrize(("example", "document"), WITH_KERNEL_C)
def test_kernel_c_is_the_candidate_slice(example, document, subject):
    """The candidate gate's slices have the documented shapes, and are the cell's attributes where Keras has them."""
    (kernel, _, bias), attributes = subject.weights_and_candidate(example.case, draw(example.case))
    slices = {"kernel_c": gate_slice(kernel, "c"), "bias_c": gate_slice(bias, "c")}
    assert slices["kernel_c"].shape == example.figures.kernel_c
    assert slices["bias_c"].shape == example.figures.bias_c
    for name, attribute in attributes.items():
        assert np.array_equal(attribute, slices[name])


@pytest.mark.parametrize(("program", "document"), PROGRAMS)
def test_training(program, document, subject, hold, pytestconfig):
    """Every batch's loss and the weights are those of the reference's own run, the predictions those of the weights.

    The full tier trains for as many epochs as the document, the default one for two.
    """
    epochs = program.epochs if pytestconfig.getoption("--tier") == "full" else EPOCHS
    hold(judge_training(replace(program, epochs=epochs), subject), document)
