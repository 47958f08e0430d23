"""workers/third_key.py: the decision itself, over every state it can be asked in."""

from itertools import product

import pytest

from control.messages import VERSION, Quit
from workers.third_key import Hands, ThirdKey, Turn

EMPTY = Hands(0, 0, False)


def order(fence: int, incarnation: int = 7, epoch: int = 5) -> Quit:
    return Quit(VERSION, incarnation, fence, epoch, "memory")


@pytest.mark.parametrize(("incarnation", "epoch", "ours", "newest"), [
    (6, 5, 7, 5), (8, 5, 7, 5), (0, 5, 0, 5), (7, 4, 7, 5), (7, 6, 7, 5), (7, 0, 7, 0)])
def test_a_void_order_is_neither_obeyed_nor_remembered(incarnation, epoch, ours, newest):
    key = ThirdKey()
    assert key.decide_quit(order(9, incarnation, epoch), ours, newest, EMPTY).turn is Turn.VOID
    assert key.refused_fence == 0
    assert ThirdKey(switched_off=True).decide_quit(order(9, incarnation, epoch), ours, newest, EMPTY).turn is Turn.VOID


def test_it_obeys_only_empty_handed():
    for jobs, held, loading in product((0, 1, 3), (0, 2), (False, True)):
        verdict = ThirdKey().decide_quit(order(9), 7, 5, Hands(jobs, held, loading))
        assert verdict.turn is (Turn.REFUSED if jobs or held or loading else Turn.OBEYED)
        assert bool(verdict.reason) is bool(jobs or held or loading)


@pytest.mark.parametrize(("hands", "reason"), [
    (Hands(2, 2, False), "2 jobs"), (Hands(0, 0, True), "loading"),
    (Hands(0, 1, False), "the engine has not let go of 1 jobs")])
def test_a_refusal_says_why(hands, reason):
    assert ThirdKey().decide_quit(order(9), 7, 5, hands).reason == reason


def test_the_largest_refused_fence_and_all_below_stay_refused():
    key = ThirdKey()
    key.decide_quit(order(9), 7, 5, Hands(1, 1, False))
    key.decide_quit(order(4), 7, 5, Hands(1, 1, False))  # late
    for fence in range(1, 10):
        assert key.decide_quit(order(fence), 7, 5, EMPTY).turn is Turn.REFUSED
    assert key.decide_quit(order(10), 7, 5, EMPTY).turn is Turn.OBEYED
    assert key.decide_quit(order(10), 7, 5, EMPTY).turn is Turn.OBEYED
