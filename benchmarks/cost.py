"""What the suite costs beside the Keras calls it cannot do without.

::

    python benchmarks/cost.py            CPU seconds and peak memory of three processes of one run, and their ratios

The three run one after another, without xdist: ``import tensorflow``; a bare loop that builds, runs and trains the
models of every case; and pytest over the same cases. Machines are noisy: read the ratios, not the seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple

ROOT = Path(__file__).resolve().parents[1]


#: The tests that judge cases; the others ask Keras one thing each, with nothing to compare their cost to.
CASES = [f"tests/conformance/test_{name}.py" for name in ("models", "documented", "space")]


class Cost(NamedTuple):
    """User and system CPU seconds, and the largest resident set in MiB."""

    cpu: float
    memory: float


def bare() -> None:
    """Build and run the model of every case, and train the documented programs, with nothing around it."""
    from conformance.case import CONVERSIONS
    from conformance.data import draw
    from conformance.discrimination import cases
    from conformance.documented import load_documents
    from conformance.subject import load
    from conformance.subject.unsupported import unable_to_run
    from conformance.training import EPOCHS, case_of, windows

    subject = load("tensorflow.keras")
    for case in cases("default"):
        if case.mode in CONVERSIONS or unable_to_run(subject, case):
            continue
        subject.forget()
        try:
            subject.run(subject.build(case), case, draw(case))
        except Exception as error:  # a known divergence
            print(f"{case.id}: {error}")
    for program in (program for document in load_documents() for program in document.training):
        x, y = windows(program)
        model = subject.build(case_of(program, x)).model
        model.compile(optimizer=program.optimizer, loss=program.loss)
        model.fit(x, y, epochs=EPOCHS, batch_size=program.batch_size, shuffle=False, verbose=0)
        model.predict(x, verbose=0)


def measure(*command: str) -> Cost:
    """Run a command and read what it used."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}: failed")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main(arguments: List[str]) -> None:
    if arguments == ["bare"]:
        bare()
        return
    imported = measure("-c", "import tensorflow")
    loop = measure(__file__, "bare")
    suite = measure("-m", "pytest", *CASES, "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    for name, cost in (("import tensorflow", imported), ("bare loop", loop), ("pytest", suite)):
        print(f"{name:20} {cost.cpu:7.1f} s CPU {cost.memory:7.0f} MiB")
    print(f"CPU of pytest / bare loop:                {suite.cpu / loop.cpu:.2f}")
    print(f"memory of pytest / import tensorflow:     {suite.memory / imported.memory:.2f}")
    print(f"memory of bare loop / import tensorflow:  {loop.memory / imported.memory:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
