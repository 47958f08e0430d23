"""bench/all.py: every bench is run with the same options, and one that fails does not stop the others."""

import sys
from types import SimpleNamespace

import pytest

from bench.__main__ import BENCHES
from bench.all import PLAN, main
from bench.program import BenchFailed


@pytest.fixture
def asked(monkeypatch):
    """What each bench of the plan was asked; `overhead` fails and `turns` finds something."""
    seen = {}

    def stand_in(name):
        def do(arguments):
            seen[name] = arguments
            if name == "overhead":
                raise BenchFailed("nobody answers")
            return int(name == "turns")
        return SimpleNamespace(main=do)

    for name in PLAN:
        monkeypatch.setitem(sys.modules, f"bench.{name}", stand_in(name))
    return seen


def test_every_bench_of_the_plan_is_one():
    assert PLAN.keys() <= BENCHES.keys()


def test_all_in_a_row_with_the_same_options(asked, capsys):
    assert main(["--rounds", "2", "--save", "linux-2core"]) == 1
    assert list(asked) == list(PLAN)
    assert all(words[-6:] == ["--rounds", "2", "--seed", "1", "--save", "linux-2core"] for words in asked.values())
    told = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line]
    ends = dict(told)
    assert ends["overhead"] == "FAILED: nobody answers" and ends["turns"].startswith("FAILED with code 1")
    assert ends["throughput"].startswith("measured in")


def test_some_of_them(asked):
    assert main(["--only", "latency,scaling"]) == 0
    assert list(asked) == ["latency", "scaling"] and "--save" not in asked["latency"]


def test_an_unknown_one_is_told_in_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--only", "speed"])
    assert ended.value.code == 2
    assert "'speed' is none of" in capsys.readouterr().err
