"""What a fault is, and where in the reference it is put: around a cell's step, a loop over time, two directions."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from conformance.case import Case, map_layers
from conformance.data import Data
from reference_impl import LSTM, RNN, Bidirectional, Estimate, LSTMCell, TimeDistributed
from reference_impl.layer import NOTHING, Given, Run
from reference_impl.training import Compiled
from reference_impl.types import Array, Arrays

#: A cell's step, a loop's run or a Bidirectional's: from the layer, x, its weights and what it is given.
Stepping = Callable[[LSTMCell, Array, Sequence[Array], Given], Tuple[Array, Arrays]]
Running = Callable[[Any, Array, Sequence[Array], Given], Run]

#: The same with what it is put around as first argument.
AroundStep = Callable[[Stepping, LSTMCell, Array, Sequence[Array], Given], Tuple[Array, Arrays]]
AroundRun = Callable[[Running, Any, Array, Sequence[Array], Given], Run]

Halves = Tuple[RNN, RNN]
ChangeOfCase = Callable[[Case], Case]
ChangeOfTraining = Callable[[Compiled], Compiled]


def same_case(case: Case) -> Case:
    return case


def _same_data(case: Case, data: Data) -> Data:
    return data


def everywhere(case: Case) -> bool:
    return True


@dataclass(frozen=True)
class Fault:
    """A wrong LSTM: what it does, in a sentence, and how a case or its data look to a subject that has it.

    ``where`` are the cases in which it may make a difference; in others it need not be tried. One that does something
    by chance has ``found``, the data as they look to it when it returns something like these outputs; ``of_data`` has
    them as they are hardest to tell from the right ones.
    """

    sentence: str
    of_case: ChangeOfCase = same_case
    of_data: Callable[[Case, Data], Data] = _same_data
    where: Callable[[Case], bool] = everywhere
    found: Optional[Callable[[Case, Data, Sequence[Estimate]], Data]] = None


def only(where: Callable[[Case], bool], faults: Mapping[str, Fault]) -> Dict[str, Fault]:
    """Faults that make a difference in some cases only."""
    return {name: replace(fault, where=where) for name, fault in faults.items()}


def around_all(base: Any, arounds: Sequence[Any]) -> Any:
    """A method with others around it, the last of them outermost."""
    for around in arounds:
        base = partial(around, base)
    return base


@dataclass(frozen=True)
class FaultyCell(LSTMCell):
    """A cell with something around its step, the last of ``around`` outermost."""

    around: Tuple[AroundStep, ...] = ()

    def step(self, x: Array, weights: Sequence[Array], given: Given) -> Tuple[Array, Arrays]:
        stepped: Tuple[Array, Arrays] = around_all(LSTMCell.step, self.around)(self, x, weights, given)
        return stepped


@dataclass(frozen=True)
class FaultyRNN(RNN):
    """A loop with something around it, the last of ``around`` outermost."""

    around: Tuple[AroundRun, ...] = ()

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        run: Run = around_all(RNN.run, self.around)(self, x, weights, given)
        return run


@dataclass(frozen=True)
class FaultyBidirectional(Bidirectional):
    """Two directions with something around them, and other halves."""

    around: Tuple[AroundRun, ...] = ()
    change: Tuple[Callable[[Halves], Halves], ...] = ()

    @cached_property
    def halves(self) -> Halves:
        first, second = (half.rnn if isinstance(half, LSTM) else half for half in super().halves)
        for change in self.change:
            first, second = change((first, second))
        return first, second

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        run: Run = around_all(Bidirectional.run, self.around)(self, x, weights, given)
        return run


@dataclass(frozen=True)
class FaultyTimeDistributed(TimeDistributed):
    """Slices with something around the run of them all, the last of ``around`` outermost."""

    around: Tuple[AroundRun, ...] = ()

    def run(self, x: Array, weights: Sequence[Array], given: Given = NOTHING) -> Run:
        run: Run = around_all(TimeDistributed.run, self.around)(self, x, weights, given)
        return run


def made_with(described: Any) -> Dict[str, Any]:
    """What a layer or a case was made with."""
    return {field.name: getattr(described, field.name) for field in fields(described)}


def made_of(kind: Any, described: Any, name: str, what: Any) -> Any:
    """The same as a ``kind`` that has more arguments, with one more item in that of this name."""
    return kind(**{**made_with(described), name: (*getattr(described, name, ()), what)})


def in_layers(change: Callable[[Any], Any]) -> ChangeOfCase:
    """Change every layer and cell of a case, those inside others first."""
    return lambda case: replace(case, model=map_layers(case.model, change))


def in_every_cell(kind: Any, name: str, what: Any) -> ChangeOfCase:
    """Make every LSTM cell one of this kind, with one more item in its argument of this name."""

    def change(layer: Any) -> Any:
        if isinstance(layer, LSTM):
            return map_layers(layer.rnn, change)
        return made_of(kind, layer, name, what) if isinstance(layer, LSTMCell) else layer

    return in_layers(change)


def in_cells(around: AroundStep) -> ChangeOfCase:
    """Put something around the step of every LSTM cell."""
    return in_every_cell(FaultyCell, "around", around)


def faulty_loop(rnn: RNN, around: AroundRun) -> FaultyRNN:
    """A loop with something more around it."""
    loop: FaultyRNN = made_of(FaultyRNN, rnn, "around", around)
    return loop


def change_of_loop(around: AroundRun) -> Callable[[Any], Any]:
    """Put something around a layer that is a loop."""

    def change(layer: Any) -> Any:
        rnn = layer.rnn if isinstance(layer, LSTM) else layer
        return faulty_loop(rnn, around) if isinstance(rnn, RNN) else layer

    return change


def in_loops(around: AroundRun) -> ChangeOfCase:
    """Put something around every loop over time."""
    return in_layers(change_of_loop(around))


def around_bidirectional(around: AroundRun) -> ChangeOfCase:
    """Put something around every Bidirectional."""
    return _in_every(Bidirectional, FaultyBidirectional, "around", around)


def in_halves(change: Callable[[Halves], Halves]) -> ChangeOfCase:
    """Change the halves of every Bidirectional."""
    return _in_every(Bidirectional, FaultyBidirectional, "change", change)


def around_slices(around: AroundRun) -> ChangeOfCase:
    """Put something around every TimeDistributed."""
    return _in_every(TimeDistributed, FaultyTimeDistributed, "around", around)


def _in_every(kind: type, faulty: type, name: str, what: Any) -> ChangeOfCase:
    """Give every layer of a kind, made a faulty one, something more."""
    return in_layers(lambda layer: made_of(faulty, layer, name, what) if isinstance(layer, kind) else layer)
