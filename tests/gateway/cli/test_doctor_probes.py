"""Looking at many things beside each other, each for a limited time."""

import threading

from gateway.cli.doctor_finding import Unseen
from gateway.cli.doctor_probes import look

LONG_S = 30.0


def test_probes_run_beside_each_other() -> None:
    both = threading.Barrier(2)
    assert look({"a": lambda: both.wait(LONG_S) in (0, 1), "b": lambda: both.wait(LONG_S) in (0, 1)}, LONG_S) == {
        "a": True, "b": True}


def test_one_that_overstays_is_left_behind_and_one_that_fails_says_why() -> None:
    never = threading.Event()
    released = threading.Event()

    def hang() -> None:
        never.wait()
        released.set()

    def fail() -> None:
        raise OSError("no such disk")

    seen = look({"late": hang, "broken": fail}, 0.01)
    assert isinstance(seen["late"], Unseen) and "longer than 0.01 s" in seen["late"].why
    never.set()
    assert released.wait(LONG_S)
    assert look({"broken": fail}, LONG_S) == {"broken": Unseen("OSError: no such disk")}
