"""A failing case in the terminal: the whole story in some twenty lines of at most 100 columns, and how to rerun it."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
import traceback
from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

from conformance.case import Case
from conformance.compare import Comparison
from conformance.diagnosis import in_words
from conformance.expression import program, words
from conformance.judge import AGREES, DIVERGES, Check, Judgement
from reference_impl import GATES, Bidirectional

#: Frames of the harness itself say nothing about a subject that raised.
OURS = str(Path(__file__).resolve().parents[1])

#: Keras 3 sets parts of its messages in bold.
COLOURS = re.compile("\x1b\\[[0-9;]*m")

#: Between what is wrong and by how much.
RATIO = "; worst ratio "

#: What a report may take of a terminal.
LINES, WIDTH = 25, 100
LABEL, HANGING = 10, 4

#: What a report that is too long is cut in, in this order.
DISPENSABLE = ("agreed", "also", "keras", "case", "raised", "differs", "on record")

#: Settings that change what the subject computes; a command that reruns a case must repeat them.
SETTINGS = (
    "PYTHONPATH",
    "TF_USE_LEGACY_KERAS",
    "KERAS_BACKEND",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "CUDA_VISIBLE_DEVICES",
)

#: How the names of gradients of weights end.
WEIGHTS = ("kernel", "bias", "embeddings")

#: What tells the weights of the cells of a stack apart.
NUMBER = re.compile(r"_\d+$")

#: What the axes of a tensor are, by their number.
AXES = {
    1: ("element",),
    2: ("batch row", "unit"),
    3: ("batch row", "time step", "unit"),
    4: ("batch row", "slice", "time step", "unit"),
}


def rerun_command(node: str, options: Tuple[str, ...] = ()) -> str:
    """The command that runs one test again under the same settings."""
    settings = [f"{name}={shlex.quote(os.environ[name])}" for name in SETTINGS if name in os.environ]
    return " ".join([*settings, "python -m pytest", shlex.quote(node), *options])


@dataclass(frozen=True)
class Block:
    """A label, the lines behind it, and how many of them a report cannot do without."""

    label: str
    lines: Sequence[str]
    least: int = 1


def render(judgement: Judgement, rerun: str, script: str = "") -> str:
    """The report of a case that does not conform; ``script`` is the file that reproduces it, if one was written."""
    where = f"where: {judgement.where}" if judgement.where else ""
    told = ((_headline(judgement), 2), (_cause(judgement), 3), (where, 2))
    head = [judgement.name, *(line for text, most in told for line in _cut(textwrap.wrap(text, WIDTH), most)), ""]
    blocks = [*_body(judgement), *([Block("script", [script])] if script else []), Block("rerun", [rerun])]
    return "\n".join([*head, *(line for block in _fitted(blocks, LINES - len(head)) for line in _labelled(block))])


def _fitted(blocks: Sequence[Block], room: int) -> List[Block]:
    """The blocks with their last lines cut off, of those first that can be missed most, until they have room."""
    fitted = list(blocks)
    for label, number in product(DISPENSABLE, range(len(fitted))):
        block, over = fitted[number], sum(len(block.lines) for block in fitted) - room
        if block.label == label and over > 0:
            fitted[number] = replace(block, lines=_cut(block.lines, max(block.least, len(block.lines) - over)))
    return fitted


def _cut(lines: Sequence[str], most: int) -> List[str]:
    """So many lines; the last says if there were more."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"{lines[most - 1][: WIDTH - LABEL - 4]} …"]


def headline(judgement: Judgement) -> str:
    """A case that does not conform in a line: the cause, or what is wrong where no cause is known."""
    known = judgement.diagnosis and judgement.diagnosis.explanations
    return f"{judgement.verdict}: {_cause(judgement).partition(': ')[2]}" if known else _headline(judgement)


def _cause(judgement: Judgement) -> str:
    """What is wrong, where the numbers say so."""
    return f"cause: {judgement.diagnosis.sentence}" if judgement.diagnosis else ""


def summarize(properties: Sequence[Mapping[str, Any]]) -> List[str]:
    """The end of a run: causes, how many cases have which verdict, how close the closest came to its tolerance."""
    judged = [case for case in properties if "verdict" in case]
    if not judged:
        return []
    verdicts = Counter(case["verdict"] for case in judged)
    conforming = [case for case in judged if case["verdict"] in AGREES]
    line = "cases: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    if conforming:
        closest = max(conforming, key=lambda case: float(case["ratio"]))
        line += f"; largest ratio of a conforming case {closest['ratio']:.2f} ({closest['case']})"
    failing = [case for case in judged if case["verdict"] == DIVERGES]
    return [f"cause of {_failing(count)}: {cause}, such as {such}" for count, cause, such in causes(failing)] + [line]


def causes(failing: Sequence[Mapping[str, Any]]) -> Iterator[Tuple[int, str, str]]:
    """Failing cases under what explains most of them, then under what explains most of the others, and so on.

    How many, the cause in words, and one of them; where no cause is known, what is wrong. The property "causes" has all
    explanations of a case, the faults of a pair joined by +.
    """
    while failing:
        counts = Counter(cause for case in failing for cause in _causes_of(case))
        cause, count = max(counts.items(), key=lambda item: (" " not in item[0], item[1]))
        explained = [case for case in failing if cause in _causes_of(case)]
        unknown = " " in cause
        yield count, f"unknown, {cause}" if unknown else in_words(cause.split("+")), explained[0]["case"]
        failing = [case for case in failing if case not in explained]


def _causes_of(case: Mapping[str, Any]) -> List[str]:
    """The names of all that explains a case, or what is wrong with it: "wrong output, h", "raised ValueError"."""
    return str(case.get("causes", "")).split() or [str(case.get("message", "no message")).partition(RATIO)[0]]


def _failing(count: int) -> str:
    return f"{count} failing case" + ("s" if count > 1 else "")


def _headline(judgement: Judgement) -> str:
    if judgement.surprise:
        reason = f"not as on record: {judgement.surprise}"
    elif judgement.raised is not None:
        reason = f"raised {type(judgement.raised).__name__}"
    else:
        wrong = [check.question for check in judgement.checks if not check.agrees]
        wrong += [comparison.name for comparison in judgement.comparisons if not comparison.agrees]
        reason = f"wrong {', '.join(wrong)}"
        reason += f"{RATIO}{judgement.ratio:.3g}" if judgement.ratio > 1.0 else ""
    return f"{judgement.verdict}: {reason}"


def _body(judgement: Judgement) -> Iterator[Block]:
    case = judgement.case
    yield Block("case", _wrapped(words(case)))
    yield Block(
        "keras", [part for line in (*program(case), *judgement.then) for part in _wrapped(line, HANGING)], least=2
    )
    yield Block("subject", judgement.environment.lines)
    if judgement.record:
        yield Block("on record", _wrapped(f"{judgement.record.id}: {judgement.record.departs}"))
    if judgement.raised is not None:
        yield Block("raised", _raised(judgement.raised), least=3)
    agreed = [_answer(check) for check in judgement.checks if check.agrees]
    agreed += [f"{c.name} (ratio {c.ratio:.2g})" for c in judgement.comparisons if c.agrees]
    if agreed:
        yield Block("agreed", _wrapped(", ".join(agreed)))
    differs = [check for check in judgement.checks if not check.agrees]
    if differs:
        answers = (f"{check.question}: expected {check.expected}, actual {check.actual}" for check in differs)
        yield Block("differs", [line for answer in answers for line in _wrapped(answer)])
    wrong = sorted((c for c in judgement.comparisons if not c.agrees), key=lambda c: -c.ratio)
    if wrong:
        numbers = [_extent(wrong[0]), *_worst(case, wrong[0])]
        yield Block("differs", numbers, least=len(numbers))
    if wrong[1:]:
        also = (f"{_extent(comparison)}, {_first(case, comparison)}" for comparison in wrong[1:])
        yield Block("also", [textwrap.shorten(line, WIDTH - LABEL - 2, placeholder=" …") for line in also])


def _answer(check: Check) -> str:
    """What was found right, with its value where it is short."""
    value = check.actual
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{check.question} {value}"
    if isinstance(value, list):
        return f"{check.question} {' '.join(str(item) for item in value)}"
    return check.question


def _extent(comparison: Comparison) -> str:
    return f"{comparison.name}: {comparison.count} of {comparison.expected.size}, ratio {comparison.ratio:.3g}"


def _worst(case: Case, comparison: Comparison) -> List[str]:
    worst = comparison.worst
    expected, actual = comparison.expected[worst], float(comparison.actual[worst])
    error, tolerance = comparison.error[worst], comparison.tolerance[worst]
    values = f"expected {expected:.9g}, actual {actual:.9g}, error {error:.3g}, tolerance {tolerance:.3g}"
    line = f"  worst {_place(case, comparison, worst)}: {values}, ratio {comparison.ratio:.3g}"
    return [*_wrapped(line, HANGING), f"  {_first(case, comparison)}"]


def _first(case: Case, comparison: Comparison) -> str:
    return f"first {_place(case, comparison, comparison.first)}"


def _place(case: Case, comparison: Comparison, index: Tuple[int, ...]) -> str:
    """Where an element is."""
    *before, last = AXES[len(index)]
    *where, number = index
    if of_weight(comparison.name):
        gated, units = _gated(case, comparison.name), comparison.expected.shape[-1] // 4
        before, (last, number) = ["row"][: len(before)], _of_gate(number, units) if gated else ("column", number)
    elif isinstance(case.model.layers[-1], Bidirectional) and comparison.name.startswith("output"):
        last, number = _of_half(case.model.layers[-1], number, comparison.expected.shape[-1] // 2)
    return f"[{', '.join(f'{name} {i}' for name, i in zip((*before, last), (*where, number)))}]"


def of_weight(name: str) -> bool:
    """Whether a tensor of this name is as large as a weight, and has no batch."""
    return name.startswith("weight ") or NUMBER.sub("", name).endswith(WEIGHTS)


def _gated(case: Case, name: str) -> bool:
    """Whether the columns of a weight are gates and units: those of an LSTM, the only one with a recurrent kernel."""
    weight = name.partition("gradient of ")[2]
    return any("recurrent_kernel" in other for own in case.weight_names if weight in own for other in own)


def _of_gate(column: int, units: int) -> Tuple[str, int]:
    """The gate and the unit that a column of a weight is for."""
    return f"gate {GATES[column // units]}, unit", column % units


def _of_half(layer: Bidirectional, unit: int, units: int) -> Tuple[str, int]:
    """A unit of a Bidirectional's joined output is one of the forward or of the backward half."""
    if layer.merge_mode != "concat":
        return "unit", unit
    return ("forward unit", unit) if unit < units else ("backward unit", unit - units)


def _raised(error: Exception) -> List[str]:
    text = " ".join(COLOURS.sub("", str(error)).split())
    lines = textwrap.wrap(f"{type(error).__name__}: {text}", WIDTH - LABEL - 2)[:4]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(OURS)]
    return lines + [f"at {_tail(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames[:-4:-1]]


def _tail(path: str) -> str:
    """A path from its package on, or its last two parts."""
    path = path.replace(os.sep, "/")
    return path.rpartition("site-packages/")[2] if "site-packages/" in path else "/".join(path.split("/")[-2:])


def _label(name: str) -> str:
    return f"  {name}".ljust(LABEL) + "  "


def _wrapped(text: str, hanging: int = 0) -> List[str]:
    """A text, or a line of a program with what hangs below it, as lines that the report has room for."""
    further = " " * (len(text) - len(text.lstrip()) + hanging)
    width = WIDTH - LABEL - 2
    return textwrap.wrap(text, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)


def _labelled(block: Block) -> List[str]:
    return [_label(block.label if number == 0 else "") + line for number, line in enumerate(block.lines)]
