"""How findings look: marks, remedies, wrapping at any width, colour, and the sum at the end."""

import pytest

from gateway.cli.doctor_finding import Finding, Group, note, ok, problem, warning
from gateway.cli.doctor_text import Look, finding_lines, lines_of, summary, wrapped

PORT = problem("port", "11435 on 127.0.0.1 is in use by node (pid 9)", "stop that program, or set WARDEN_PORT")


def test_without_a_terminal_each_finding_is_one_line_and_its_remedy_the_next() -> None:
    assert list(finding_lines(PORT, Look())) == [
        "  ✗ problem  port: 11435 on 127.0.0.1 is in use by node (pid 9)",
        "             → stop that program, or set WARDEN_PORT"]
    assert list(finding_lines(ok("clock", "agrees"), Look(symbols=False))) == ["  + ok       clock: agrees"]


@pytest.mark.parametrize("width", [24, 40, 59, 60, 80, 200])
def test_nothing_is_cut_and_nothing_is_wider_than_the_terminal(width: int) -> None:
    lines = list(finding_lines(PORT, Look(width)))
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == f"✗ problem port: {PORT.found} → {PORT.remedy}"


def test_a_path_that_is_longer_than_the_line_stays_whole() -> None:
    path = "/a" * 60
    assert any(line.strip() == path for line in finding_lines(note("home", path, "look"), Look(40)))


def test_colour_is_on_the_mark_and_the_titles_only() -> None:
    text = "\n".join(lines_of([Group("Home", (PORT, ok("a", "b")))], Look(80, colour=True)))
    assert "\x1b[1mHome\x1b[0m" in text and "\x1b[1;31m✗ problem\x1b[0m  port" in text
    assert "\x1b[32m✓ ok\x1b[0m       a: b" in text
    assert "\x1b" not in "\n".join(lines_of([Group("Home", (PORT,))], Look(80)))


def test_a_terminal_is_not_given_orders() -> None:
    assert all("\x1b" not in line for line in finding_lines(note("x", "a\x1b[2Jb", "c\x07"), Look()))


@pytest.mark.parametrize(("findings", "text"), [
    ([ok("a", "b")], "all 1 as they should be"),
    ([ok("a", "b"), PORT, warning("a", "b", "c"), note("a", "b", "c"), PORT],
     "2 problems, 1 warning, 1 note; 1 of 5 as they should be")])
def test_the_sum(findings: list[Finding], text: str) -> None:
    assert summary(findings) == text


def test_empty_groups_are_left_out_and_long_lines_continue() -> None:
    assert list(lines_of([Group("Empty", ())], Look())) == ["all 0 as they should be"]
    assert wrapped("one two three four five six", 25) == "one two three four five\n  six"
