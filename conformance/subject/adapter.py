"""Building a case's model in Keras and asking it everything once."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from conformance.case import CONVERSIONS, Case, layers_within
from conformance.data import Data
from conformance.documented import Training
from conformance.expression import arguments
from conformance.faults import with_activation
from conformance.observation import OF_TENSORFLOW_1, Environment, Observation, Trained
from conformance.programs import ARGUMENTS, BATCH, EPOCHS, Program
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
from conformance.subject.conversion import CONVERTED, cannot_convert
from conformance.subject.gradients import gradients, hessian_product
from conformance.subject.modes import MODES, ROWS, building, jit_argument
from conformance.subject.summary import read_summary
from conformance.subject.witness import training_witness
from reference_impl import LSTM, Layer, Model
from reference_impl.cells import Cell
from reference_impl.training import Samples
from reference_impl.types import Array

#: Keras 2 keeps the graphs of all models of a session and TensorFlow their kernels; beginning a session costs time.
MODELS_A_SESSION = 16

#: Modes that take arrays: Keras cuts them into batches itself. The others are given tensors.
PREDICTING = ("predict", "predict_batches", "predict_on_batch", "run_eagerly", "dataset", "mirrored", *CONVERSIONS)

#: Modes that need neither eager computation nor TensorFlow; without the first, "call" is ``predict_on_batch``.
OF_EVERY_VERSION = ("call", "predict", "predict_batches", "predict_on_batch")

#: Arguments that have other defaults in the layers of TensorFlow 1.
OTHER_DEFAULTS = ("recurrent_activation", "implementation")

#: Optimizers clip all gradients together from TensorFlow 2.4 on.
WITHOUT_GLOBAL_CLIPNORM = ("TensorFlow 2.2.", "TensorFlow 2.3.")

#: Where Keras keeps what is described by one of the reference's classes, or a class of its.
MODULES = {"Loss": "losses", "Optimizer": "optimizers", "Regularizer": "regularizers", "Constraint": "constraints"}

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

    def promised(self, case: Case) -> Case:
        """The case as this generation of Keras documents it: Keras 3 gave ``hard_sigmoid`` another slope."""
        if self.generation >= 3:
            return case
        return with_activation("hard_sigmoid", "hard_sigmoid_keras2")(case)

    def unsupported(self, case: Case) -> str:
        """Why this version has nothing to run the case with, or an empty string."""
        known = f"{self.flavour} {self.version}"
        for name in _activation_names(case):
            if name not in ACTIVATIONS_OF_EVERY_VERSION and not self._has_activation(name):
                return f"{known} has no activation {name!r}"
        if case.has({"zero_output_for_mask": "True"}) and not self._takes("zero_output_for_mask"):
            return f"{known} has no zero_output_for_mask"
        if case.dtype.startswith("mixed_") and not self.has_mixed_policies:
            return f"{known} has no mixed precision"
        if case.has({"backward_layer": "given"}) and not self.has_backward_layers:
            return f"{known} has no Bidirectional(backward_layer=)"
        return self._lacks(*(value for _, value in _arguments(case))) or self._cannot_be_run(case)

    def not_fused(self, case: Case) -> str:
        """Why nothing promises that TensorFlow Lite has one operation for the LSTM of a case, or an empty string."""
        if self.environment.backend.startswith("TensorFlow 2.2."):
            return "TensorFlow Lite is promised to have one operation for an LSTM from TensorFlow 2.3 on"
        if self.flavour == OF_TENSORFLOW_1 or self.lstm is not self.keras.layers.LSTM:
            return "TensorFlow Lite is promised to have one operation for the LSTM of TensorFlow 2 alone"
        return self.unsupported(case)

    def _cannot_be_run(self, case: Case) -> str:
        """Why this version cannot build or run a model in the way that the case asks for, or an empty string."""
        if not self.eager and (case.mode not in OF_EVERY_VERSION or case.api in ("subclass", "layer")):
            return f"{self.flavour} {self.version} computes in predict only"
        if not self.eager and isinstance(case.model.layers[0], Cell):
            return f"{self.flavour} {self.version} calls a layer with its input alone, a cell takes states too"
        if case.mode not in OF_EVERY_VERSION and self.tensorflow is None:
            return f"mode {case.mode} is TensorFlow's"
        if case.mode == "compiled" and not jit_argument(self.tensorflow):
            return f"{self.environment.backend} has no tf.function(jit_compile=)"
        return cannot_convert(self.keras, self.tensorflow, case.mode) if case.mode in CONVERSIONS else ""

    def _has_activation(self, name: str) -> bool:
        try:
            self.keras.activations.get(name)
        except ValueError:
            return False
        return True

    def _takes(self, argument: str) -> bool:
        """Whether a layer has this argument; a signature with ``**kwargs`` does not say."""
        try:
            self.keras.layers.LSTM(1, **{argument: True})
        except TypeError:
            return False
        return True

    @property
    def has_backward_layers(self) -> bool:
        """Whether a Bidirectional can be given the layer of its backward half."""
        return "backward_layer" in inspect.signature(self.keras.layers.Bidirectional.__init__).parameters

    @property
    def without_tapes(self) -> str:
        """Why this version cannot be asked for gradients, or an empty string."""
        known = f"{self.flavour} {self.version}"
        if not self.eager:
            return f"{known} computes in predict only"
        return "" if self.tensorflow else f"{known} computes without TensorFlow, whose tapes are asked for gradients"

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
        if self._module(value):
            return self._made(value)
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

    def train(self, case: Case, program: Training, data: Data, y: Array) -> Trained:
        """Compile and fit the model of a case as the program says, from the weights of ``data`` on ``data.x`` and y."""
        self.keras.backend.clear_session()  # a compiled training step is large
        built = self.build(case)
        model = built.model
        model.set_weights(data.weights)
        model.compile(optimizer=program.optimizer, loss=program.loss)
        witness = training_witness(self.keras.callbacks.Callback, last_epoch=program.epochs - 1)
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
            batch_losses=witness.losses,
            last_epoch_weights=witness.before_batches,
            weights=witness.after_epochs,
            predictions=self.run(built, case, data)[0],
        )

    def untrainable(self, program: Program) -> str:
        """Why this version has nothing to run a program with, or an empty string."""
        known = f"{self.flavour} {self.version}"
        if program.optimizer.global_clipnorm and self.environment.backend.startswith(WITHOUT_GLOBAL_CLIPNORM):
            return f"{known} has no global_clipnorm"
        if program.way == "compiled" and "jit_compile" not in inspect.signature(self.keras.Model.compile).parameters:
            return f"{known} has no Model.compile(jit_compile=)"
        lacks = self._lacks(program.loss, program.optimizer) or self.unsupported(program.case)
        return lacks or ("" if self.eager else self._untrainable_in_graphs(program))

    def _untrainable_in_graphs(self, program: Program) -> str:
        """Why Keras 2.3.1 or older has nothing to run a program with, or an empty string."""
        known = f"{self.flavour} {self.version}"
        if program.way == "eagerly":
            return f"{known} has no run_eagerly"
        if program.sample_weight == "steps":
            return f"{known} takes weights of steps with sample_weight_mode only"
        try:
            self._made(program.optimizer)
        except TypeError as error:
            return f"{known}: {error}"
        return self.by_chance(type(program.optimizer).__name__)

    def by_chance(self, optimizer: str) -> str:
        """Why training with the optimizer of this name cannot be judged, or an empty string.

        Keras 2.3.1 reads the number of a step and counts it in no order, for TensorFlow 2 orders nothing in its graphs.
        """
        racing = not self.eager and optimizer.lower() == "adam"
        return f"{self.flavour} {self.version} reads Adam's step while it is counted, by chance" if racing else ""

    def _lacks(self, *described: Any) -> str:
        """Which loss, optimizer, regularizer or constraint this version has no class for, or an empty string."""
        for value in described:
            module = self._module(value)
            if module and not hasattr(module, type(value).__name__):
                return f"{self.flavour} {self.version} has no {type(value).__name__}"
        return ""

    def _module(self, described: Any) -> Any:
        """Where Keras keeps what is called as the class of a loss, an optimizer, a regularizer or a constraint."""
        kinds = (kind.__name__ for kind in type(described).__mro__)
        return next((getattr(self.keras, MODULES[kind]) for kind in kinds if kind in MODULES), None)

    def _made(self, described: Any) -> Any:
        return getattr(self._module(described), type(described).__name__)(**arguments(described))

    def trajectory(self, program: Program, samples: Samples, weights: Sequence[Array]) -> List[Array]:
        """Compile a program, evaluate it and train it from these weights.

        Returns the loss that is evaluated first, that of each batch as it is shown, every weight after each epoch.
        """
        built, (x, y, weight) = self.build(program.case), samples
        set_weights(built.layers, weights)
        with building(self.tensorflow, program.case.mode):  # an optimizer belongs to where it is made
            optimizer, loss = self._made(program.optimizer), self._made(program.loss)
            built.model.compile(optimizer=optimizer, loss=loss, **ARGUMENTS.get(program.way, {}))
        evaluated = built.model.evaluate(x, y, batch_size=BATCH, sample_weight=weight, verbose=0)
        reset_states(built.layers)
        train = self._by_batch if program.way == "on_batch" else self._by_fit
        losses, after = train(built.model, samples)
        return [np.array([evaluated]), np.array(losses), *(own for epoch in after for own in epoch)]

    def _by_fit(self, model: Any, samples: Samples) -> Tuple[List[float], List[List[Array]]]:
        witness = training_witness(self.keras.callbacks.Callback, last_epoch=EPOCHS - 1)
        given = {"sample_weight": samples.sample_weight, "batch_size": BATCH, "epochs": EPOCHS}
        model.fit(samples.x, samples.y, shuffle=False, verbose=0, callbacks=[witness], **given)
        return witness.losses, witness.after_epochs

    def _by_batch(self, model: Any, samples: Samples) -> Tuple[List[float], List[List[Array]]]:
        losses, after = [], []
        for _ in range(EPOCHS):
            losses += [float(model.train_on_batch(*batch)) for batch in samples.batches(BATCH)]
            after.append(model.get_weights())
        return losses, after

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


def set_weights(layers: Sequence[Any], weights: Sequence[Array]) -> None:
    """Give each layer its own of the weights of all."""
    remaining = list(weights)
    for layer in layers:
        count = len(layer.weights)
        layer.set_weights(remaining[:count])
        remaining = remaining[count:]


def reset_states(layers: Sequence[Any]) -> None:
    """Reset what stateful layers carry; ``reset_state`` in Keras 3, ``reset_states`` in Keras 2."""
    for layer in layers:
        reset = getattr(layer, "reset_state", None) or getattr(layer, "reset_states", None)
        if reset and getattr(layer, "stateful", False):
            reset()


def _arguments(case: Case) -> List[Tuple[str, Any]]:
    """Of all layers and the layers and cells in them, by name."""
    layers = (inner for layer in case.model.layers for inner in layers_within(layer))
    return [argument for layer in layers for argument in vars(layer).items()]


def _activation_names(case: Case) -> List[str]:
    named = ("activation", "recurrent_activation")
    return [value for name, value in _arguments(case) if name in named and isinstance(value, str)]


def base_name(name: str) -> str:
    """``kernel`` from ``lstm/lstm_cell/kernel:0``, as Keras 2 writes it, or from ``kernel``, as Keras 3 does."""
    return name.rsplit("/", maxsplit=1)[-1].split(":", maxsplit=1)[0]
