"""bench/priority.py: what is made of what was heard; the load itself: test_low_load.py."""

from types import SimpleNamespace

import pytest

from bench.low_load import Question
from bench.priority import OFF, ONE, TTFT_TARGET, TWO, case_of, faults_of, figures, make_parser, table_of, verdict
from bench.streams import Stream
from bench.table import table_lines

GREEDY, DRAWN = Question("m", "a", 3, None), Question("m", "b", 3, 1)


def answer(*frame_s, ids=(1, 2, 3), error=""):
    return Stream(0.0, list(frame_s), list(ids), ended=True, error=error)


def case(calm=None, errors=()):
    lows = SimpleNamespace(answered={GREEDY: answer(0.1, 0.2, 0.9), DRAWN: answer(0.1, 0.3)}, errors=list(errors))
    calm = calm or {GREEDY: answer(0.1, 0.2, 0.3), DRAWN: answer(0.1, 0.2)}
    return case_of([answer(0.01)] * 3, [answer(0.02), answer(0.02), answer(0.04)], lows, calm, 2, 2)


def test_a_round_of_a_case():
    one = case()
    assert (one.idle.p50, one.loaded.p50, one.loaded.p95, one.high_max_ms) == (10, 20, 40, 40)
    assert (one.preemptions, one.resumptions, one.lows, one.differing, one.errors) == (2, 2, 2, 0, [])
    assert one.pause_max_ms == pytest.approx(700) and one.calm_max_ms == pytest.approx(100)


def test_a_low_answer_that_differs_or_is_lost_is_a_fault():
    differing = case({GREEDY: answer(0.1, ids=(1, 2, 4)), DRAWN: answer(0.1)})
    lost = case(errors=["worker_lost: gone"])
    unheard = case({GREEDY: answer(error="worker_lost"), DRAWN: answer(0.1)})
    assert faults_of({ONE: [case()]}) == []
    [fault] = faults_of({ONE: [case(), differing]})
    assert "1 of 4 LOW answers have other tokens" in fault and verdict([fault]) == f"NOT GOOD: {fault}"
    assert faults_of({TWO: [lost]}) == ["two models: 1 LOW requests were not answered: worker_lost: gone"]
    assert "1 LOW requests were not answered: worker_lost" in faults_of({TWO: [unheard]})[0]


def test_each_round_is_held_against_its_own_idle_part():
    found = {one.what: one for one in figures({ONE: [case()] * 3, OFF: [case()]}, make_parser().parse_args([]))}
    p95 = found["HIGH TTFT p95, 50 LOW queued, 5 running, 1m"]
    assert p95.value == pytest.approx(4) and p95.target == TTFT_TARGET and not p95.reached
    assert found[f"{p95.what}, {OFF}"].target is None


def test_the_table_adds_counts_and_keeps_the_longest():
    text = [" ".join(line.split()) for line in table_lines(table_of({ONE: [case()] * 2}, []))]
    assert text[0] == verdict([]) and "one model 10.0 10.0 20.0 40.0 40.0 4 4 4 0 700 100" in text


@pytest.mark.parametrize("wrong", [["--cases", "three models"], ["--running", "0"], ["--pause", "x"]])
def test_what_cannot_be_measured_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(wrong)
    assert wrong[0] in capsys.readouterr().err
