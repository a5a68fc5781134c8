"""Second-order gradients: the Hessian of a case times a direction that is drawn from its id.

A product with a whole drawn vector has every entry of the Hessian in it, at the cost of a gradient of a gradient.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import numpy as np

from conformance import catalogue, space
from conformance.case import Case
from conformance.covering import frozen_ids
from conformance.data import Data, Inputs, seed
from conformance.divergences import SECOND_ORDER
from conformance.expected import prepared
from conformance.faults.gradients import NO_FAULT, GradientFault
from conformance.faults.second_order import SECOND_ORDER_FAULTS
from conformance.gradients import (
    Question,
    Register,
    cotangents,
    expected_of,
    judge_answer,
    judge_gradients,
)
from conformance.judge import Judgement
from conformance.subject import Subject
from reference_impl import Estimate
from reference_impl.gradients import ModelGradients
from reference_impl.rounding import round_to
from reference_impl.second_order import hessian_product
from reference_impl.types import Array


def cases() -> List[Case]:
    """The cases that are asked: frozen ones of the option space, and an LSTM under each dense head."""
    heads = [case for case in catalogue.heads() if case.id.startswith("single-functional-")]
    return [*map(space.case, frozen_ids("second_order")), *heads]


def drawn_direction(case: Case, data: Data) -> Data:
    """How far each number of the first call and each weight moves, in the dtypes of ``data``; tokens do not."""
    random = np.random.RandomState(seed(f"{case.id} direction"))

    def direction(array: Array) -> Array:
        drawn = round_to(2.0 * random.random_sample(array.shape) - 1.0, case.compute_dtype)
        return drawn.astype(array.dtype) if array.dtype.kind == "f" else np.zeros_like(array)

    given = data.calls[0]
    moves = Inputs([direction(x) for x in given.x], given.masks, [direction(state) for state in given.states])
    return Data((moves,), [direction(weight) for weight in data.weights])


def expected_products(case: Case, data: Data, fault: GradientFault = NO_FAULT) -> Dict[str, Estimate]:
    """By name, the Hessian times the direction, laid out as ``expected_gradients``."""
    along = drawn_direction(case, data)
    weights = [round_to(weight, case.compute_dtype) for weight in along.weights]

    def differentiate(tile: Callable[[Array], Array], *arguments: Any) -> ModelGradients:
        x, states, _ = prepared(case, case.calls[0], along.calls[0], (), tile)
        return hessian_product(ModelGradients(tuple(x), tuple(weights), tuple(states)), *arguments)

    return expected_of(case, data, fault, differentiate)


def _ask(subject: Subject, case: Case, data: Data) -> List[Array]:
    along = drawn_direction(case, data)
    floating = [x for x in along.calls[0].x if x.dtype.kind == "f"]
    return subject.hessian_product(case, data, cotangents(case), [*floating, *along.initial_state, *along.weights])


IN_SECOND_ORDER = Question(
    name=SECOND_ORDER,
    ask=_ask,
    expected=expected_products,
    faults=SECOND_ORDER_FAULTS,
    earlier=judge_gradients,
    of="gradients",
)


def judge_second_order(case: Case, subject: Subject, register: Register = ()) -> Judgement:
    """Hold the Hessian of a case times its direction to the reference."""
    return judge_answer(IN_SECOND_ORDER, case, subject, register)
