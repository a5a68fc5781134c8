"""Configurations of what stands beside an LSTM: objects that it is given, layers around it, what it is trained with."""

import inspect

import numpy as np
import pytest
from arguments import same
from by_hand import part_of

from reference_impl.clipping import BOUNDS

#: Classes of Keras by module, with arguments that are not their defaults.
OBJECTS = {
    "initializers": {
        "Constant": {"value": 0.25},
        "GlorotUniform": {"seed": 7},
        "HeNormal": {"seed": 7},
        "Identity": {"gain": 2.0},
        "Orthogonal": {"gain": 2.0, "seed": 7},
        "RandomNormal": {"mean": 0.25, "stddev": 0.5, "seed": 7},
        "RandomUniform": {"minval": -0.25, "maxval": 0.5, "seed": 7},
        "TruncatedNormal": {"mean": 0.25, "stddev": 0.5, "seed": 7},
        "VarianceScaling": {"scale": 2.0, "mode": "fan_out", "distribution": "uniform", "seed": 7},
    },
    "regularizers": {
        "L1": {"l1": 0.25},
        "L2": {"l2": 0.25},
        "L1L2": {"l1": 0.25, "l2": 0.5},
        "OrthogonalRegularizer": {"factor": 0.25, "mode": "columns"},
    },
    "constraints": {
        "MaxNorm": {"max_value": 3.0, "axis": 1},
        "MinMaxNorm": {"min_value": 0.25, "max_value": 3.0, "rate": 0.5, "axis": 1},
        "UnitNorm": {"axis": 1},
    },
    "optimizers": {
        "SGD": {"learning_rate": 0.25, "momentum": 0.5, "nesterov": True, "clipnorm": 2.0},
        "RMSprop": {"learning_rate": 0.25, "rho": 0.5, "momentum": 0.125, "centered": True, "clipvalue": 2.0},
        "Adam": {"learning_rate": 0.25, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.125, "amsgrad": True},
        "AdamW": {"learning_rate": 0.25, "weight_decay": 0.5, "global_clipnorm": 2.0},
        "Adagrad": {"learning_rate": 0.25, "initial_accumulator_value": 0.5, "epsilon": 0.125},
        "Adadelta": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 7},
        "Adamax": {"gradient_accumulation_steps": 3, "loss_scale_factor": 64.0},
    },
    "losses": {
        "MeanSquaredError": {"reduction": "sum"},
        "Huber": {"delta": 0.5},
        "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.25, "axis": 1},
        "CategoricalCrossentropy": {"from_logits": True, "label_smoothing": 0.25, "axis": 1},
        "SparseCategoricalCrossentropy": {"from_logits": True, "ignore_class": 7, "axis": 1},
        "BinaryFocalCrossentropy": {"gamma": 3.0, "alpha": 0.5, "apply_class_balancing": True},
        "CosineSimilarity": {"axis": 1},
    },
    "metrics": {
        "AUC": {"num_thresholds": 7, "curve": "PR", "multi_label": True, "num_labels": 3, "from_logits": True},
        "BinaryAccuracy": {"threshold": 0.25, "name": "mine"},
        "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.25},
        "CosineSimilarity": {"axis": 1},
        "Precision": {"thresholds": 0.25, "top_k": 2, "class_id": 1},
        "SparseTopKCategoricalAccuracy": {"k": 3},
    },
    "optimizers.schedules": {
        "CosineDecay": {
            "initial_learning_rate": 0.25,
            "decay_steps": 7,
            "alpha": 0.5,
            "warmup_target": 0.75,
            "warmup_steps": 5,
        },
        "CosineDecayRestarts": {
            "initial_learning_rate": 0.25,
            "first_decay_steps": 7,
            "t_mul": 3.0,
            "m_mul": 0.5,
            "alpha": 0.125,
        },
        "ExponentialDecay": {"initial_learning_rate": 0.25, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
        "InverseTimeDecay": {"initial_learning_rate": 0.25, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
        "PiecewiseConstantDecay": {"boundaries": [3, 5], "values": [0.25, 0.5, 0.75]},
        "PolynomialDecay": {
            "initial_learning_rate": 0.25,
            "decay_steps": 7,
            "end_learning_rate": 0.125,
            "power": 2.0,
            "cycle": True,
        },
    },
}

#: Layers with arguments that are not their defaults; of those that are objects, how one is made from Keras.
LAYERS = {
    "Embedding": {
        "input_dim": 7,
        "output_dim": 5,
        "embeddings_initializer": lambda keras: keras.initializers.Constant(0.25),
        "embeddings_regularizer": lambda keras: keras.regularizers.l2(0.25),
        "embeddings_constraint": lambda keras: keras.constraints.MaxNorm(3.0),
        "mask_zero": True,
        "trainable": False,
    },
    "Dense": {
        "units": 7,
        "activation": lambda keras: keras.activations.get("softsign"),
        "kernel_initializer": lambda keras: keras.initializers.Constant(0.25),
        "bias_initializer": lambda keras: keras.initializers.Constant(0.5),
        "kernel_regularizer": lambda keras: keras.regularizers.l2(0.25),
        "bias_regularizer": lambda keras: keras.regularizers.l2(0.5),
        "activity_regularizer": lambda keras: keras.regularizers.l2(0.75),
        "kernel_constraint": lambda keras: keras.constraints.MaxNorm(3.0),
        "bias_constraint": lambda keras: keras.constraints.MaxNorm(5.0),
        "trainable": False,
    },
    "Masking": {"mask_value": 0.25, "name": "mine"},
    "Dropout": {"rate": 0.25, "noise_shape": (None, 1, 3), "seed": 7},
    "SpatialDropout1D": {"rate": 0.25, "name": "mine"},
    "RepeatVector": {"n": 7},
}


def has(maker, argument):
    """Whether a class takes an argument; optimizers of Keras 2 take those that clip without naming them."""
    return argument in inspect.signature(maker.__init__).parameters or argument in BOUNDS


@pytest.mark.parametrize(
    ("module", "name"), [pytest.param(*key, id="-".join(key)) for key in ((m, n) for m in OBJECTS for n in OBJECTS[m])]
)
def test_object_made_again_has_its_arguments(subject, module, name):
    """They are in its configuration, under their names, and in that of the object that is made from it."""
    functions = part_of(subject.keras, module)
    maker = part_of(functions, name, of=f"{module}.")
    given = {key: value for key, value in OBJECTS[module][name].items() if has(maker, key)}
    if not given:
        pytest.skip(f"{module}.{name} of this Keras has no {', '.join(OBJECTS[module][name])}")
    made = maker(**given)
    again = functions.deserialize(functions.serialize(made))
    assert type(again) is type(made), f"made again, {name} is {again!r}"
    for config in (made.get_config(), again.get_config()):
        wrong = {key: config.get(key) for key, value in given.items() if not told(config.get(key), value)}
        assert not wrong, f"{name} of {given} is configured as {wrong}"


def test_scaling_of_losses_made_again_has_its_arguments(subject):
    scaling = getattr(getattr(subject.keras, "mixed_precision", None), "LossScaleOptimizer", None)
    if scaling is None:
        pytest.skip("this Keras has no LossScaleOptimizer, or as an experiment")
    given = {"initial_scale": 64.0, "dynamic_growth_steps": 7}
    made = scaling(subject.keras.optimizers.SGD(0.25), **given)
    for one in (made, type(made).from_config(made.get_config())):
        found = {key: one.get_config().get(key) for key in given}
        assert found == given, f"it is configured as {found}"


def told(found, value):
    """Whether a configuration tells a value; of a float, what float32 keeps of it."""
    return np.isclose(found, value) if isinstance(value, float) and found is not None else found == value


@pytest.mark.parametrize("name", LAYERS)
def test_layer_made_again_has_its_arguments(subject, name):
    given = {key: value(subject.keras) if callable(value) else value for key, value in LAYERS[name].items()}
    made = getattr(subject.keras.layers, name)(**given)
    again = type(made).from_config(made.get_config())
    wrong = [key for key, value in given.items() if not same(getattr(again, key), value)]
    assert not wrong, f"made again, {name} has another {', '.join(wrong)}"
