"""What it costs to diagnose a failing case: every default case, each with numbers that no fault explains.

::

    python benchmarks/diagnosis.py       the median, the longest, and how many take longer than half a second

Nothing is found, so everything is tried: the worst that can happen. TensorFlow is not needed. The least of three times
of the CPU is taken for each case.
"""

from __future__ import annotations

from statistics import median
from time import process_time
from timeit import repeat

from conformance.case import Case
from conformance.data import draw
from conformance.diagnosis import diagnose
from conformance.discrimination import cases
from conformance.expected import expected_outputs

LIMIT = 0.5  # seconds


def main() -> None:
    times = {case.id: seconds(case) for case in cases("default")}
    longest = max(times, key=times.__getitem__)
    above = sum(one > LIMIT for one in times.values())
    print(f"{len(times)} cases: median {median(times.values()):.2f} s, {above} above {LIMIT} s")
    print(f"longest {times[longest]:.2f} s: {longest}")


def seconds(case: Case) -> float:
    """How long the diagnosis of a case takes whose every number is wrong."""
    data = draw(case)
    right = list(expected_outputs(case, data).values())
    wrong = [1.5 * one.value + 0.25 for one in right]
    return min(repeat(lambda: diagnose(case, data, wrong, right), timer=process_time, number=1, repeat=3))


if __name__ == "__main__":
    main()
