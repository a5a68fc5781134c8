"""Pictures of a case: its inputs and masks, expected and actual values over time, and where the ratios are.

Each is an SVG to stand inside an HTML page. Lines and letters have the page's own colour, so that they can be read in
light and in dark; expected and actual differ in style too, not in colour alone. Needs Matplotlib.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any, Iterator, List, Mapping, NamedTuple, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from reference_impl.types import Array

#: Stands for the page's colour until Matplotlib has drawn; it knows no ``currentColor``.
INK = "#010203"
ACTUAL = "#d1495b"

#: Units that are drawn over time, of those furthest off.
UNITS = 4

#: Up to how many features a legend names.
FEATURES_NAMED = 6

#: Ratios that the heatmap tells apart, as powers of ten; from 1 on a number is wrong.
COLDEST, HOTTEST = -2.0, 6.0

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "conformance",  # else ids are drawn by chance, and no page is made twice
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "path.simplify": True,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


class Picture(NamedTuple):
    """What is to be seen, in words, and an SVG element."""

    caption: str
    svg: str


def pictures(evidence: Mapping[str, Any], name: str) -> Iterator[Picture]:
    """The pictures of a case; the ids of their elements begin with a name that no other case of the page has."""
    for number, given in enumerate(evidence["inputs"]):
        yield _input(given, f"{name}-x{number}")
    for number, tensor in enumerate(evidence["tensors"]):
        yield _values(tensor, f"{name}-y{number}")
        if tensor["over_time"] and tensor["ratio"] > 1.0:
            yield _ratios(tensor, f"{name}-r{number}")


def _input(given: Mapping[str, Any], name: str) -> Picture:
    """An input, a line for each feature, with its masked steps hatched."""
    values, mask = _array(given["values"]), given["mask"]
    with mpl.rc_context(STYLE):
        figure, (axes,) = _figure(1)
        steps = np.arange(len(values))
        for feature in range(values.shape[1]):
            axes.plot(steps, values[:, feature], marker=_marker(True, steps, "o"), label=f"feature {feature}")
        for step in (step for step, counts in enumerate(mask or ()) if not counts):
            axes.axvspan(step - 0.5, step + 0.5, facecolor="none", edgecolor=INK, hatch="///", linewidth=0, alpha=0.4)
        _over_time(axes, len(values))
        masked = f", {len(mask) - sum(mask)} of {len(mask)} steps masked" if mask else ""
        if 1 < values.shape[1] <= FEATURES_NAMED:
            _legend(figure, columns=3)
        return _svg(figure, f"Input {given['name']}: {values.shape[1]} features over {len(values)} steps{masked}", name)


def _values(tensor: Mapping[str, Any], name: str) -> Picture:
    """Expected and actual values: over time, a small plot for each of some units, or else unit by unit."""
    expected, actual, units = _array(tensor["expected"]), _array(tensor["actual"]), tensor["units"]
    with mpl.rc_context(STYLE):
        if not tensor["over_time"]:
            figure, (axes,) = _figure(1)
            axes.set_xlabel("unit")
            axes.set_xticks(range(len(units)), [str(unit) for unit in units])
            _two_lines(axes, expected[0], actual[0], line=False)
        else:
            worst = np.sort(np.argsort(-_array(tensor["ratios"]).max(axis=0), kind="stable")[:UNITS])
            figure, every = _figure(len(worst))
            for axes, number in zip(every, worst):
                axes.set_title(f"unit {units[number]}", fontsize=8, loc="left")
                _two_lines(axes, expected[:, number], actual[:, number], line=True)
                _over_time(axes, len(expected))
        _legend(figure, columns=2)
        return _svg(figure, f"{tensor['name']}: expected and actual values{tensor['where']}", name)


def _two_lines(axes: Any, expected: Array, actual: Array, line: bool) -> None:
    steps = np.arange(len(expected))
    solid, dashed = ("-", "--") if line else ("", "")
    axes.plot(steps, expected, color=INK, linestyle=solid, marker=_marker(line, steps, "o"), label="expected")
    axes.plot(steps, actual, color=ACTUAL, linestyle=dashed, marker=_marker(line, steps, "x"), label="actual")


def _marker(line: bool, steps: Array, marker: str) -> str:
    """Nothing where a line shows the values: markers make most of a picture's size."""
    return "" if line and len(steps) > 1 else marker


def _legend(figure: Any, columns: int) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, ncols=columns, loc="outside lower center")


def _ratios(tensor: Mapping[str, Any], name: str) -> Picture:
    """A heatmap of error / tolerance, time from left to right and units from top to bottom."""
    ratios, units = _array(tensor["ratios"]), tensor["units"]
    with mpl.rc_context(STYLE), np.errstate(divide="ignore"):
        figure, (axes,) = _figure(1)
        powers = np.clip(np.log10(np.nan_to_num(ratios, nan=np.inf)), COLDEST, HOTTEST)
        image = axes.imshow(powers.T, aspect="auto", cmap=_colours(), vmin=COLDEST, vmax=HOTTEST, interpolation="none")
        axes.set_yticks(range(len(units)), [str(unit) for unit in units], fontsize=7)
        axes.set_ylabel("unit")
        _over_time(axes, len(ratios))
        bar = figure.colorbar(image, ax=axes, ticks=[COLDEST, 0.0, 3.0, HOTTEST])
        bar.ax.set_yticklabels(["≤ 0.01", "1", "1000", "≥ 10⁶"])
        bar.outline.set_visible(False)
        return _svg(
            figure,
            f"{tensor['name']}: error / tolerance by unit and time step{tensor['where']}; above 1 is wrong",
            name,
        )


def _colours() -> Any:
    """Grey up to a ratio of 1, from there on yellow to dark red."""
    right = int(256 * -COLDEST / (HOTTEST - COLDEST))
    wrong = mpl.colormaps["YlOrRd"](np.linspace(0.15, 1.0, 256 - right))
    return mpl.colors.ListedColormap([*[(0.6, 0.6, 0.6, 0.35)] * right, *wrong])


def _figure(count: int) -> Any:
    """A figure with so many axes, two in a row."""
    rows = (count + 1) // 2
    figure = Figure(figsize=(4.2, 0.9 + 1.3 * rows), layout="constrained")
    grid = figure.subplots(rows, min(count, 2), squeeze=False)
    axes: List[Any] = list(grid.flat)
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def _over_time(axes: Any, steps: int) -> None:
    axes.set_xlabel("time step")
    axes.set_xlim(-0.5, steps - 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _svg(figure: Any, caption: str, name: str) -> Picture:
    """A figure as an element of a page, with its caption for those who do not see it."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = text.getvalue()
    svg = _short(svg[svg.index("<svg") :]).replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    assert size
    svg = svg.replace(size[0], f'role="img" aria-labelledby="{name}-title"', 1)
    return Picture(caption, svg.replace(">", f'><title id="{name}-title">{escape(caption)}</title>', 1))


def _short(svg: str) -> str:
    """Without comments, line breaks and digits that no screen shows."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    return re.sub(r"(?<=\d\.\d\d)\d+", "", re.sub(r"\s*\n\s*", " ", svg)).replace("> <", "><")


def _array(numbers: Sequence[Any]) -> Array:
    """Nested lists as an array; what was not finite is NaN, which is not drawn."""
    return np.array(numbers, dtype=np.float64)
