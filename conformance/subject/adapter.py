"""Building a case's model in Keras and asking it everything once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from conformance.case import Case, map_lstms
from conformance.data import Data, state_shapes
from conformance.documented import Training
from conformance.expression import arguments
from conformance.faults import with_activation
from conformance.observation import Environment, Observation, Trained
from conformance.subject import environment
from conformance.subject.summary import read_summary
from conformance.subject.witness import weights_witness
from reference_impl import LSTM
from reference_impl.model import Layer
from reference_impl.types import Array, Shape

#: Keras 2 keeps the graphs of all models of a session and TensorFlow their kernels; beginning a session costs time.
MODELS_A_SESSION = 16

#: A build without one of these is wrong, not old.
ACTIVATIONS_OF_EVERY_VERSION = {"elu", "exponential", "hard_sigmoid", "linear", "relu", "selu"}
ACTIVATIONS_OF_EVERY_VERSION |= {"sigmoid", "softmax", "softplus", "softsign", "tanh"}


class Subject:
    """One Keras: ``keras`` is its module, ``lstm`` the class judged in place of ``keras.layers.LSTM``, if any."""

    def __init__(self, flavour: str, keras: Any, lstm: Optional[type] = None, lstm_path: str = "") -> None:
        self.flavour = flavour
        self.version = environment.keras_version(keras)
        self.environment: Environment = environment.describe(flavour, self.version, keras, lstm_path)
        self.keras = keras
        self._built = 0
        self._lstm = lstm or keras.layers.LSTM
        # Keras 2.3 and older build graphs of their own: their models compute in `predict` only.
        self._eager = not hasattr(keras.backend, "symbolic")

    @property
    def generation(self) -> int:
        """The major version of Keras, which decides what its documentation promises."""
        return int(self.version.split(".")[0])

    @property
    def versions(self) -> Dict[str, str]:
        """The versions that registered divergences name."""
        return {"keras": self.version, self.keras.backend.backend(): self.environment.backend.split()[-1]}

    def promised(self, case: Case) -> Case:
        """The case as this generation of Keras documents it: Keras 3 gave ``hard_sigmoid`` another slope."""
        if self.generation >= 3:
            return case
        return replace(case, model=map_lstms(case.model, with_activation("hard_sigmoid", "hard_sigmoid_keras2")))

    def unsupported(self, case: Case) -> str:
        """Why this version cannot build the case, or an empty string."""
        for layer in case.model.layers:
            for name in _activation_names(layer):
                if name in ACTIVATIONS_OF_EVERY_VERSION:
                    continue
                try:
                    self.keras.activations.get(name)
                except ValueError:
                    return f"{self.flavour} {self.version} has no activation {name!r}"
        return ""

    def build(self, case: Case) -> Any:
        """The model of a case, with weights as Keras initializes them."""
        self._built += 1
        if self._built % MODELS_A_SESSION == 0:
            self.keras.backend.clear_session()
        layers = [self.layer(layer, case.dtype) for layer in case.model.layers]
        if case.api == "functional":
            return self._functional(case, layers)
        shape = (case.steps, case.features)
        if case.api == "input_shape":
            layers[0] = self.layer(case.model.layers[0], case.dtype, input_shape=shape)
        elif self._eager:
            layers.insert(0, self.keras.Input(shape, dtype=case.dtype))
        else:  # Sequential takes tensors such as Input's from Keras 2.4 on
            layers.insert(0, self.keras.layers.InputLayer(shape, dtype=case.dtype))
        return self.keras.Sequential(layers)

    def layer(self, layer: Layer, dtype: str, **further: Any) -> Any:
        """The Keras layer that a description stands for."""
        given = {
            name: self.layer(value, dtype) if hasattr(value, "weight_shapes") else value
            for name, value in arguments(layer, dtype).items()
        }
        return self._layer_class(layer)(**given, **further)

    def run(self, model: Any, case: Case, data: Data) -> List[Array]:
        """What the model returns for the case's input, as a list of arrays."""
        inputs = [data.x, *data.initial_state] if case.initial_state else data.x
        if case.mode == "predict":
            outputs = model.predict(inputs, verbose=0)
        elif self._eager:
            outputs = model(inputs)
        else:
            outputs = model.predict_on_batch(inputs)
        return [self._to_numpy(output) for output in _as_list(outputs)]

    def observe(self, case: Case, data: Data) -> Observation:
        """Build the model of a case, copy the weights over, run it, and ask it everything."""
        model = self.build(case)
        model.set_weights(data.weights)
        return Observation(
            weight_names=tuple(_base_name(weight.name) for weight in model.weights),
            weight_shapes=tuple(tuple(weight.shape) for weight in model.weights),
            parameters=int(model.count_params()),
            symbolic_shapes=_shapes(model.output_shape),
            summary=read_summary(model),
            weights_read_back=[np.asarray(weight) for weight in model.get_weights()],
            outputs=self.run(model, case, data),
        )

    def train(self, case: Case, program: Training, data: Data, y: Array) -> Trained:
        """Compile and fit the model of a case as the program says, from the weights of ``data`` on ``data.x`` and y."""
        self.keras.backend.clear_session()  # a compiled training step is large
        model = self.build(case)
        model.set_weights(data.weights)
        model.compile(optimizer=program.optimizer, loss=program.loss)
        witness = weights_witness(self.keras.callbacks.Callback, last_epoch=program.epochs - 1)
        history = model.fit(
            data.x,
            y,
            epochs=program.epochs,
            batch_size=program.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[witness],
        )
        return Trained(
            parameters=int(model.count_params()),
            losses=[float(loss) for loss in history.history["loss"]],
            last_epoch_weights=witness.weights,
            weights=model.get_weights(),
            predictions=self.run(model, case, data)[0],
        )

    def weights_and_candidate(self, case: Case, data: Data) -> Tuple[List[Array], Dict[str, Array]]:
        """The weights of a one-layer model; ``kernel_c`` and ``bias_c`` of its cell where Keras has them (≤ 2.3.1)."""
        model = self.build(case)
        model.set_weights(data.weights)
        cell = getattr(model.layers[-1], "cell", None)
        names = [name for name in ("kernel_c", "bias_c") if hasattr(cell, name)]
        return model.get_weights(), {name: self.keras.backend.eval(getattr(cell, name)) for name in names}

    def class_name(self, layer: Layer) -> str:
        """The name of the class that stands for a layer, as ``model.summary()`` prints it."""
        return str(self._layer_class(layer).__name__)

    def _layer_class(self, layer: Layer) -> Any:
        return self._lstm if isinstance(layer, LSTM) else getattr(self.keras.layers, type(layer).__name__)

    def _functional(self, case: Case, layers: Sequence[Any]) -> Any:
        x = self.keras.Input((case.steps, case.features), dtype=case.dtype)
        states = [self.keras.Input(shape[1:], dtype=case.dtype) for shape in state_shapes(case, None)]
        y = layers[0](x, initial_state=states) if states else layers[0](x)
        for layer in layers[1:]:
            y = layer(_as_list(y)[0])
        return self.keras.Model([x, *states] if states else x, y)

    def _to_numpy(self, output: Any) -> Array:
        ops = getattr(self.keras, "ops", None)
        return np.asarray(ops.convert_to_numpy(output) if ops else output)


def _activation_names(layer: Layer) -> List[str]:
    inner = getattr(layer, "layer", layer)
    names = (getattr(inner, name, None) for name in ("activation", "recurrent_activation"))
    return [name for name in names if isinstance(name, str)]


def _base_name(name: str) -> str:
    """``kernel`` from ``lstm/lstm_cell/kernel:0``, as Keras 2 writes it, or from ``kernel``, as Keras 3 does."""
    return name.rsplit("/", maxsplit=1)[-1].split(":", maxsplit=1)[0]


def _as_list(value: Any) -> List[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _shapes(output_shape: Any) -> Tuple[Shape, ...]:
    """``model.output_shape`` is a shape, or a list of shapes where the model returns several tensors."""
    several = any(isinstance(item, (list, tuple)) for item in output_shape)
    return tuple(tuple(shape) for shape in (output_shape if several else [output_shape]))
