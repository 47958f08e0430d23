"""What follows from the home's directories, its processes and what a stack left in it."""

import pytest

from gateway.cli.doctor_home import REFUSES, RUNS, SILENT, STUCK, HomeFact, StackFact, check_home, check_stack
from tests.support.findings import levels, told

QUIET = StackFact("/h", SILENT)


def test_a_home_that_may_be_used() -> None:
    assert levels(check_home(HomeFact("/h", True, (), "/h/run"))) == ["ok"]
    told(check_home(HomeFact("/h", False)), "ok", "warden up")


def test_every_trouble_of_a_home_has_its_remedy() -> None:
    found = check_home(HomeFact("/h", True, ("/h: lets other users write (mode 0777); run `chmod go-w /h`",
                                             "/h/run: is a symbolic link; remove it")))
    assert levels(found) == ["problem", "problem"]
    told(found, "problem", "mode 0777", "chmod go-w /h")


def test_sockets_elsewhere_are_told() -> None:
    told(check_home(HomeFact("/long", True, (), "/tmp/warden-0/ab", True)), "ok", "/tmp/warden-0/ab")


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("does not run", "warden up")),
    ({"supervisord": RUNS, "processes": ((1, "control"), (2, "supervisord"))}, "ok", ("runs, 2 processes",)),
    ({"supervisord": REFUSES, "why": "UNAUTHORIZED"}, "problem", ("UNAUTHORIZED", "warden down")),
    ({"supervisord": STUCK}, "problem", ("does not answer", "warden down")),
    ({"processes": ((7, "control"),), "leftovers": ("table",)}, "problem",
     ("crashed", "control (pid 7)", "warden down")),
    ({"leftovers": ("table", "supervisor.sock")}, "note", ("table, supervisor.sock", "warden up")),
    ({"up_pid": 9, "processes": ((7, "control"),)}, "note", ("pid 9", "wait")),
    ({"supervisord": RUNS, "table": "/h/run/table: is of version 3; run `warden down`, then `warden up`"}, "problem",
     ("version 3", "warden down")),
])
def test_stack(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_stack(QUIET._replace(**changes)), level, *words)


def test_a_table_that_a_dead_stack_left_is_no_trouble_of_its_own() -> None:
    assert levels(check_stack(QUIET._replace(leftovers=("table",), table="/h: is of version 3; x"))) == ["note"]
