"""Findings and the few words that all of them are made of."""

import pytest

from gateway.cli.doctor_finding import Unseen, counted, from_line, listed, not_seen, note, ok, problem, warning, worst


def test_the_worst_level_counts() -> None:
    assert worst([]) == "ok"
    assert worst([ok("a", "b"), note("a", "b", "c")]) == "note"
    assert worst([problem("a", "b", "c"), warning("a", "b", "c")]) == "problem"


def test_what_could_not_be_seen_is_a_note_that_says_how_to_see_it() -> None:
    finding = not_seen("disk", Unseen("it takes longer than 2 s"))
    assert finding.level == "note" and "longer than 2 s" in finding.found and "--wait" in finding.remedy


def test_a_line_of_ours_has_its_remedy_behind_the_semicolon() -> None:
    assert from_line("home", "/x: is a file; move it away; or so") == ("home", "/x: is a file", "move it away; or so")
    assert from_line("home", "/x: is a file")[2]


@pytest.mark.parametrize(("count", "text"), [(0, "no models"), (1, "1 model"), (2, "2 models")])
def test_counting(count: int, text: str) -> None:
    assert counted(count, "model") == text


def test_long_lists_end_in_a_number() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(tuple("abcdef"), 4) == "a, b, c, d and 2 more"
