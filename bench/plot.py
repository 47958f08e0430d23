"""A plot of lines over time, as the text of an SVG file that any browser shows. Pure.

Enough for "what was used, against what was given": one pair of axes from 0, a few lines with names. No plotting
library, because a bench should not need one to show that a line stays under another.
"""

from collections.abc import Sequence
from math import ceil, log10
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH_PX, HEIGHT_PX = 960, 480
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 70, 190, 40, 45
TICKS_MAX = 8
COLOURS = ("#b00020", "#1f4e9c", "#2e7d32", "#c77700", "#6a1b9a", "#00838f")


class Line(NamedTuple):
    """Points are (x, y), with x growing."""

    name: str
    points: Sequence[tuple[float, float]]


def svg_of(title: str, x_name: str, y_name: str, lines: Sequence[Line]) -> str:
    """Both axes begin at 0. A line without points stands in the legend only."""
    points = [point for line in lines for point in line.points]
    x_max = max((x for x, _ in points), default=0.0) or 1.0
    y_max = max((y for _, y in points), default=0.0) * 1.05 or 1.0
    right, bottom = WIDTH_PX - RIGHT_PX, HEIGHT_PX - BOTTOM_PX

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT_PX + x / x_max * (right - LEFT_PX), bottom - y / y_max * (bottom - TOP_PX)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{HEIGHT_PX}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH_PX}" height="{HEIGHT_PX}" fill="white"/>',
             _text(LEFT_PX, TOP_PX - 18, title, "start"),
             _text((LEFT_PX + right) / 2, HEIGHT_PX - 8, x_name), _text(LEFT_PX, TOP_PX - 4, y_name, "end")]
    for tick in ticks(x_max):
        x, y = at(tick, 0)
        parts += [_stroke(x, y, x, y + 4), _text(x, y + 17, f"{tick:g}")]
    for tick in ticks(y_max):
        x, y = at(0, tick)
        parts += [_stroke(x, y, right, y, "#dddddd"), _text(x - 6, y + 4, f"{tick:g}", "end")]
    for number, line in enumerate(lines):
        colour, y = COLOURS[number % len(COLOURS)], TOP_PX + 18 * number + 10
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line.points))
        parts += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
                  _stroke(right + 12, y - 4, right + 32, y - 4, colour), _text(right + 38, y, line.name, "start")]
    parts += [_stroke(LEFT_PX, bottom, right, bottom), _stroke(LEFT_PX, TOP_PX, LEFT_PX, bottom), "</svg>"]
    return "\n".join(parts) + "\n"


def ticks(top: float) -> list[float]:
    """At most TICKS_MAX round numbers from 0 to `top` (above 0): steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** ceil(log10(top / TICKS_MAX) - 1)
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if top / (power * factor) < TICKS_MAX)
    return [float(f"{step * number:.6g}") for number in range(int(top / step) + 1)]


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str = "black") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
