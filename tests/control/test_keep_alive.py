"""Durations as Ollama writes them, what is none, and which of the four wishes counts."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.keep_alive import TEXT_MAX_CHARS, choose_keep_alive_s, parse_keep_alive


@pytest.mark.parametrize(("text", "seconds"), [
    (0, 0), (5, 5), (2.5, 2.5), (-1, inf), (-0.001, inf), ("0", 0), ("5", 5), ("2.5", 2.5), (" 5m ", 300), ("+5m", 300),
    ("90s", 90), ("1h30m", 5_400), ("1.5h", 5_400), (".5s", 0.5), ("5.s", 5), ("1h0m1s", 3_601), ("100ms", 0.1),
    ("1us", 1e-6), ("1\N{MICRO SIGN}s", 1e-6), ("1\N{GREEK SMALL LETTER MU}s", 1e-6), ("1ns", 1e-9),
    ("-1", inf), ("-1m", inf), ("-1h30m", inf), ("-0", 0), ("-0s", 0)])
def test_a_time_is_seconds_and_a_negative_one_is_for_ever(text: float | str, seconds: float) -> None:
    assert parse_keep_alive(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [
    "", " ", "m", "5 m", "5min", "5M", "1d", "five", "1h-30m", "--1", "1e3", "0x10", "1_000",
    "\N{ARABIC-INDIC DIGIT FIVE}s", "nan", "inf", ".", ".s"])
def test_what_is_no_time_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; give seconds, or a duration such as \"5m\"") as caught:
        parse_keep_alive(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("part", ["9", "1s", "1.", "-", " 1"])
def test_a_text_without_end_is_refused_without_being_read(part: str) -> None:
    with pytest.raises(ValueError, match="is no time") as caught:
        parse_keep_alive(part * 10**6 + "x")
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match="is no time"):
        parse_keep_alive("1s" * TEXT_MAX_CHARS)
    assert parse_keep_alive("0" * (TEXT_MAX_CHARS - 1) + "5") == 5


@pytest.mark.parametrize("number", [float("nan"), inf, -inf, 10**400, -10**400, 10**5_000], ids=type)
def test_a_number_that_is_none_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="this number is no time"):
        parse_keep_alive(number)


@given(st.text(alphabet="0123456789.+-hmsnu\N{MICRO SIGN} ", max_size=12) | st.floats() | st.integers())
def test_anything_is_a_time_or_refused_and_never_negative(text: float | str) -> None:
    try:
        assert parse_keep_alive(text) >= 0
    except ValueError as refused:
        assert "is no time" in str(refused)


@pytest.mark.parametrize(("asked_s", "model", "server", "cap", "seconds"), [
    (None, "", "5m", "-1", 300),  # nobody asks: what holds for all
    (None, "10m", "5m", "-1", 600),  # the model's own
    (None, "0", "5m", "-1", 0),  # a model may have none at all
    (None, "-1", "5m", "1h", inf),  # the cap is for requests; the operator knows what he writes
    (30.0, "10m", "5m", "-1", 30),
    (0.0, "-1", "5m", "1h", 0),
    (7_200.0, "10m", "5m", "1h", 3_600),
    (inf, "", "5m", "1h", 3_600),
    (inf, "", "5m", "-1", inf),
    (60.0, "", "5m", "0", 0),
])
def test_the_request_comes_first_then_the_model_then_all_models(asked_s: float | None, model: str, server: str,
                                                                 cap: str, seconds: float) -> None:
    assert choose_keep_alive_s(asked_s, model, server, cap) == seconds


@pytest.mark.parametrize("given", [1e12, 1e20, "99999999999h"])
def test_what_no_word_of_the_table_could_hold_is_for_ever(given):
    assert parse_keep_alive(given) == inf
    assert choose_keep_alive_s(1e15, "", "5m", "-1") == inf
