"""Faults: named wrong LSTMs, each a small change of what the reference is asked."""

from typing import Dict, Iterable, Sequence, Tuple

from conformance.case import Case
from conformance.data import Data
from conformance.faults.arithmetic import OF_ARITHMETIC
from conformance.faults.cells import GATE_ORDERS, OF_CELLS, with_activation
from conformance.faults.dropout import OF_DROPOUT
from conformance.faults.fault import Fault
from conformance.faults.loops import OF_LOOPS
from conformance.faults.wrappers import OF_WRAPPERS
from reference_impl import Estimate

__all__ = ["ARITHMETIC", "CAUSAL", "FAULTS", "GATE_ORDERS", "Fault", "applied", "with_activation"]

#: What a subject can be found to do, by name.
FAULTS: Dict[str, Fault] = {**OF_CELLS, **OF_ARITHMETIC, **OF_LOOPS, **OF_WRAPPERS, **OF_DROPOUT}

#: Of these, those that only round more than they should; how near they are is their format's doing, not the case's.
ARITHMETIC = frozenset({*OF_ARITHMETIC, "inputs_in_float32"})

#: Of these, those with which what a layer that reads forwards returns first does not depend on later steps.
CAUSAL = frozenset({*OF_CELLS, *OF_ARITHMETIC, "inputs_late", "rows_mixed", "outputs_late", "h_c_exchanged_returned"})


def applied(names: Iterable[str], case: Case, data: Data, like: Sequence[Estimate] = ()) -> Tuple[Case, Data]:
    """The case and its data as a subject with all these faults evaluates them.

    What a fault does by chance is what comes nearest to ``like``, where that is given.
    """
    for fault in map(FAULTS.__getitem__, names):
        seen = fault.found(case, data, like) if fault.found and like else fault.of_data(case, data)
        case, data = fault.of_case(case), seen
    return case, data
