"""A table of a result: as plain text of at most WIDTH_MAX_COLUMNS, and as Markdown. Pure.

Decided here: how many digits of a figure matter, and how a figure is told beside its reference and its target. A target
that is missed is said in capitals; one that nobody set is "reported".
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.figures import Figure
from bench.records import median_of

WIDTH_MAX_COLUMNS = 120
GAP = "  "
VERDICTS = {None: "reported", True: "reached", False: "MISSED"}


class Table(NamedTuple):
    """Cells are text; a heading of two lines holds a newline. The first column is left-aligned, all others right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_in(result: Mapping[str, object], key: str) -> list[Table]:
    """Of a result as it was made, or as it was read from its file."""
    return [one if isinstance(one, Table) else Table(**one) for one in result.get(key, ())]


def figure_table(figures: Sequence[Figure]) -> Table:
    """All that a run is judged by; medians of the rounds, and what the rounds lie between."""
    rows = [(one.what, told(median_of(one.ours), one.unit), beside(one), value_of(one), target_of(one),
             VERDICTS[one.reached]) for one in figures]
    return Table("", ("figure", "ours", "reference, same rounds", "value (rounds)", "to reach", ""), rows)


def short_figure_table(figures: Sequence[Figure]) -> Table:
    """The same for a terminal: without units and spread, which the other tables of a report have."""
    rows = [(one.what, " / ".join(figure(median_of(values)) for values in (one.ours, one.reference) if len(values))
             + f" {one.reference_name}".rstrip(), value_of(one, spread=False), target_of(one), VERDICTS[one.reached])
            for one in figures]
    return Table("", ("figure", "ours / reference", "value", "to reach", ""), rows)


def beside(one: Figure) -> str:
    """The reference, its name first."""
    return f"{one.reference_name} {told(median_of(one.reference), one.unit)}" if one.reference_name else ""


def value_of(one: Figure, *, spread: bool = True) -> str:
    """The median, and with `spread` what the rounds lie between."""
    lowest, highest = (figure(each(one.values)) if one.values else "" for each in (min, max))
    value = figure(one.value)
    if one.target is not None and one.value not in (None, one.target) and float(value) == one.target:
        value = f"{one.value:.4g}"  # rounded it would be the target, and the verdict would look wrong
    return value + (f" ({lowest} to {highest})" if spread and lowest != highest else "")


def target_of(one: Figure) -> str:
    return "" if one.target is None else f"{'>=' if one.better == 'higher' else '<='} {one.target:g}"


def told(value: float | None, unit: str) -> str:
    return f"{figure(value)} {unit}" if unit and value is not None else figure(value)


def table_lines(table: Table) -> list[str]:
    heads = [column.split("\n") for column in table.columns]
    depth = max(len(head) for head in heads)
    above = [[([""] * (depth - len(head)) + head)[line] for head in heads] for line in range(depth)]
    cells = [*above, *table.rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.columns))]
    lines = [GAP.join(cell.rjust(width) if place else cell.ljust(width)
                      for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in cells]
    lines = lines[:depth] + ["-" * min(max(map(len, lines)), WIDTH_MAX_COLUMNS)] + lines[depth:]
    return [*_cut(table.title.splitlines()), *_cut(lines)]


def figure(value: float | None) -> str:
    """Three digits that matter, "-" for none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def markdown_lines(table: Table) -> list[str]:
    """Without the title."""
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    return [row([column.replace("\n", " ") for column in table.columns]), "|---" * len(table.columns) + "|",
            *(row(each) for each in table.rows)]


def _cut(lines: Sequence[str]) -> list[str]:
    return [line if len(line) <= WIDTH_MAX_COLUMNS else line[: WIDTH_MAX_COLUMNS - 1] + "…" for line in lines]
