"""What is asked in each round, which cases are measured, and which options are refused."""

import pytest

from bench import throughput
from bench.program import BenchFailed
from bench.ref_batch import NAME as BARE
from bench.throughput import make_parser, make_schedule


def test_the_same_seed_asks_the_same_and_each_round_something_new():
    schedule = make_schedule(7, 3, 8, 2, 60, 64)
    assert schedule == make_schedule(7, 3, 8, 2, 60, 64) != make_schedule(8, 3, 8, 2, 60, 64)
    prompts = {ask.prompt for asks in schedule for ask in asks}
    assert len(prompts) == 3 * 16
    assert {(ask.klass, ask.max_tokens, len(ask.prompt)) for asks in schedule for ask in asks} == {("medium", 64, 60)}


def test_another_number_of_streams_asks_something_else():
    [eight], [one] = make_schedule(7, 1, 8, 2, 60, 64), make_schedule(7, 1, 1, 2, 60, 64)
    assert not {ask.prompt for ask in eight} & {ask.prompt for ask in one}


def test_several_models_and_numbers_of_streams():
    options = make_parser().parse_args(["--model", "1m", "--model", "26m", "--streams", "8,1,8"])
    assert (options.model, options.streams) == (["1m", "26m"], (8, 1))
    assert (make_parser().parse_args([]).streams, make_parser().parse_args([]).model) == ((8, 1), [])


@pytest.mark.parametrize("arguments", [
    ["--streams", "0"], ["--streams", "8,257"], ["--streams", ""], ["--tokens", "none"], ["--rounds", "0"],
    ["--requests-per-stream", "-1"], ["--against", "a=http://a", "--model", "1m", "--model", "26m"],
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
