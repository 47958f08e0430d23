"""bench/table.py: tables for a terminal and for Markdown, and how a figure is told."""

import pytest

from bench.figures import Figure
from bench.table import (
    WIDTH_MAX_COLUMNS,
    Table,
    figure,
    figure_table,
    markdown_lines,
    short_figure_table,
    table_lines,
    tables_in,
)

TABLE = Table("a title", ("class", "first\np50", "p95"), [("high", "1.5", "200"), ("medium", "10.5", "3000")])
MISSED = Figure("tokens/s over HTTP", "higher", (581, 590, 560), "tokens/s", (712, 710, 720), "bare-batch", 0.9)
REACHED = Figure("CPU per token", "lower", (90.0,), "us", target=100)
REPORTED = Figure("tokens/s at night", "higher", (None,), "tokens/s")


def test_a_table_is_aligned_with_stacked_headings():
    assert table_lines(TABLE) == [
        "a title",
        "        first",
        "class     p50   p95",
        "-------------------",
        "high      1.5   200",
        "medium   10.5  3000",
    ]


def test_no_line_is_too_long():
    wide = Table("t" * 200, ("name", *("heading" * 3 for _ in range(9))), [("x" * 150, *("1" for _ in range(9)))])
    lines = table_lines(wide)
    assert max(map(len, lines)) == WIDTH_MAX_COLUMNS and sum(line.endswith("…") for line in lines) >= 2


def test_markdown_has_one_line_for_each_row():
    assert markdown_lines(TABLE._replace(rows=[("a | b", "1", "2")])) == [
        "| class | first p50 | p95 |", "|---|---|---|", "| a \\| b | 1 | 2 |"]


def test_a_figure_stands_beside_its_reference_and_its_target():
    assert figure_table([MISSED, REACHED, REPORTED]).rows == [
        ("tokens/s over HTTP", "581 tokens/s", "bare-batch 712 tokens/s", "0.82 (0.78 to 0.83)", ">= 0.9", "MISSED"),
        ("CPU per token", "90.0 us", "", "90.0", "<= 100", "reached"),
        ("tokens/s at night", "-", "", "-", "", "reported")]
    assert short_figure_table([MISSED, REACHED]).rows == [
        ("tokens/s over HTTP", "581 / 712 bare-batch", "0.82", ">= 0.9", "MISSED"),
        ("CPU per token", "90.0", "90.0", "<= 100", "reached")]


def test_rounding_never_hides_a_miss():
    [row] = figure_table([REACHED._replace(ours=(100.4,))]).rows
    assert row[3:] == ("100.4", "<= 100", "MISSED")


@pytest.mark.parametrize(("value", "text"), [
    (None, "-"), (0.0, "0.00"), (0.123, "0.12"), (9.876, "9.88"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12346"),
])
def test_a_figure_has_the_digits_that_matter(value, text):
    assert figure(value) == text


def test_from_a_file_a_table_is_the_same():
    assert tables_in({"readme": [TABLE._asdict()]}, "readme") == tables_in({"readme": [TABLE]}, "readme") == [TABLE]
    assert tables_in({}, "readme") == []
