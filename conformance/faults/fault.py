"""What a fault is, and where in the reference it is put: around a cell's step, a loop over time, two directions."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Callable, Dict, Sequence, Tuple

from conformance.case import Case, map_layers
from conformance.data import Data
from reference_impl import LSTM, RNN, Bidirectional, LSTMCell
from reference_impl.layer import NOTHING, Arrays, Given, Run
from reference_impl.types import Array

#: A cell's step, a loop's run or a Bidirectional's: from the layer, x, its weights and what it is given.
Stepping = Callable[[LSTMCell, Array, Sequence[Array], Given], Tuple[Array, Arrays]]
Running = Callable[[Any, Array, Sequence[Array], Given], Run]

#: The same with what it is put around as first argument.
AroundStep = Callable[[Stepping, LSTMCell, Array, Sequence[Array], Given], Tuple[Array, Arrays]]
AroundRun = Callable[[Running, Any, Array, Sequence[Array], Given], Run]

Halves = Tuple[RNN, RNN]
ChangeOfCase = Callable[[Case], Case]


def _same_case(case: Case) -> Case:
    return case


def _same_data(case: Case, data: Data) -> Data:
    return data


@dataclass(frozen=True)
class Fault:
    """A wrong LSTM: what it does, in a sentence, and how a case or its data look to a subject that has it."""

    sentence: str
    of_case: ChangeOfCase = _same_case
    of_data: Callable[[Case, Data], Data] = _same_data


@dataclass(frozen=True)
class FaultyCell(LSTMCell):
    """A cell with something around its step, the last of ``around`` outermost."""

    around: Tuple[AroundStep, ...] = ()

    def step(self, x: Array, weights: Sequence[Array], given: Given) -> Tuple[Array, Arrays]:
        step: Stepping = LSTMCell.step
        for around in self.around:
            step = partial(around, step)
        return step(self, x, weights, given)


@dataclass(frozen=True)
class FaultyRNN(RNN):
    """A loop with something around it, the last of ``around`` outermost."""

    around: Tuple[AroundRun, ...] = ()

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        run: Running = RNN.run
        for around in self.around:
            run = partial(around, run)
        return run(self, x, weights, given)


@dataclass(frozen=True)
class FaultyBidirectional(Bidirectional):
    """Two directions with something around them, and other halves."""

    around: Tuple[AroundRun, ...] = ()
    change: Tuple[Callable[[Halves], Halves], ...] = ()

    @property
    def halves(self) -> Halves:
        first, second = (half.rnn if isinstance(half, LSTM) else half for half in super().halves)
        for change in self.change:
            first, second = change((first, second))
        return first, second

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        run: Running = Bidirectional.run
        for around in self.around:
            run = partial(around, run)
        return run(self, x, weights, given)


def arguments(layer: Any) -> Dict[str, Any]:
    """What a layer was made with."""
    return {field.name: getattr(layer, field.name) for field in fields(layer)}


def in_layers(change: Callable[[Any], Any]) -> ChangeOfCase:
    """Change every layer and cell of a case, those inside others first."""
    return lambda case: replace(case, model=map_layers(case.model, change))


def in_cells(around: AroundStep) -> ChangeOfCase:
    """Put something around the step of every LSTM cell."""

    def change(layer: Any) -> Any:
        if isinstance(layer, LSTM):
            return map_layers(layer.rnn, change)
        if not isinstance(layer, LSTMCell):
            return layer
        return FaultyCell(**{**arguments(layer), "around": (*getattr(layer, "around", ()), around)})

    return in_layers(change)


def faulty_loop(rnn: RNN, around: AroundRun) -> FaultyRNN:
    """A loop with something more around it."""
    return FaultyRNN(**{**arguments(rnn), "around": (*getattr(rnn, "around", ()), around)})


def in_loops(around: AroundRun) -> ChangeOfCase:
    """Put something around every loop over time."""

    def change(layer: Any) -> Any:
        rnn = layer.rnn if isinstance(layer, LSTM) else layer
        return faulty_loop(rnn, around) if isinstance(rnn, RNN) else layer

    return in_layers(change)


def around_bidirectional(around: AroundRun) -> ChangeOfCase:
    """Put something around every Bidirectional."""
    return _in_bidirectional("around", around)


def in_halves(change: Callable[[Halves], Halves]) -> ChangeOfCase:
    """Change the halves of every Bidirectional."""
    return _in_bidirectional("change", change)


def _in_bidirectional(name: str, what: Any) -> ChangeOfCase:
    def change(layer: Any) -> Any:
        if not isinstance(layer, Bidirectional):
            return layer
        return FaultyBidirectional(**{**arguments(layer), name: (*getattr(layer, name, ()), what)})

    return in_layers(change)
