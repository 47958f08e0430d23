"""bench/eviction.py: its options. The whole of it runs in tests/integration/test_eviction_race.py."""

import pytest

from bench.eviction import read_options


def test_the_defaults_are_those_of_the_long_run():
    options = read_options([])
    assert (options.evictions, options.rate, options.models, options.without) == (5_000, 500.0, 8, "")


@pytest.mark.parametrize("keys", ["gate", "worker", "gate,worker"])
def test_keys_can_be_switched_off(keys):
    assert read_options(["--without", keys]).without == keys


@pytest.mark.parametrize("words", [["--without", "fence"], ["--without", "gate,"], ["--models", "1"],
                                   ["--kills", "101"], ["--rate", "0"], ["--evictions", "0"]])
def test_wrong_options_are_one_line_and_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        read_options(words)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words[0] in line
