"""Who is loaded or started next: tables of facts, and what comes out."""

import pytest

from control.load_choice import Facts, Load, Nothing, Start, choose_next
from control.states import Phase

P = Phase


def row(slug, phase=P.DOWN, waiting=(0, 0, 0), *, loading=False, oldest=None, wanted="", used=0.0):
    return Facts(slug, phase, loading, waiting, oldest, wanted, used)


@pytest.mark.parametrize("rows, kind, slug", [
    # 1: one load at a time, even for HIGH
    ([row("a", P.LOADING, loading=True), row("b", P.EMPTY, (1, 0, 0))], Nothing, None),
    # 2: the highest class, then the oldest wait; wishes without a request last
    ([row("a", waiting=(0, 9, 9)), row("b", waiting=(1, 0, 0))], Start, "b"),
    ([row("a", waiting=(0, 1, 0), oldest=50.0), row("b", waiting=(0, 1, 0), oldest=40.0)], Start, "b"),
    ([row("a", wanted="preload"), row("b", waiting=(0, 0, 1))], Start, "b"),
    ([row("a", wanted="preload"), row("b")], Start, "a"),
    # 3: loaded if empty, waited for while it starts, passed over in backoff
    ([row("a", P.EMPTY, (0, 1, 0))], Load, "a"),
    ([row("a", P.STARTING, (1, 0, 0)), row("b", P.EMPTY, (0, 0, 1))], Nothing, None),
    ([row("a", P.BACKOFF, (1, 0, 0)), row("b", P.EMPTY, (0, 0, 1))], Load, "b"),
    ([row("a", P.QUARANTINED, (1, 0, 0)), row("b", P.HELD, (1, 0, 0))], Nothing, None),
    ([row("a", P.READY, (3, 0, 0))], Nothing, None),
])
def test_wanted_models(rows, kind, slug):
    choice = choose_next(rows, prewarm=0)
    assert isinstance(choice, kind) and choice.reason
    assert slug is None or choice.slug == slug


@pytest.mark.parametrize("rows, prewarm, slug", [
    ([row("a"), row("b", used=5.0)], 1, "b"),
    ([row("a"), row("b")], 1, "a"),
    ([row("a", P.EMPTY), row("b")], 1, None),
    ([row("a", P.STARTING), row("b")], 1, None),
    ([row("a", P.EMPTY), row("b")], 2, "b"),
    ([row("a", P.READY), row("b")], 1, "b"),
    ([row("a"), row("b")], 0, None),
    ([row("a", P.BACKOFF), row("b", P.HELD)], 1, None),
])
def test_prewarm(rows, prewarm, slug):
    choice = choose_next(rows, prewarm)
    assert (choice.slug if isinstance(choice, Start) else None) == slug


def test_nothing_is_prewarmed_while_somebody_waits_for_a_start():
    rows = [row("a", P.STARTING, (1, 0, 0)), row("b")]
    assert isinstance(choose_next(rows, prewarm=5), Nothing)
