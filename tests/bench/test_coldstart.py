"""bench/coldstart.py: where a cold request's time went, out of control's journal, and the figures that follow."""

from datetime import UTC, datetime

import pytest

from bench.coldstart import MODEL, REFERENCE, Cold, figures, make_parser, read_time, steps_of, steps_table, table_of
from bench.ref_cold import NAME as BARE
from bench.table import table_lines

ASKED_AT = 1_800_000_000.0


def line(event, after_ms, model=MODEL, **fields):
    at = datetime.fromtimestamp(ASKED_AT + after_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
    return {"timestamp": at, "event": event, "model": model, **fields}


PREWARMED = [line("load", -900), line("loaded", -800, load_s=0.1),  # an earlier one
             line("load", 2), line("load", 1, "echo"), line("loaded", 152, load_s=0.14)]
STARTED = [line("start", 2), line("welcome", 300), line("load", 301), line("loaded", 851, load_s=0.15)]


@pytest.mark.parametrize("lines, expected", [
    (PREWARMED, {"decide": 2, "process": 0, "imports": 10, "load": 140, "first": 848}),
    (STARTED, {"decide": 2, "process": 299, "imports": 400, "load": 150, "first": 149}),
    (STARTED[:-1], {}),  # the journal has not said it all
    (PREWARMED[:2], {}),
    ([], {}),
])
def test_the_steps_add_up_to_the_whole(lines, expected):
    steps = steps_of(lines, ASKED_AT, 1.0)
    assert steps == {name: pytest.approx(ms, abs=0.01) for name, ms in expected.items()}
    assert not steps or sum(steps.values()) == pytest.approx(1000)


@pytest.mark.parametrize("stamp", [None, "", "yesterday", 7])
def test_a_line_without_a_time_has_none(stamp):
    assert read_time({"timestamp": stamp}) == 0.0 == read_time({})


ROUNDS = {"prewarm right": [Cold(110.0, {"decide": 1.0, "load": 60.0}), Cold(300.0, {})],
          "prewarm wrong, HTTP": [Cold(400.0, {"decide": 3.0}), Cold(600.0, {"decide": 5.0})],
          BARE: [Cold(100.0, {"load": 40.0}), Cold(150.0, {"load": 60.0})]}


def test_a_right_guess_has_a_target_and_a_wrong_one_is_reported():
    right, wrong = figures(ROUNDS, "26m")
    assert (right.value, right.reference_name, right.reached) == (pytest.approx(1.55), REFERENCE, False)
    assert (wrong.value, wrong.reached) == (4.0, None) and "26m" in wrong.what


def test_what_a_person_reads():
    text = [" ".join(each.split()) for table in (table_of(ROUNDS), steps_table(ROUNDS)) for each in table_lines(table)]
    assert "prewarm right 2 110 300" in text and f"{BARE} 2 100 150" in text
    assert "load: weights, tokenizer, warm-up 60.0 - 40.0" in text


def test_options(capsys):
    assert make_parser().parse_args([]).model == "26m"
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--rounds", "0"])
    assert "--rounds" in capsys.readouterr().err
