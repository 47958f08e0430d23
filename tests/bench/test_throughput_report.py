"""How the rounds of throughput become figures, rows and bars, with other servers beside ours and without references."""

import pytest

from bench.answerers import HTTP, ZMQ, Round
from bench.load import Target
from bench.ref_batch import NAME as BARE
from bench.rounds import Turn
from bench.table import table_lines
from bench.throughput_report import (
    Case,
    figures,
    figures_to_reach,
    model_words,
    peers_table,
    plot_of,
    tables_of,
    told_models,
)

EIGHT, ONE = Case("1m", 8), Case("1m", 1)


def rate(tokens_per_s, **fields):
    return Round(tokens=round(tokens_per_s * 2), wall_s=2.0, **{"done": 4, "failed": 0, "details": {}} | fields)


ROUNDS = {
    EIGHT: {BARE: [rate(1000), rate(1000), rate(500)], ZMQ: [rate(950), rate(900), rate(500)],
            HTTP: [rate(900), rate(800), rate(425)], "ollama": [rate(500), rate(400), rate(250)]},
    ONE: {BARE: [rate(100)] * 3, ZMQ: [rate(95)] * 3, HTTP: [rate(80)] * 3, "ollama": [rate(0, done=0)] * 3},
}


def test_a_case_is_named_in_words():
    assert (EIGHT.words, ONE.words) == ("8 streams, 1 M model", "1 stream, 1 M model")
    assert (Case("", 8).words, model_words("/a/phi-3.5/")) == ("8 streams", "phi-3.5")


def test_ours_beside_the_bare_generator_of_the_same_round():
    """The machine was twice as slow in the third round, for all of them: the value does not change."""
    zmq, http = figures_to_reach(EIGHT, ROUNDS[EIGHT])
    assert (http.value, http.target, http.reached) == (pytest.approx(0.85), 0.9, False)
    assert (zmq.value, zmq.target) == (pytest.approx(0.95), None)
    assert [one.target for one in figures_to_reach(ONE, ROUNDS[ONE])] == [None, 0.85]


def test_without_the_bare_generator_beside_each_other_server():
    of_case = {HTTP: [rate(800)], "ollama": [rate(400)], "far": [rate(1600)]}
    figures = figures_to_reach(Case("", 8), of_case)
    assert {one.what: one.value for one in figures} == {
        "tokens/s over HTTP, 8 streams, beside ollama": 2.0, "tokens/s over HTTP, 8 streams, beside far": 0.5}
    [alone] = figures_to_reach(Case("", 8), {HTTP: [rate(800)]})
    assert (alone.value, alone.reference_name) == (800, "")


def test_the_cpu_of_a_token_is_that_of_gateway_and_http():
    measured = [rate(500, cpu_s={"gateway": 0.06, "gateway.http": 0.05, "workers": 1.5})]
    cpu = figures_to_reach(EIGHT, {HTTP: measured, BARE: [rate(500)]})[-1]
    assert (cpu.value, cpu.target, cpu.reached) == (pytest.approx(110.0), 100, False)
    assert figures_to_reach(ONE, {HTTP: measured, BARE: [rate(500)]})[-1].target is None
    [table] = tables_of({EIGHT: {HTTP: measured}})
    assert table.rows[0][-4:] == ["60.0", "50.0", "1500", "-"]


def test_peers_stand_beside_us():
    table = peers_table(ROUNDS, 64, [Target("ollama", "ollama", "http://b", "phi3.5")])
    assert table.columns == ["tokens/s", "8 streams, 1 M model", "1 stream, 1 M model"]
    assert table.rows == [[BARE, "1000", "100"], [ZMQ, "900 (0.95)", "95.0 (0.95)"],
                          [HTTP, "800 (0.85)", "80.0 (0.80)"], ["ollama (phi3.5)", "400 (0.50)", "0.00 (0.00)"]]
    alone = peers_table({Case("", 8): {HTTP: [rate(800)], "ollama": [rate(400)]}}, 64, [])
    assert alone.rows == [[HTTP, "800"], ["ollama", "400 (0.50)"]]


def test_bars_are_shares_of_the_bare_generator():
    plot = plot_of(ROUNDS)
    assert [line.name for line in plot.lines] == [BARE, ZMQ, HTTP, "ollama"]
    assert plot.lines[2].points == [(0.0, pytest.approx(0.85)), (1.0, pytest.approx(0.8))]
    assert plot.groups == [EIGHT.words, ONE.words]


def test_a_table_shows_rounds_median_failures_and_the_generators_part():
    rounds = {EIGHT: {BARE: [rate(1000), rate(1100), rate(900)],
                      HTTP: [rate(850, generator_cpu_s=0.1), rate(800, generator_cpu_s=0.1),
                             rate(900, generator_cpu_s=0.1, failed=2, details={"503 queue_full": 2})]}}
    text = [" ".join(line.split()) for table in tables_of(rounds) for line in table_lines(table)]
    assert f"{BARE} 1000 1000 1100 900 12 0 - - - -" in text
    assert f"{HTTP} 850 850 800 900 12 2 - - - 5%" in text
    assert f"503 queue_full {HTTP}, 8 streams, 1 M model 2" in text


def test_the_json_holds_every_round():
    told = figures([Turn(rate(1000), 0.0, 1.5), Turn(rate(900), 0.2, 1.5)])
    assert told["tokens_per_s"] == 950
    assert [(one["tokens_per_s"], one["others_share"]) for one in told["rounds"]] == [(1000, 0.0), (900, 0.2)]


def test_the_model_of_each_target_is_told():
    warden, other = Target("warden", "http", "http://a", "phi"), Target("o", "ollama", "http://b")
    assert told_models(["1m", "26m"], [], own_stack=True) == "1m, 26m"
    assert told_models(["1m"], [other], own_stack=True) == "1m; o: its own choice at http://b"
    assert told_models([""], [warden], own_stack=False) == "warden: phi at http://a"
    assert told_models(["1m"], [warden], own_stack=False) == "references: 1m; warden: phi at http://a"
