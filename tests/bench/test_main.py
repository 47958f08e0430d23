"""bench/__main__.py: the exit codes."""

import sys
from types import SimpleNamespace

import pytest

from bench.__main__ import BENCHES, COMMANDS, main
from bench.program import BenchFailed


@pytest.fixture
def bench(monkeypatch):
    """Makes `python -m bench made` do what the test says."""
    def made(do):
        monkeypatch.setitem(sys.modules, "a_bench_of_the_test", SimpleNamespace(main=do))
        monkeypatch.setitem(BENCHES, "made", ("a_bench_of_the_test", "what it does"))
        return main(["made", "--rate", "4"])
    return made


def raises(error):
    def do(arguments):
        raise error
    return do


def test_a_bench_gets_its_options_and_its_end_is_the_exit_code(bench):
    assert bench(lambda arguments: len(arguments)) == 2


def test_a_failure_is_one_line_and_1(bench, capsys):
    assert bench(raises(BenchFailed("b does not answer"))) == 1
    assert capsys.readouterr().err == "bench made: b does not answer\n"


def test_ctrl_c_is_130(bench, capsys):
    assert bench(raises(KeyboardInterrupt())) == 130
    assert "Ctrl-C" in capsys.readouterr().err


def test_an_unknown_bench_names_those_that_exist(capsys):
    assert main(["speed"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "speed" in line
    assert "latency, throughput, overhead" in line


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_all(words, capsys):
    assert main(words) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in BENCHES | COMMANDS)
