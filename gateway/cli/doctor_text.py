"""Findings as people read them: a mark and a word, what was found, below it the remedy, at the end the sum.

Nothing is cut: text wraps under its own beginning, and where the terminal is narrow under the mark. Words longer than
a line (paths, commands) are left whole, so that they can be copied. Without a terminal nothing wraps and nothing has
colour.
"""

import os
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from gateway.cli.doctor_finding import LEVELS, Finding, Group, Level, counted
from gateway.cli.text_table import printable, terminal_width

MARKS: dict[Level, str] = {"ok": "✓", "note": "·", "warning": "!", "problem": "✗"}
PLAIN_MARKS: dict[Level, str] = {"ok": "+", "note": "-", "warning": "!", "problem": "x"}
COLOURS: dict[Level, str] = {"ok": "32", "note": "36", "warning": "33", "problem": "1;31"}
BOLD = "1"
ARROW, PLAIN_ARROW = "→", ">"
WORD_COLUMNS = max(map(len, LEVELS))
NARROW_COLUMNS = 60
MIN_COLUMNS = 24
NARROW_INDENT = 4


class Look(NamedTuple):
    """How the output looks: `width` in columns, None for any; `colour`; `symbols`: can it show more than ASCII?"""

    width: int | None = None
    colour: bool = False
    symbols: bool = True


def how_it_looks() -> Look:
    """Of standard output."""
    try:
        "".join((*MARKS.values(), ARROW)).encode(sys.stdout.encoding or "ascii")
        symbols = True
    except UnicodeEncodeError:
        symbols = False
    return Look(terminal_width(), sys.stdout.isatty() and not os.environ.get("NO_COLOR"), symbols)


def lines_of(groups: list[Group], look: Look) -> Iterator[str]:
    """The whole report."""
    for group in groups:
        if group.findings:
            yield _painted(group.title, BOLD, look)
            for finding in group.findings:
                yield from finding_lines(finding, look)
            yield ""
    yield from _wrap(summary([finding for group in groups for finding in group.findings]), "", "", look)


def finding_lines(finding: Finding, look: Look) -> Iterator[str]:
    """One line with the mark, and the remedy on the next."""
    mark = (MARKS if look.symbols else PLAIN_MARKS)[finding.level]
    start = f"  {mark} {finding.level:<{WORD_COLUMNS}}  "
    narrow = look.width is not None and look.width < NARROW_COLUMNS
    indent = " " * (NARROW_INDENT if narrow else len(start))
    first, *rest = _wrap(f"{finding.what}: {finding.found}", start, indent, look)
    yield f"  {_painted(start.strip(), COLOURS[finding.level], look)}{first[2 + len(start.strip()):]}"
    yield from rest
    if finding.remedy:
        arrow = f"{ARROW if look.symbols else PLAIN_ARROW} "
        yield from _wrap(finding.remedy, indent + arrow, indent + "  ", look)


def summary(findings: list[Finding]) -> str:
    """How many of each level, the worst first; what to do is with each."""
    count = Counter(finding.level for finding in findings)
    told = [counted(count[level], level) for level in ("problem", "warning", "note") if count[level]]
    return f"{', '.join(told)}; {count['ok']} of {len(findings)} as they should be" if told else (
        f"all {len(findings)} as they should be")


def wrapped(line: str, width: int | None) -> str:
    """A line of `check`, continued two columns in."""
    return "\n".join(_wrap(line, "", "  ", Look(width)))


def _wrap(text: str, start: str, indent: str, look: Look) -> list[str]:
    text = printable(text)
    if look.width is None or look.width < MIN_COLUMNS:
        return [f"{start}{text}"]
    return textwrap.wrap(text, look.width, initial_indent=start, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False) or [start]


def _painted(text: str, colour: str, look: Look) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if look.colour else text
