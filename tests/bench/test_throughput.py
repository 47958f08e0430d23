"""What is asked in each round, how figures become ratios and rows, and which options are refused."""

import pytest

from bench import throughput
from bench.load import Loaded, Target
from bench.program import BenchFailed
from bench.records import Heard
from bench.report import report_lines
from bench.rounds import Turn
from bench.throughput import BARE, Round, figures, make_schedule, ratios, round_of, tables_of, warm_up


def rate(tokens_per_s, **fields):
    return Round(tokens=round(tokens_per_s * 2), wall_s=2.0, **{"done": 4, "failed": 0, "details": {}} | fields)


def test_the_same_seed_asks_the_same_and_each_round_something_new():
    schedule = make_schedule(7, 3, 16, 60, 64)
    assert schedule == make_schedule(7, 3, 16, 60, 64) != make_schedule(8, 3, 16, 60, 64)
    prompts = {ask.prompt for asks in schedule for ask in asks}
    assert len(prompts) == 3 * 16
    assert {(ask.klass, ask.max_tokens, len(ask.prompt)) for asks in schedule for ask in asks} == {("medium", 64, 60)}


def test_a_ratio_is_that_of_one_round():
    """The machine was twice as slow in the third round, for all of them: the ratio does not change."""
    rounds = {BARE: [rate(1000), rate(1000), rate(500)], "warden": [rate(900), rate(800), rate(425)]}
    assert ratios(rounds) == {f"warden / {BARE}": pytest.approx(0.85)}
    assert ratios({"warden": rounds["warden"]}) == {}, "alone, no ratio"
    assert ratios({"warden": rounds["warden"], "a": rounds[BARE]}) == {"warden / a": pytest.approx(0.85)}


def test_only_answers_that_ended_well_count():
    done = Heard("medium", 0.0, 0.0, 0.5, 2.0, 64, (0.1,), "done")
    cut = Heard("medium", 0.0, 0.0, 0.5, 4.0, 30, (0.1,), "error", "the stream ended in mid-answer")
    one = round_of(Loaded([done, cut], 0.25))
    assert (one.tokens, one.wall_s, one.done, one.failed) == (64, 4.0, 1, 1)
    assert one.tokens_per_s == 16 and one.generator_cpu_s == 0.25
    assert one.details == {"the stream ended in mid-answer": 1}


def test_a_report_shows_rounds_median_failures_and_the_generators_part():
    rounds = {BARE: [rate(1000), rate(1100), rate(900)],
              "warden": [rate(850, generator_cpu_s=0.1), rate(800, generator_cpu_s=0.1),
                         rate(900, generator_cpu_s=0.1, failed=2, details={"503 queue_full": 2})]}
    result = {"command": "c", "started_at": "s", "machine": {"versions": {}, "git_commit": "", "cpu": "", "cores": 2,
              "memory_gib": 1, "system": "", "python": ""}, "model": "1m", "seed": 1, "settings": {}, "busy": [],
              "ratios": ratios(rounds)}
    text = [" ".join(line.split()) for line in report_lines(result, tables_of(rounds))]
    assert f"{BARE} 1000 1000 1100 900 12 0 6000 -" in text
    assert "warden 850 850 800 900 12 2 5100 5%" in text
    assert "503 queue_full warden 2" in text
    assert f"warden / {BARE} 0.85" in text


def test_the_json_holds_every_round():
    told = figures([Turn(rate(1000), 0.0, 1.5), Turn(rate(900), 0.2, 1.5)])
    assert told["tokens_per_s"] == 950
    assert [(one["tokens_per_s"], one["others_share"]) for one in told["rounds"]] == [(1000, 0.0), (900, 0.2)]


def test_the_model_of_each_target_is_told():
    warden, other = Target("warden", "http", "http://a", "phi"), Target("o", "http", "http://b")
    assert throughput.told_model("1m", [], own_stack=True) == "1m"
    assert throughput.told_model("1m", [other], own_stack=True) == "1m; o: its own choice at http://b"
    assert throughput.told_model("", [warden], own_stack=False) == "warden: phi at http://a"
    assert throughput.told_model("1m", [warden], own_stack=False) == "references: 1m; warden: phi at http://a"


def test_who_answers_nothing_is_not_measured():
    asked = []
    warm_up({"one": lambda asks: asked.append(asks) or rate(1, done=1, failed=7)}, ["ask"])
    assert asked == [["ask"]]
    with pytest.raises(BenchFailed, match="two answers nothing: connection: refused"):
        warm_up({"two": lambda asks: rate(0, done=0, failed=1, details={"connection: refused": 1})}, ["ask"])


@pytest.mark.parametrize("arguments", [
    ["--streams", "0"], ["--streams", "257"], ["--tokens", "none"], ["--rounds", "0"], ["--requests", "-1"],
    ["--prompt-chars", "0"],
    ["--url", "http://a", "--max-running", "2"], ["--against", f"{BARE}=http://a"],
    ["--against", "nothing"], ["--url", "ftp://x"], ["--unknown"],
])
def test_wrong_options_are_told_in_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        throughput.main(arguments)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_server_that_does_not_answer_ends_it_before_anything_is_started(tmp_path):
    with pytest.raises(BenchFailed, match="gone"):
        throughput.main(["--against", "gone=http://127.0.0.1:9", "--json", str(tmp_path / "x.json")])
    assert list(tmp_path.iterdir()) == []
