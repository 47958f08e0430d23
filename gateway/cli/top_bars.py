"""The bars of `warden top`: used memory with its thresholds, and the shares of models in their budget.

Values in, text out. Models differ in their bar by mark as well as by colour, for terminals and eyes without.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text


class Marks(NamedTuple):
    """The characters of bars and lines. `shares` are taken in turn."""

    used: str
    free: str
    threshold: str
    shares: str
    chosen: str
    spark: str

    def share(self, number: int) -> str:
        return self.shares[number % len(self.shares)]


BLOCKS = Marks("█", "░", "│", "█▓▒", "›", " ▁▂▃▄▅▆▇█")
ASCII = Marks("#", ".", "|", "#=+", ">", " .:-=+*#")


def choose_marks(encoding: str | None) -> Marks:
    """What a terminal with this encoding can show."""
    try:
        "".join(BLOCKS).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def memory_bar(used_percent: float, level: str, thresholds: Sequence[float], columns: int, marks: Marks) -> Text:
    """Thresholds that are not reached yet stand in the free part."""
    used = max(0, min(columns, round(used_percent * columns / 100)))
    cells = [marks.used] * used + [marks.free] * (columns - used)
    for percent in thresholds:
        at = min(columns - 1, int(percent * columns / 100))
        cells[at] = cells[at] if at < used else marks.threshold
    bar = Text("".join(cells), style="dim")
    bar.stylize({"normal": "not dim green", "warning": "not dim yellow"}.get(level, "not dim red"), 0, used)
    return bar


def share_bar(shares: Sequence[tuple[int, str, int]], ceiling_bytes: int, columns: int, marks: Marks) -> Text:
    """`shares`: bytes, style and number of each model. Ends of parts are rounded, so that they add up."""
    bar, total = Text(), 0
    whole = max(ceiling_bytes, sum(share for share, _, _ in shares), 1)
    for share, style, number in shares:
        total += share
        bar.append(marks.share(number) * (round(total * columns / whole) - len(bar)), style)
    bar.append(marks.free * (columns - len(bar)), "dim")
    return bar
