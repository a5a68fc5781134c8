"""Whether the suite ever says something else about the same Keras.

::

    python benchmarks/flakes.py               20 runs in shuffled order, with 0 and 2 workers in turn
    python benchmarks/flakes.py 4 tests/conformance/test_states.py        fewer runs, other arguments for pytest

needs pytest-randomly. Ends in a line for each run and the tests whose outcome was not the same in all.
"""

from __future__ import annotations

import sys
import tempfile
import time
import xml.etree.ElementTree
from collections import Counter
from pathlib import Path
from subprocess import DEVNULL, run
from typing import Dict, List

ROOT = Path(__file__).resolve().parents[1]
WORKERS = ("0", "2")


def outcomes(seed: int, workers: str, arguments: List[str]) -> Dict[str, str]:
    """The outcome of each test of a run: passed, failure, error or skipped, as JUnit XML calls them."""
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--randomly-seed={seed}", "-n", workers]
        command = [sys.executable, "-m", "pytest", *options, f"--junitxml={junit}", *arguments]
        run(command, cwd=ROOT, stdout=DEVNULL, stderr=DEVNULL, check=False)
        cases = xml.etree.ElementTree.parse(junit).iter("testcase")
        return {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: xml.etree.ElementTree.Element) -> str:
    said = [child for child in case if child.tag in ("failure", "error", "skipped")]
    return f"{said[0].tag} {said[0].get('type', '')}".strip() if said else "passed"


def main(arguments: List[str]) -> int:
    count = int(arguments[0]) if arguments else 20
    tests = arguments[1:] or ["tests/conformance"]
    runs = []
    for seed in range(count):
        workers, began = WORKERS[seed % len(WORKERS)], time.monotonic()
        runs.append(outcomes(seed, workers, tests))
        counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(Counter(runs[-1].values()).items()))
        print(f"seed {seed:2} workers {workers}: {counts}; {time.monotonic() - began:.0f} s", flush=True)
    names = set().union(*runs)
    flaky = sorted(name for name in names if len({found.get(name) for found in runs}) > 1)
    print(f"{len(flaky)} of {len(names)} tests had not the same outcome in all {count} runs", *flaky, sep="\n  ")
    return 1 if flaky or any("fail" in outcome for found in runs for outcome in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
