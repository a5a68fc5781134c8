"""Edit Keras's recurrent sources, one place at a time, and see which edits a suite notices.

::

    python benchmarks/mutation.py                      both suites over 150 edits, then the table and the survivors
    python benchmarks/mutation.py --list               the edits that would be made, without making any
    python benchmarks/mutation.py --suite ours         this suite only (or ``keras``: Keras's own tests of these files)
    python benchmarks/mutation.py --only 3,17          these edits of the list again
    python benchmarks/mutation.py --results a.jsonl    where each judgement is appended; what is there is not run again

Each edit is made in a fresh copy of the installed Keras. A suite that fails, crashes or hangs has killed the edit.
The sources and the seed decide the draw: each file in proportion to what there is to edit, its kinds of edit in turn,
so that the many trivial ones do not crowd out the few telling ones. A larger ``--count`` begins with the same edits.
What runs at import, or is reached with a GPU or a GRU only, is left out. It needs Python 3.9 or newer.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(importlib.util.find_spec("keras").submodule_search_locations[0])
LAYERS = "keras/src/layers/rnn"
RECURRENT = ("lstm", "rnn", "bidirectional", "stacked_rnn_cells", "time_distributed", "dropout_rnn_cell")
FILES = (*(f"{LAYERS}/{name}.py" for name in RECURRENT), "keras/src/backend/tensorflow/rnn.py")
TEXTS = {file: (PACKAGE.parent / file).read_text("ascii") for file in FILES}
KERAS_TESTS = "-x -q --rootdir . " + " ".join(f"{LAYERS}/{name}_test.py" for name in RECURRENT)
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly")
SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TF_NUM_INTRAOP_THREADS": "1",  # jobs that run side by side hinder each other less
}
LONGEST = 900.0

# Without a GPU nothing depends on what these compute: cuDNN's code, the choice of it, and the GRU's.
LEFT_OUT = """lstm _cudnn_lstm _do_lstm_arguments_support_cudnn _standardize_cudnn_weights _assert_valid_mask
    _has_fully_masked_sequence _is_sequence_right_padded _compute_sequence_length_from_mask
    _call_fused_lstm bidirectional_lstm _can_attempt_fused_gru _call_fused_gru bidirectional_gru
    gru _cudnn_gru _do_gru_arguments_support_cudnn"""
NAMING = ("name", "tensor_array_name")
OPERATIONS = {ast.BinOp: "arithmetic", ast.AugAssign: "arithmetic", ast.BoolOp: "boolean", ast.Compare: "comparison"}


def both_ways(pairs: str) -> dict[str, str]:
    there = dict(pair.split(" <-> ") for pair in pairs.split(", "))
    return {**there, **{second: first for first, second in there.items()}}


OPTIONS = both_ways("concat <-> sum, mul <-> ave, tanh <-> sigmoid, glorot_uniform <-> orthogonal, zeros <-> ones")
SIGNS = both_ways("+ <-> -, * <-> /, == <-> !=, < <-> <=, > <-> >=, is <-> is not, in <-> not in, and <-> or")
SIGNS["//"] = "/"
SIGN = re.compile("|".join(map(re.escape, sorted(SIGNS, key=len, reverse=True))))


@dataclass(frozen=True)
class Edit:
    """What replaces the text of a file from start to end."""

    file: str
    line: int
    operator: str
    start: int
    end: int
    new: str

    def applied(self) -> str:
        return TEXTS[self.file][: self.start] + self.new + TEXTS[self.file][self.end :]

    def __str__(self) -> str:
        """The lines before and after, each as one."""
        text = TEXTS[self.file]
        first, last = text.rfind("\n", 0, self.start) + 1, text.find("\n", self.end) - len(text)
        before, after = (" ".join(lines[first:last].split()) for lines in (text, self.applied()))
        return f"{self.file}:{self.line} {self.operator}\n- {before}\n+ {after}"


@dataclass(frozen=True)
class Judgement:
    """What a suite made of an edit, by which test, and the seconds it took."""

    suite: str
    edit: Edit | None
    verdict: str
    by: str
    cpu: float
    wall: float


def operators(node: ast.AST, text: str) -> Iterator[tuple]:
    kind = OPERATIONS.get(type(node))
    operands = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)] if kind else []
    for left, right in zip(operands, operands[1:]):
        start, end = left.span[1], right.span[0]
        yield kind, start, end, SIGN.sub(lambda sign: SIGNS[sign[0]], text[start:end], count=1)


def expressions(node: ast.AST, text: str) -> Iterator[tuple]:
    """Each way for every condition, and another value for a constant."""
    if isinstance(node, (ast.If, ast.IfExp)):
        opposite = f"not ({text[slice(*node.test.span)]})"
        yield from (("condition", *node.test.span, new) for new in ("True", "False", opposite))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "condition", *node.span, f"({text[slice(*node.operand.span)]})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield "option", *node.span, repr(OPTIONS.get(node.value, f"{node.value}_"))
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield "constant", *node.span, repr(type(node.value)(0 if node.value == 1 else node.value + 1))


def deletions(node: ast.AST, text: str) -> Iterator[tuple]:
    """A call, a raise, or an assignment to what may have a value already."""
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    again = isinstance(node, (ast.AugAssign, ast.Raise, ast.Delete))
    if isinstance(node, ast.Assign):
        read = [inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)]
        again = all(target.id in read for target in node.targets if isinstance(target, ast.Name))
    if called or again:
        yield "deletion", *node.span, "pass"


def exchanges(node: ast.AST, text: str) -> Iterator[tuple]:
    """Neighbours in a tuple, a list, or the arguments of a call change places."""
    row = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
    for (start, one), (other, end) in ((first.span, second.span) for first, second in zip(row, row[1:])):
        yield "exchange", start, end, text[other:end] + text[one:other] + text[start:one]


def omissions(node: ast.AST, text: str) -> Iterator[tuple]:
    """None for an argument or a returned value, and no keyword or bound of a slice at all."""
    values = node.args if isinstance(node, ast.Call) else [node.value] if isinstance(node, ast.Return) else []
    yield from (("nothing", *value.span, "None") for value in values if value)
    for keyword in node.keywords if isinstance(node, ast.Call) else ():
        if keyword.arg not in NAMING:
            start, end = keyword.span
            yield "keyword", start, end + re.match(r"(\s*,)?", text[end:]).end(), ""
    bounds = (node.lower, node.upper, node.step) if isinstance(node, ast.Slice) else ()
    yield from (("slice", *bound.span, "") for bound in bounds if bound)


def editable(node: ast.AST) -> Iterator[ast.AST]:
    """The node and those below it that compute: no texts, no names of things, nothing that runs at import."""
    yield node
    if isinstance(node, (ast.Raise, ast.JoinedStr)) or getattr(node, "name", None) in LEFT_OUT.split():
        return
    below = node.body if isinstance(node, ast.ClassDef) else ast.iter_child_nodes(node)
    for child in [*node.args.defaults, *node.body] if isinstance(node, ast.FunctionDef) else below:
        comment = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        if not comment and getattr(child, "arg", None) not in NAMING:
            yield from editable(child)


def edits(file: str) -> Iterator[Edit]:
    text = TEXTS[file]
    tree = ast.parse(text)
    lines = [0, *itertools.accumulate(map(len, text.splitlines(keepends=True)))]
    for node in (node for node in ast.walk(tree) if hasattr(node, "lineno")):
        node.span = lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset
    for node in editable(tree):
        for changes in (operators, expressions, exchanges, deletions, omissions):
            for kind, start, end, new in changes(node, text):
                yield Edit(file, text.count("\n", 0, start) + 1, kind, start, end, new)


def draw(seed: int, count: int) -> list[Edit]:
    generator, placed = random.Random(seed), []
    for possible in map(list, map(edits, FILES)):
        generator.shuffle(possible)
        turns: dict[str, Iterator[int]] = {}
        possible.sort(key=lambda edit: next(turns.setdefault(edit.operator, itertools.count())))
        placed += [((rank + 0.5) / len(possible), edit) for rank, edit in enumerate(possible)]
    drawn = (edit for _, edit in sorted(placed, key=lambda place: place[0]))
    return [edit for edit in drawn if edit.applied() != TEXTS[edit.file]][:count]


def judge(suite: str, arguments: str, edit: Edit | None, deadline: float = LONGEST) -> Judgement:
    """Run a suite over a copy of Keras in which the edit, if any, is made."""
    with tempfile.TemporaryDirectory() as copy, tempfile.TemporaryFile("w+", errors="replace") as output:
        shutil.copytree(PACKAGE, Path(copy, "keras"))
        if edit:
            Path(copy, edit.file).write_text(edit.applied())
        place = {"cwd": ROOT if suite == "ours" else copy, "env": {**os.environ, **SETTINGS, "PYTHONPATH": copy}}
        streams = {"stdout": output, "stderr": subprocess.STDOUT}
        started = time.monotonic()
        process = subprocess.Popen([*PYTEST, *arguments.split()], start_new_session=True, **place, **streams)
        timer = threading.Timer(deadline, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        wall, cpu = time.monotonic() - started, usage.ru_utime + usage.ru_stime
        output.seek(0)
        failures = re.findall(r"^(?:FAILED|ERROR) (.{,200})", output.read(), re.MULTILINE)
    ends = ["timeout"] * (wall >= deadline) + failures + [f"exit status {os.waitstatus_to_exitcode(status)}"]
    return Judgement(suite, edit, "killed" if status else "survived", ends[0], round(cpu, 2), round(wall, 2))


def deadline(suite: str, arguments: str) -> float:
    """Ten times what the suite takes for Keras as it is. It must pass then, and fail without Keras's sources."""
    plain = judge(suite, arguments, None)
    if plain.verdict == "killed":
        raise SystemExit(f"{suite}: fails without any edit: {plain.by}")
    if judge(suite, arguments, Edit(FILES[0], 1, "import", 0, 0, "raise ImportError\n")).verdict == "survived":
        raise SystemExit(f"{suite}: does not import the copy of Keras")
    print(f"{suite}: {plain.cpu} s CPU and {plain.wall} s wall without any edit", flush=True)
    return min(LONGEST, 10 * plain.wall)


def recorded(results: Path) -> dict[tuple[str, Edit], Judgement]:
    """What each suite made of each edit; the last word counts."""
    records = map(json.loads, results.read_text().splitlines()) if results.exists() else ()
    judgements = (Judgement(**{**record, "edit": Edit(**record["edit"])}) for record in records)
    return {(judgement.suite, judgement.edit): judgement for judgement in judgements}


def report(sample: list[Edit], judgements: dict[tuple[str, Edit], Judgement]) -> Iterator[str]:
    """The table, and the edits that survived this suite."""
    yield "| suite | edits | killed | survived | CPU seconds |\n| --- | --- | --- | --- | --- |"
    for suite in ("ours", "keras"):
        judged = [judgements[suite, edit] for edit in sample if (suite, edit) in judgements]
        killed = sum(judgement.verdict == "killed" for judgement in judged)
        cpu = sum(judgement.cpu for judgement in judged)
        yield f"| {suite} | {len(judged)} | {killed} | {len(judged) - killed} | {cpu:.0f} |"
    for number, edit in enumerate(sample, 1):
        if ("ours", edit) in judgements and judgements["ours", edit].verdict == "survived":
            yield f"\n{number}. {edit}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--suite", choices=("ours", "keras", "both"), default="both")
    parser.add_argument("--suite-arguments", default="tests/conformance -x -q", help="of pytest, for this suite")
    parser.add_argument("--only", type=lambda text: [int(number) for number in text.split(",")])
    parser.add_argument("--results", type=Path, default=Path("mutation.jsonl"))
    for name, default in {"--seed": 0, "--count": 150, "--jobs": 1}.items():
        parser.add_argument(name, type=int, default=default)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    sample = draw(options.seed, options.count)
    if options.list:
        print(*(f"{number}. {edit}" for number, edit in enumerate(sample, 1)), sep="\n")
        return
    commands = {"ours": options.suite_arguments, "keras": KERAS_TESTS}
    suites = [suite for suite in commands if options.suite in (suite, "both")]
    known = {} if options.only else recorded(options.results)
    wanted = [sample[number - 1] for number in options.only] if options.only else sample
    tasks = [(suite, commands[suite], edit) for suite in suites for edit in wanted if (suite, edit) not in known]
    deadlines = {suite: deadline(suite, command) for suite, command in sorted({task[:2] for task in tasks})}
    with ThreadPool(options.jobs) as pool, options.results.open("a") as results:
        for judgement in pool.imap_unordered(lambda task: judge(*task, deadlines[task[0]]), tasks):
            print(json.dumps(asdict(judgement)), file=results, flush=True)
    print(*report(sample, recorded(options.results)), sep="\n")


if __name__ == "__main__":
    main()
