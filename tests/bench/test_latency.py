"""bench/latency.py: options, schedules, figures and tables; tests/integration/test_bench.py shows it measuring."""

from random import Random

import pytest

from bench.latency import (
    CLASS_COLUMNS,
    P99_MIN,
    Run,
    figures_of_latency,
    read_options,
    readme_table,
    schedule_of,
    settings_of,
    tables_of,
)
from bench.load import Target
from bench.records import Heard, summarise
from bench.table import WIDTH_MAX_COLUMNS, table_lines


def options(*words):
    return read_options(words)[1]


def one_round(first_s=0.1, end_s=1.0, **more):
    heard = [Heard(klass, 0.0, 0.001, first_s, end_s, 10, (0.01,), **more) for klass in ("high", "low")]
    return Run(summarise(heard), 0.25)


def test_an_open_loop_unless_asked_otherwise():
    asks = schedule_of(options("--rate", "5", "--duration", "20"), Random(1))
    assert 70 < len(asks) < 130
    assert asks[-1].at_s > 10
    assert schedule_of(options(), Random(1)) == schedule_of(options(), Random(1))


def test_a_closed_loop_has_requests_instead_of_times():
    assert len(schedule_of(options("--closed", "3"), Random(1))) == 24
    chosen = options("--closed", "3", "--requests", "5", "--prompt-chars", "40", "--max-tokens", "7")
    asks = schedule_of(chosen, Random(1))
    assert [(ask.at_s, len(ask.prompt), ask.max_tokens) for ask in asks] == [(0.0, 40, 7)] * 5


def test_the_settings_say_which_loop_it_was_and_the_running_limit():
    assert (options("--max-running", "3").max_running, options().max_running) == (3, 8)
    assert settings_of(options(), 3)["max_running"] == 3
    assert settings_of(options(), 8)["open_loop_rate_per_s"] == 4.0
    closed = settings_of(options("--closed", "2"), 8)
    assert (closed["closed_loop_streams"], closed["requests"]) == (2, 16)
    assert "duration_s" not in closed
    assert settings_of(options("--url", "http://a"), None)["max_running"] == "not known"


@pytest.mark.parametrize(("words", "says"), [
    (["--rate", "0"], "--rate"), (["--duration", "x"], "--duration"), (["--closed", "0"], "--closed"),
    (["--requests", "5"], "goes with --closed"), (["--closed", "2", "--rate", "1"], "one or the other"),
    (["--closed", "2", "--duration", "1"], "one or the other"), (["--mix", "urgent=1"], "no class"),
    (["--mix", "high"], "CLASS=WEIGHT"), (["--url", "http://a", "--model", "26m"], "--model-of warden=MODEL"),
    (["--url", "http://a", "--max-running", "4"], "has its own"),
    (["--max-tokens", "0"], "--max-tokens"), (["more"], "more"),
])
def test_a_wrong_option_is_one_line_and_exit_code_2(words, says, capsys):
    with pytest.raises(SystemExit) as ended:
        options(*words)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line


def test_figures_are_of_the_first_target_alone_and_beside_each_other():
    figures = {one.what: one for one in figures_of_latency(
        {"warden": [one_round(0.1)], "a": [one_round(0.2)], "b": [one_round(end_s=4.0)]})}
    assert figures["first text p50, warden beside a"].value == pytest.approx(0.5)
    assert figures["whole answer p50, warden beside b"].value == pytest.approx(0.25)
    assert figures["tokens per second, warden beside b"].value == pytest.approx(4.0)
    assert figures["first text p50, warden"].value == pytest.approx(100.0)
    ours = figures_of_latency({"warden": [one_round()], "warden-zmq": [one_round()]})
    assert len(ours) == 10 and not any(one.reference_name for one in ours)


def test_the_readme_has_everybody_with_the_model_that_was_asked():
    targets = [Target("warden", "http", "http://a", "measured"), Target("ollama", "ollama", "http://b")]
    table = readme_table(targets, {"warden": [one_round(0.1)], "ollama": [one_round(0.2)]}, "~/phi")
    assert [row[:2] for row in table.rows] == [("warden (~/phi)", "100"), ("ollama (its own choice)", "200")]
    assert [row[-2:] for row in table.rows] == [("2", "0")] * 2


def tables(model="m", **runs):
    return tables_of([Target(name, "http", "http://127.0.0.1:11435", model) for name in runs], runs)


def test_the_tables_have_each_class_all_of_them_what_failed_and_the_generators_part():
    warden, failed, generator = tables(warden=[
        one_round(), one_round(), one_round(outcome="refused", detail="503 queue_full")])
    assert [row[0] for row in warden.rows] == ["high", "low", "all"]
    assert warden.rows[2][1:8] == ("6", "4", "2", "0", "100", "100", "100")
    assert failed.rows == [("503 queue_full", "warden", "2")]
    assert generator.rows == [("warden", "1.00", "1.00", "1.00", "0.75", "3.00")]


def test_no_failures_no_table_of_them_and_frames_are_said():
    shown = tables("", warden=[one_round()], a=[one_round(by_usage=False)])
    assert len(shown) == 3
    assert "frames are counted" not in shown[0].title
    assert "frames are counted" in shown[1].title
    assert "its own choice of model" in shown[1].title


def test_a_99th_percentile_that_is_the_longest_answer_is_said():
    few, many = one_round(), Run(summarise([Heard("low", 0.0, 0.0, 0.1, 1.0, 1)] * P99_MIN), 0.25)
    assert "p99 is its longest" in tables(warden=[few])[0].title.splitlines()[1]
    assert "p99" not in tables(warden=[many, many])[0].title


def test_the_widest_row_that_is_likely_fits():
    slow = one_round(first_s=99.999, end_s=999.999)
    lines = table_lines(tables(warden=[slow])[0]._replace(title=""))
    assert len(CLASS_COLUMNS) == 15
    assert max(map(len, lines)) <= WIDTH_MAX_COLUMNS
    assert not any(line.endswith("…") for line in lines)
