"""Building a case's model in Keras and asking it everything once."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from conformance.case import CONVERSIONS, Case
from conformance.data import Data
from conformance.expression import arguments
from conformance.faults import with_activation
from conformance.observation import OF_TENSORFLOW_1, Environment, Observation
from conformance.subject import environment
from conformance.subject.build import (
    Built,
    flat,
    functional,
    input_arrays,
    input_dtype,
    sequential,
    shapes,
    symbolic_inputs,
)
from conformance.subject.conversion import CONVERTED
from conformance.subject.gradients import gradients, hessian_product
from conformance.subject.layers import base_name, reset_states, set_weights
from conformance.subject.modes import MODES, ROWS, building
from conformance.subject.summary import read_summary
from reference_impl import LSTM, Layer, Model
from reference_impl.types import Array

#: Keras 2 keeps the graphs of all models of a session and TensorFlow their kernels; beginning a session costs time.
MODELS_A_SESSION = 16

#: Modes that take arrays: Keras cuts them into batches itself. The others are given tensors.
PREDICTING = ("predict", "predict_batches", "predict_on_batch", "run_eagerly", "dataset", "mirrored", *CONVERSIONS)

#: Arguments that have other defaults in the layers of TensorFlow 1.
OTHER_DEFAULTS = ("recurrent_activation", "implementation")

#: Where Keras keeps what is described by one of the reference's classes, or a class of its.
MODULES = {"Loss": "losses", "Optimizer": "optimizers", "Regularizer": "regularizers", "Constraint": "constraints"}


class Subject:
    """One Keras: ``keras`` is its module, ``lstm`` the class judged in place of ``keras.layers.LSTM``, if any."""

    def __init__(self, flavour: str, keras: Any, lstm: Optional[type] = None, lstm_path: str = "") -> None:
        self.flavour = flavour
        self.version = environment.keras_version(keras)
        self.environment: Environment = environment.describe(flavour, self.version, keras, lstm_path)
        self.keras = keras
        self.tensorflow = environment.tensorflow(keras)
        self._built = 0
        self.lstm: Any = lstm or keras.layers.LSTM
        # Keras 2.3 and older build graphs of their own: their models compute in `predict` only.
        self.eager = not hasattr(keras.backend, "symbolic")

    @property
    def generation(self) -> int:
        """The major version of Keras, which decides what its documentation promises."""
        return int(self.version.split(".")[0])

    @property
    def versions(self) -> Dict[str, str]:
        """What registered divergences name of it."""
        return self.environment.versions

    @property
    def has_mixed_policies(self) -> bool:
        """Whether there is mixed precision that is no experiment."""
        return hasattr(getattr(self.keras, "mixed_precision", None), "Policy")

    @property
    def has_backward_layers(self) -> bool:
        """Whether a Bidirectional can be given the layer of its backward half."""
        return "backward_layer" in inspect.signature(self.keras.layers.Bidirectional.__init__).parameters

    def promised(self, case: Case) -> Case:
        """The case as this generation of Keras documents it: Keras 3 gave ``hard_sigmoid`` another slope."""
        if self.generation >= 3:
            return case
        return with_activation("hard_sigmoid", "hard_sigmoid_keras2")(case)

    def forget(self) -> None:
        """Let go of a seed that was set, and of the models built so far, if many; Keras 2.3 cannot run those then."""
        if self.tensorflow:
            self.tensorflow.compat.v1.set_random_seed(None)
        if self._built >= MODELS_A_SESSION:
            self.keras.backend.clear_session()
            self._built = 0

    def build(self, case: Case) -> Built:
        """The model of a case, with weights as Keras initializes them."""
        self._built += 1
        with building(self.tensorflow, case.mode):
            layers = [self.layer(layer, case.dtype) for layer in case.model.layers]
            if case.api == "sequential":
                return sequential(self.keras, layers, self._input_layer(case))
            if case.api == "input_shape":
                shape = case.input_shape[1:]
                layers[0] = self.layer(case.model.layers[0], case.dtype, input_shape=shape)
                return sequential(self.keras, layers, None)
            return functional(self.keras, case, layers, self.policy(case.dtype))

    def _input_layer(self, case: Case) -> Any:
        (x,) = symbolic_inputs(self.keras, case).x
        if self.eager:
            return x
        # Sequential takes tensors such as Input's from Keras 2.4 on.
        return self.keras.layers.InputLayer(batch_input_shape=x.shape.as_list(), dtype=input_dtype(case))

    def layer(self, layer: Layer, dtype: str, **further: Any) -> Any:
        """The Keras layer that a description stands for."""
        given = {name: self._argument(value, dtype) for name, value in arguments(layer, dtype).items()}
        if self.flavour == OF_TENSORFLOW_1:
            given.update((name, getattr(layer, name)) for name in OTHER_DEFAULTS if hasattr(layer, name))
        if "dtype" in given:
            given["dtype"] = self.policy(dtype)
        return self._layer_class(layer)(**given, **further)

    def policy(self, dtype: str) -> Any:
        """What a layer takes for ``dtype``: before TensorFlow 2.5 the name of a mixed policy is not enough."""
        return self.keras.mixed_precision.Policy(dtype) if dtype.startswith("mixed_") and self.generation < 3 else dtype

    def _argument(self, value: Any, dtype: str) -> Any:
        if isinstance(value, Layer):
            return self.layer(value, dtype)
        if self.module(value):
            return self.made(value)
        return [self._argument(item, dtype) for item in value] if isinstance(value, tuple) else value

    def run(self, built: Built, case: Case, data: Data) -> List[Array]:
        """What the model returns in each call of the case, as a list of arrays."""
        outputs: List[Any] = []
        for call, inputs in zip(case.calls, data.calls):
            if call.reset:
                reset_states(built.layers)
            given = input_arrays(case, inputs).arrange()
            outputs += flat(self._call(built, case, given))
        return [self.to_numpy(output) for output in outputs]

    def _call(self, built: Built, case: Case, given: Any) -> Any:
        if not self.eager and case.mode == "call":
            return built.model.predict_on_batch(given)
        if case.mode not in PREDICTING:
            given = self.tensors(given)
        rows = case.batch if case.stateful else ROWS
        return {**MODES, **CONVERTED}[case.mode](self.tensorflow, built.model, given, rows)

    def observe(self, case: Case, data: Data) -> Observation:
        """Build the model of a case, copy the weights over, run it, and ask it everything."""
        built = self.build(case)
        model = built.model if case.api not in ("subclass", "layer") else None
        set_weights(built.layers, data.weights)
        weights = model.weights if model else [weight for layer in built.layers for weight in layer.weights]
        count = model.count_params() if model else sum(layer.count_params() for layer in built.layers)
        return Observation(
            weight_names=tuple(base_name(weight.name) for weight in weights),
            weight_shapes=tuple(tuple(weight.shape) for weight in weights),
            parameters=int(count),
            symbolic_shapes=shapes(built.symbolic),
            summary=read_summary(model) if model and type(case.model) is Model and not case.mask else None,
            weights_read_back=[np.asarray(weight) for layer in built.layers for weight in layer.get_weights()],
            outputs=self.run(built, case, data),
        )

    def gradients(self, case: Case, data: Data, cotangents: Sequence[Array]) -> List[Array]:
        """The gradients of Σ ⟨cotangent, output⟩ in the first call of a case.

        They are with respect to x (where it is no token or integer), the initial states and the weights, in this order.
        """
        return self._differentiate(gradients, case, data, cotangents)

    def hessian_product(
        self, case: Case, data: Data, cotangents: Sequence[Array], direction: Sequence[Array]
    ) -> List[Array]:
        """The Hessian of Σ ⟨cotangent, output⟩ times a direction, both laid out as ``gradients`` are."""
        return self._differentiate(hessian_product, case, data, cotangents, direction)

    def _differentiate(
        self, how: Callable[..., List[Any]], case: Case, data: Data, *arrays: Sequence[Array]
    ) -> List[Array]:
        built = self.build(case)
        set_weights(built.layers, data.weights)
        given = self.tensors(input_arrays(case, data.calls[0]).arrange())
        tensors = [[self.tensors(array) for array in own] for own in arrays]
        return [self.to_numpy(one) for one in how(self.tensorflow, built, case.mode, given, *tensors)]

    def module(self, described: Any) -> Any:
        """Where Keras keeps what is called as the class of a loss, an optimizer, a regularizer or a constraint."""
        kinds = (kind.__name__ for kind in type(described).__mro__)
        return next((getattr(self.keras, MODULES[kind]) for kind in kinds if kind in MODULES), None)

    def made(self, described: Any) -> Any:
        """What Keras has for a loss, an optimizer, a regularizer or a constraint."""
        return getattr(self.module(described), type(described).__name__)(**arguments(described))

    def weights_and_candidate(self, case: Case, data: Data) -> Tuple[List[Array], Dict[str, Array]]:
        """The weights of a one-layer model; ``kernel_c`` and ``bias_c`` of its cell where Keras has them (≤ 2.3.1)."""
        model = self.build(case).model
        model.set_weights(data.weights)
        cell = getattr(model.layers[-1], "cell", None)
        names = [name for name in ("kernel_c", "bias_c") if hasattr(cell, name)]
        return model.get_weights(), {name: self.keras.backend.eval(getattr(cell, name)) for name in names}

    def class_name(self, layer: Layer) -> str:
        """The name of the class that stands for a layer, as ``model.summary()`` prints it."""
        return str(self._layer_class(layer).__name__)

    def _layer_class(self, layer: Layer) -> Any:
        return self.lstm if isinstance(layer, LSTM) else getattr(self.keras.layers, type(layer).__name__)

    def to_numpy(self, output: Any) -> Array:
        """A tensor of any backend as an array."""
        ops = getattr(self.keras, "ops", None)
        return np.asarray(ops.convert_to_numpy(output) if ops else output)

    def tensors(self, value: Any) -> Any:
        """An array, or lists of arrays, as tensors of the backend; anything else as it is."""
        if isinstance(value, list):
            return [self.tensors(item) for item in value]
        if not isinstance(value, np.ndarray):
            return value
        ops = getattr(self.keras, "ops", None)
        if ops:
            return ops.convert_to_tensor(value)
        return self.keras.backend.constant(value, dtype="string" if value.dtype.kind == "U" else value.dtype.name)
