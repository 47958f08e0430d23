"""Which answers of a round are held, and how figures become rows."""

import pytest

from bench.records import Heard, summarise
from bench.structured import HELD, PLAIN, SCHEMA, figures_of_mixtures, make_parser, make_round, table_of
from bench.table import table_lines

STREAMS, ANSWERS, TOKENS = 4, 3, 16


def heard(klass: str, gap_s: float, tokens: int = 10) -> Heard:
    return Heard(klass, 0.0, 0.0, 0.1, 2.0, tokens, (gap_s, gap_s))


def test_none_one_or_all_of_a_batch_are_held_throughout():
    made = make_round("seed", STREAMS, ANSWERS, TOKENS)
    assert made == make_round("seed", STREAMS, ANSWERS, TOKENS) != make_round("other", STREAMS, ANSWERS, TOKENS)
    assert [sum(ask.schema is SCHEMA for ask in asks) for asks in made.values()] == [0, ANSWERS, STREAMS * ANSWERS]
    for asks in made.values():
        assert len(asks) == STREAMS * ANSWERS and {ask.max_tokens for ask in asks} == {TOKENS}
        assert all((ask.klass == HELD) == (ask.schema is not None) for ask in asks)
        assert len({sum(ask.schema is not None for ask in asks[first : first + STREAMS])
                    for first in range(0, len(asks), STREAMS)}) == 1
    assert len({ask.prompt for asks in made.values() for ask in asks}) == 3 * STREAMS * ANSWERS


def test_ratios_are_to_the_mixture_without_held_answers():
    rounds = {"0 of 2 held": [summarise([heard(PLAIN, 0.010), heard(PLAIN, 0.010)])],
              "1 of 2 held": [summarise([heard(PLAIN, 0.012), heard(HELD, 0.012, 8)])],
              "2 of 2 held": [summarise([heard(HELD, 0.020, 5), heard(HELD, 0.020, 5)])]}
    assert {one.what: one.value for one in figures_of_mixtures(rounds)} == {
        "tokens/s, 1 of 2 held": pytest.approx(0.9),
        "between tokens of plain answers, 1 of 2 held": pytest.approx(1.2),
        "tokens/s, 2 of 2 held": pytest.approx(0.5)}
    text = [" ".join(line.split()) for line in table_lines(table_of(rounds))]
    assert "0 of 2 held 10.0 10.0 - 2 0" in text and "2 of 2 held 5.00 - 20.0 2 0" in text


@pytest.mark.parametrize("wrong", [["--streams", "1"], ["--tokens", "0"], ["--answers", "x"]])
def test_what_cannot_be_measured_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(wrong)
    assert wrong[0] in capsys.readouterr().err
