"""What a model says, on a terminal: it moves nothing, loses nothing, and breaks between words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.model_text import Wrapper, readable


def width_of(character: str) -> int:
    return 2 if character in "漢字🙂" else 1


def wrapped(pieces: list[str], columns: int) -> str:
    wrapper = Wrapper(columns, width_of)
    return "".join([*map(wrapper.feed, pieces), wrapper.end()])


@given(st.text())
def test_no_character_that_orders_a_terminal_about_passes(text: str) -> None:
    assert all(character.isprintable() or character in "\n\t\u200c\u200d" for character in readable(text))


@pytest.mark.parametrize(("said", "seen"), [
    ("plain\n\ttext", "plain\n\ttext"), ("a\x1b[2Jb", "a\ufffd[2Jb"), ("a\r\nb\rc", "a\nbc"),
    ("\x07\x9b1m", "\ufffd\ufffd1m"),
    ("abc\u202edcb", "abc\ufffddcb"), ("nb\xa0sp", "nb sp"), ("👩\u200d🔬", "👩\u200d🔬"), ("日本語 é", "日本語 é")])
def test_what_is_seen(said: str, seen: str) -> None:
    assert readable(said) == seen


def test_lines_break_between_words() -> None:
    assert wrapped(["one two three four"], 9) == "one two\nthree\nfour"


def test_pieces_of_a_word_come_together() -> None:
    assert wrapped(["one tw", "o thr", "ee"], 8) == "one two\nthree"


@pytest.mark.parametrize("columns", range(1, 60))
def test_where_the_pieces_end_changes_nothing(columns: int) -> None:
    """Each cut into two, and character by character: no word breaks where one piece came long before the next."""
    said = "Pin it with `warden pin NAME`: it is then never\n\n unloaded, until `warden unpin NAME` or\t`down`."
    whole = wrapped([said], columns)
    for at in range(len(said) + 1):
        assert wrapped([said[:at], said[at:]], columns) == whole
    assert wrapped(list(said), columns) == whole
    assert whole.split() == said.split()


def test_a_word_is_shown_when_its_end_has_come() -> None:
    wrapper = Wrapper(80, width_of)
    assert [wrapper.feed("one tw"), wrapper.feed("o thr"), wrapper.end()] == ["one", " two", " thr"]


def test_what_is_longer_than_a_line_is_shown_as_it_is() -> None:
    assert wrapped(["x" * 25], 10) == "x" * 25


def test_wide_characters_are_words_of_their_own() -> None:
    assert wrapped(["漢字漢字"], 5) == "漢字\n漢字"


def test_code_is_left_as_it_is() -> None:
    code = "```python\nprint('a line that is longer than ten')\n```\n"
    assert wrapped([code, "and words wrap"], 10) == f"{code}and words\nwrap"


def test_indented_lines_keep_their_indent() -> None:
    assert wrapped(["a\n    b c\n\n- d"], 20) == "a\n    b c\n\n- d"


def test_without_columns_nothing_is_wrapped() -> None:
    assert wrapped(["one two three"], 0) == "one two three"


@given(st.lists(st.text("ab 漢\n\t`")), st.integers(1, 12))
def test_only_line_breaks_in_the_place_of_spaces_are_added(pieces: list[str], columns: int) -> None:
    def bare(text: str) -> str:
        return re.sub(r"\s", "", text)

    assert bare(wrapped(pieces, columns)) == bare("".join(pieces))
    assert wrapped(pieces, columns).count("\n") >= "".join(pieces).count("\n")
