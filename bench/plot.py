"""Plots, as SVG files that any browser shows: lines over an axis, or bars by group. Drawn by matplotlib.

What is drawn is a value (`Plot`) that a bench puts into its result, so that a plot can be drawn again from the JSON.
matplotlib is of the extra `bench`, and imported only when something is drawn. The same values give the same file,
byte for byte, so that a repository does not change when nothing did.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from bench.figures import Figure
from bench.program import BenchFailed

SIZE_INCHES = (9.6, 4.8)
LABEL_COLUMNS = 40
BAR_INCHES = 0.5  # for each figure of `draw_figures`
COLOURS = ("#b00020", "#1f4e9c", "#2e7d32", "#c77700", "#6a1b9a", "#00838f")
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif", "font.size": 10,
         "axes.spines.top": False, "axes.spines.right": False}


class Line(NamedTuple):
    """Points are (x, y), with x growing."""

    name: str
    points: Sequence[tuple[float, float]]


class Plot(NamedTuple):
    """`name`: of its file, after that of the bench. With `groups` bars are drawn, the y of each point being a height:
    each line has a bar in each group, and x is the number of the group, from 0. Axes that are not logarithmic begin
    at 0.
    """

    name: str
    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    groups: Sequence[str] = ()


def plots_in(result: Mapping[str, object]) -> list[Plot]:
    """Of a result as it was made, or as it was read from its file."""
    found = [one if isinstance(one, Plot) else Plot(**one) for one in result.get("plots", ())]
    return [one._replace(lines=[Line(line.name, line.points) if isinstance(line, Line) else Line(**line)
                                for line in one.lines]) for one in found]


def draw(plot: Plot, path: Path) -> None:
    """Write it to `path`, an SVG file. Raises: BenchFailed."""
    figure, axes = _empty(SIZE_INCHES)
    if plot.groups:
        width = 0.8 / max(len(plot.lines), 1)
        for number, line in enumerate(plot.lines):
            bars = axes.bar([x + (number - (len(plot.lines) - 1) / 2) * width for x, _ in line.points],
                            [y for _, y in line.points], width * 0.92, label=line.name,
                            color=COLOURS[number % len(COLOURS)])
            axes.bar_label(bars, fmt="%.3g", fontsize=8)
        axes.set_xticks(range(len(plot.groups)), plot.groups)
    else:
        for number, line in enumerate(plot.lines):
            axes.plot([x for x, _ in line.points], [y for _, y in line.points], label=line.name, linewidth=1.5,
                      marker="." if len(line.points) <= 20 else "", color=COLOURS[number % len(COLOURS)])
    axes.set(title=plot.title, xlabel=plot.x_name, ylabel=plot.y_name)
    for log, scale, limit in ((plot.log_x, axes.set_xscale, axes.set_xlim), (plot.log_y, axes.set_yscale,
                                                                           axes.set_ylim)):
        if log:
            scale("log")
        elif not (plot.groups and scale == axes.set_xscale):
            limit(0)
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
    if plot.lines:
        figure.legend(loc="outside right upper", frameon=False)
    _write(figure, path)


def draw_figures(figures: Sequence[Figure], title: str, path: Path) -> None:
    """How near each figure is to its target: 1 is the target, further right is better, dots are rounds. Those without
    a target, or that were not measured, are left out. Raises: BenchFailed.
    """
    shown = [one for one in figures if one.target and one.value]
    figure, axes = _empty((SIZE_INCHES[0], 1.4 + BAR_INCHES * max(len(shown), 1)))
    for place, one in enumerate(shown):
        marks = [part_of(one, value) for value in one.values if value]
        colour = COLOURS[2] if one.reached else COLOURS[0]
        axes.plot(marks, [place] * len(marks), ".", color=colour, alpha=0.5)
        axes.plot([part_of(one, one.value)], [place], "D", color=colour)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(shown)), [fill(one.what, LABEL_COLUMNS) for one in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title=title, xlabel="times the target (right of 1: reached)")
    axes.grid(axis="x", color="#dddddd")
    _write(figure, path)


def part_of(one: Figure, value: float) -> float:
    """1 at its target, more if it is better."""
    return value / one.target if one.better == "higher" else one.target / value


def _empty(inches: tuple[float, float]) -> tuple:
    """Figure and axes of matplotlib. Raises: BenchFailed."""
    try:
        import matplotlib
    except ImportError:
        raise BenchFailed("a plot needs matplotlib: pip install 'mlx-warden[bench]'") from None
    from matplotlib.figure import Figure as Canvas

    matplotlib.rcParams.update(STYLE)
    figure = Canvas(figsize=inches, layout="constrained")
    return figure, figure.add_subplot()


def _write(figure: object, path: Path) -> None:
    try:
        figure.savefig(path, format="svg", metadata={"Date": None})
    except OSError as problem:
        raise BenchFailed(f"{path} cannot be written ({problem.strerror})") from None
