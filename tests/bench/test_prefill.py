"""bench/prefill.py: which pauses are before and during, and what is made of them."""

import pytest

from bench.prefill import PAUSE_TARGET, TARGET_MS, Pauses, figures, make_parser, pauses_of, plots_of, table_of
from bench.streams import Stream
from bench.table import table_lines


def stream(sent_s, *frame_s):
    return Stream(sent_s, list(frame_s), list(range(len(frame_s))), prompt_tokens=100, ended=True)


RUNNING = [stream(0.0, 0.875, 1.0, 1.125, 1.25, 1.75, 2.0), stream(0.0, 0.875, 1.125, 1.25, 2.0)]
ALONE, BESIDE = stream(0.0, 0.25), stream(1.3125, 1.75)
SETTLED_S = 0.9375


def test_pauses_before_and_during():
    one = pauses_of(ALONE, BESIDE, RUNNING, SETTLED_S)
    assert (one.alone_ms, one.beside_ms, one.prompt_tokens) == (250, 437.5, 100)
    assert (one.before.p50, one.before_max_ms) == (125, 125)
    assert (one.during.p50, one.during_max_ms) == (500, 750)
    assert [at for at, _ in one.points] == [-0.3125, -0.1875, -0.0625, 0.4375, 0.6875]


def test_the_longest_pause_is_held_against_the_time_of_a_chunk():
    one: Pauses = pauses_of(ALONE, BESIDE, RUNNING, SETTLED_S)
    longest, p95, first = figures({"1m": [one, one]}, 4, 2_000)
    assert longest.value == pytest.approx(750 / max(TARGET_MS, 125)) and longest.target == PAUSE_TARGET
    assert p95.value == pytest.approx(6) and p95.target is None
    assert first.value == pytest.approx(1.75)
    assert len({figure.what for figure in (longest, p95, first)}) == 3


def test_the_table_and_the_plot():
    one = pauses_of(ALONE, BESIDE, RUNNING, SETTLED_S)
    text = [" ".join(line.split()) for line in table_lines(table_of({"1m": [one]}))]
    assert "1m, before 125 125 125 250" in text and "1m, during 500 750 750 438" in text
    [plot] = plots_of({"1m": [one]})
    assert all(x >= 0 for x, _ in plot.lines[0].points) and len(plot.lines[0].points) == 2


@pytest.mark.parametrize("wrong", [["--models", "70b"], ["--streams", "0"], ["--prompt-tokens", "9999"]])
def test_what_cannot_be_measured_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(wrong)
    assert wrong[0] in capsys.readouterr().err
