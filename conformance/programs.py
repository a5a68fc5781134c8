"""Small training programs: every loss, optimizer and argument that training heeds, on every kind of model, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Sequence, Tuple

import numpy as np

from conformance.case import Case, Options, having
from conformance.data import draw, seed
from conformance.expression import expression
from reference_impl import LSTM, Bidirectional, Dense, Embedding, Layer, Masking, Model
from reference_impl.clipping import BOUNDS
from reference_impl.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from reference_impl.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
)
from reference_impl.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from reference_impl.regularizers import L1, L1L2, L2, OrthogonalRegularizer
from reference_impl.training import Compiled, Samples
from reference_impl.types import Array

EPOCHS, FEATURES = 2, 2

#: Samples in three batches, the last of them smaller; layers that carry states need WHOLE ones.
BATCH, SAMPLES, WHOLE = 4, 11, 12

#: How Keras is made to train: by ``fit``, with ``run_eagerly=True`` or ``jit_compile=True``, batch by batch with
#: ``train_on_batch``, or by ``fit`` on two replicas of MirroredStrategy, which have the same share of each batch where
#: samples are WHOLE.
WAYS = ("fit", "eagerly", "compiled", "on_batch", "mirrored")

#: Arguments of ``Model.compile`` that make it train in a way.
COMPILED_FOR = {"eagerly": {"run_eagerly": True}, "compiled": {"jit_compile": True}}


@dataclass(frozen=True)
class Program:
    """A model, how it is compiled and what it learns; losses, optimizers and their arguments are named as Keras's.

    ``sample_weight`` says what has a weight: "samples", their "steps", or nothing.
    """

    id: str
    layers: Tuple[Layer, ...]
    loss: Loss
    optimizer: Optimizer
    sample_weight: str = ""
    way: str = "fit"
    steps: int = 5
    samples: int = SAMPLES

    @property
    def case(self) -> Case:
        """The model and its data as a case, of which a stateful layer must know the batch."""
        first, stateful = self.layers[0], any(layer.stateful for layer in self.layers)
        mask = "gaps" if isinstance(first, (Masking, Embedding)) else ""
        rows = BATCH if stateful else self.samples
        mode = "mirrored" if self.way == "mirrored" else "call"
        return Case(self.id, Model(self.layers), rows, self.steps, FEATURES, api="sequential", mask=mask, mode=mode)

    @property
    def compiled(self) -> Compiled:
        """The reference's."""
        return Compiled(Model(self.layers), self.loss, self.optimizer)

    @property
    def lines(self) -> Tuple[str, ...]:
        """What is done with the model, in Keras."""
        optimizer, loss = expression(self.optimizer), expression(self.loss)
        way = "".join(f", {name}={value}" for name, value in COMPILED_FOR.get(self.way, {}).items())
        weight = ", sample_weight=weights" if self.sample_weight else ""
        compiled = f"model.compile(optimizer={optimizer}, loss={loss}{way})"
        if self.way == "on_batch":
            return compiled, f"model.train_on_batch(x, y{weight})  # {BATCH} rows at a time, {EPOCHS} times over"
        return compiled, f"model.fit(x, y{weight}, batch_size={BATCH}, epochs={EPOCHS}, shuffle=False)"

    def has(self, some: Options) -> bool:
        """As ``Case.has``; loss, optimizer and its arguments, how it clips, sample_weight and way are options too."""
        own = {name: {str(value)} for name, value in vars(self.optimizer).items()}
        own.update(
            loss={type(self.loss).__name__},
            optimizer={type(self.optimizer).__name__},
            clips={name for name in BOUNDS if getattr(self.optimizer, name)},
            sample_weight={self.sample_weight or "None"},
            way={self.way},
        )
        return any(having({**options, **own}, some) for options in self.case.options)


def drawn(program: Program) -> Tuple[Samples, Sequence[Array]]:
    """What a program learns, in the dtypes of what Keras is given, and the weights that it starts from."""
    case = program.case
    layers = tuple(_stateless(layer) for layer in program.layers)
    whole = replace(case, model=Model(layers), batch=program.samples)
    data, random = draw(whole), np.random.RandomState(seed(f"{case.id} targets"))
    (shape,) = whole.model.returned_shapes([whole.input_shape]).values()
    y = TARGETS.get(type(program.loss), _numbers)(random.random_sample(shape))
    weighed: Dict[str, Tuple[int, ...]] = {"samples": shape[:1], "steps": shape[:2]}
    weight = 0.5 + random.random_sample(weighed[program.sample_weight]) if program.sample_weight else None
    return Samples(data.x, y.astype("float32"), weight if weight is None else weight.astype("float32")), data.weights


def _stateless(layer: Any) -> Any:
    return replace(layer, stateful=False) if layer.stateful else layer


def _numbers(uniform: Array) -> Array:
    return 2.0 * uniform - 1.0


def _one_of_two(uniform: Array) -> Array:
    return np.round(uniform)


def _one_of_many(uniform: Array) -> Array:
    ones: Array = np.eye(uniform.shape[-1])[uniform.argmax(axis=-1)]
    return ones


#: From numbers between 0 and 1, what is to be learnt.
TARGETS = {BinaryCrossentropy: _one_of_two, CategoricalCrossentropy: _one_of_many}

MSE, MAE, HUBER = MeanSquaredError(), MeanAbsoluteError(), Huber(delta=0.5)
SLOWLY, FAST = 0.01, 0.1

HEAD = Dense(2)
LAST = (LSTM(3), HEAD)
SEQUENCE = (LSTM(3, return_sequences=True), HEAD)
STACK = (LSTM(4, return_sequences=True), LSTM(3), HEAD)
BIDIRECTIONAL = (Bidirectional(LSTM(3)), HEAD)
STATEFUL = (LSTM(3, stateful=True), HEAD)
MASKED = (Masking(0.5), *LAST)
MASKED_SEQUENCE = (Masking(0.5), *SEQUENCE)
WORDS = (Embedding(7, FEATURES, mask_zero=True), *LAST)
WORDS_SEQUENCE = (Embedding(7, FEATURES, mask_zero=True), *SEQUENCE)
FROZEN = (LSTM(4, return_sequences=True, trainable=False), LSTM(3), HEAD)
PENALIZED = LSTM(
    3,
    kernel_regularizer=L2(0.1),
    recurrent_regularizer=L1(0.05),
    bias_regularizer=L1L2(0.05, 0.1),
    activity_regularizer=L2(0.2),
)
FROZEN_PENALIZED = (LSTM(4, return_sequences=True, trainable=False, kernel_regularizer=L2(0.1)), LSTM(3), HEAD)
CONSTRAINED = LSTM(3, kernel_constraint=MaxNorm(0.6), recurrent_constraint=UnitNorm(), bias_constraint=NonNeg())
KEPT_WITHIN = LSTM(
    3,
    kernel_constraint=MinMaxNorm(0.5, 0.6, rate=0.5),
    recurrent_constraint=MinMaxNorm(1.4, 1.5, axis=1),
    bias_constraint=MaxNorm(0.5),
)

PROGRAMS = (
    Program("sgd", LAST, MSE, SGD(FAST)),
    Program("sgd-mirrored", LAST, MSE, SGD(FAST), samples=WHOLE, way="mirrored"),
    Program("sgd-stateful", STATEFUL, MSE, SGD(FAST), samples=WHOLE),
    Program("sgd-frozen", FROZEN, MSE, SGD(FAST)),
    Program("sgd-frozen-penalized", FROZEN_PENALIZED, MSE, SGD(FAST), way="eagerly"),
    Program("sgd-masked_sequence-sample_weight", MASKED_SEQUENCE, MSE, SGD(FAST), "samples"),
    Program("sgd-sequence-sample_weight-T4", SEQUENCE, MSE, SGD(FAST), "samples", steps=BATCH, samples=WHOLE),
    Program(
        "sgd-masked_sequence-sample_weight-T4",
        MASKED_SEQUENCE,
        MSE,
        SGD(FAST),
        "samples",
        steps=BATCH,
        samples=WHOLE,
        way="eagerly",
    ),
    Program(
        "adam-sequence-mae-sample_weight-T4",
        SEQUENCE,
        MAE,
        Adam(SLOWLY),
        "samples",
        steps=BATCH,
        samples=WHOLE,
        way="eagerly",
    ),
    Program("sgd-words-sample_weight", WORDS, MSE, SGD(FAST), "samples", way="eagerly"),
    Program("sgd-sequence-step_weight", SEQUENCE, MAE, SGD(FAST), "steps", way="eagerly"),
    Program("momentum-sequence-mae", SEQUENCE, MAE, SGD(FAST, momentum=0.9)),
    Program("momentum-words", WORDS, MSE, SGD(FAST, momentum=0.9), way="eagerly"),
    Program("momentum-constrained", (CONSTRAINED, HEAD), MSE, SGD(FAST, momentum=0.9), way="eagerly"),
    Program("sgd-kept_within", (KEPT_WITHIN, HEAD), MSE, SGD(FAST)),
    Program("nesterov-stack-huber", STACK, HUBER, SGD(FAST, momentum=0.9, nesterov=True)),
    Program("nesterov-masked", MASKED, MSE, SGD(FAST, momentum=0.9, nesterov=True), way="eagerly"),
    Program("nesterov-penalized", (PENALIZED, HEAD), MSE, SGD(FAST, momentum=0.9, nesterov=True), way="eagerly"),
    Program("rmsprop-masked", MASKED, MSE, RMSprop(SLOWLY)),
    Program("rmsprop-words", WORDS, MSE, RMSprop(SLOWLY), way="eagerly"),
    Program("rmsprop-centered", LAST, MSE, RMSprop(SLOWLY, centered=True), way="on_batch"),
    Program("rmsprop-centered-momentum", LAST, MSE, RMSprop(SLOWLY, momentum=0.9, centered=True), way="eagerly"),
    Program("rmsprop-centered-frozen", FROZEN, MAE, RMSprop(SLOWLY, rho=0.8, centered=True), way="eagerly"),
    Program("adam-bidirectional", BIDIRECTIONAL, MSE, Adam(SLOWLY)),
    Program("adam-masked_sequence-compiled", MASKED_SEQUENCE, MSE, Adam(SLOWLY), samples=WHOLE, way="compiled"),
    Program("adam-mirrored", SEQUENCE, HUBER, Adam(SLOWLY), samples=WHOLE, way="mirrored"),
    Program("adam-masked_sequence-step_weight", MASKED_SEQUENCE, MSE, Adam(SLOWLY), "steps", way="eagerly"),
    Program("adam-words_sequence-huber", WORDS_SEQUENCE, HUBER, Adam(SLOWLY, beta_1=0.8), way="eagerly"),
    Program("adam-categorical", (LSTM(3), Dense(3, "softmax")), CategoricalCrossentropy(), Adam(SLOWLY)),
    Program("adam-stateful", STATEFUL, MSE, Adam(SLOWLY), way="on_batch", samples=WHOLE),
    Program("amsgrad-unroll", (LSTM(3, unroll=True), HEAD), MSE, Adam(FAST, beta_2=0.5, amsgrad=True)),
    Program("amsgrad-penalized", (PENALIZED, HEAD), MSE, Adam(FAST, beta_2=0.5, amsgrad=True), way="eagerly"),
    Program("amsgrad-words", WORDS, MSE, Adam(FAST, beta_2=0.5, amsgrad=True), way="eagerly"),
    Program("amsgrad-sample_weight", LAST, HUBER, Adam(FAST, beta_2=0.5, amsgrad=True), "samples", way="eagerly"),
    Program("adamw", LAST, MSE, AdamW(SLOWLY, weight_decay=0.1)),
    Program("adamw-constrained", (CONSTRAINED, HEAD), MSE, AdamW(SLOWLY, weight_decay=0.1), way="eagerly"),
    Program(
        "adamw-bidirectional-step_weight",
        (Bidirectional(SEQUENCE[0]), HEAD),
        MSE,
        AdamW(SLOWLY, weight_decay=0.1),
        "steps",
        way="eagerly",
    ),
    Program("adagrad-no_bias", (LSTM(3, use_bias=False), HEAD), MSE, Adagrad(FAST, initial_accumulator_value=1e-4)),
    Program("adagrad-words", WORDS, MSE, Adagrad(FAST, initial_accumulator_value=1e-4), way="eagerly"),
    Program(
        "adagrad-masked_sequence", MASKED_SEQUENCE, MSE, Adagrad(FAST, initial_accumulator_value=1e-4), way="on_batch"
    ),
    Program("clipvalue", LAST, MSE, SGD(FAST, clipvalue=0.01)),
    Program("clipvalue-stateful", STATEFUL, MAE, SGD(FAST, clipvalue=0.01), samples=WHOLE, way="eagerly"),
    Program("clipvalue-words", WORDS, MSE, SGD(FAST, clipvalue=0.01), way="eagerly"),
    Program("clipnorm", LAST, MSE, SGD(FAST, clipnorm=0.05)),
    Program("clipnorm-constrained", (CONSTRAINED, HEAD), MSE, SGD(FAST, clipnorm=0.05), way="eagerly"),
    Program("clipnorm-words", WORDS, MSE, SGD(FAST, clipnorm=0.01), way="eagerly"),
    Program("global_clipnorm", LAST, MSE, SGD(FAST, global_clipnorm=0.05)),
    Program("global_clipnorm-words", WORDS, MSE, SGD(FAST, global_clipnorm=0.05), way="eagerly"),
    Program("global_clipnorm-frozen", FROZEN, MSE, SGD(FAST, global_clipnorm=0.05), way="eagerly"),
    Program("binary", (LSTM(3), Dense(2, "sigmoid")), BinaryCrossentropy(), SGD(FAST)),
    Program("binary-logits-words", WORDS, BinaryCrossentropy(from_logits=True), SGD(FAST), "samples", way="eagerly"),
    Program(
        "categorical-logits-penalized",
        (PENALIZED, Dense(3)),
        CategoricalCrossentropy(from_logits=True),
        SGD(FAST),
        way="eagerly",
    ),
    Program(
        "orthogonal-stack",
        (LSTM(4, return_sequences=True, recurrent_regularizer=OrthogonalRegularizer(0.5)), LSTM(3), HEAD),
        MSE,
        SGD(FAST),
    ),
    Program(
        "orthogonal-columns",
        (LSTM(4, kernel_regularizer=OrthogonalRegularizer(0.1, "columns")), HEAD),
        MSE,
        SGD(FAST),
        way="eagerly",
    ),
    Program(
        "orthogonal-bidirectional",
        (Bidirectional(LSTM(3, recurrent_regularizer=OrthogonalRegularizer(0.5))), HEAD),
        MSE,
        SGD(FAST),
        way="eagerly",
    ),
)
