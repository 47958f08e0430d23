"""Which item goes next, which is asked again and when, on a hand-moved clock."""

import random

import pytest

from gateway.inbox import GatewayError
from gateway.protocol import HANDED_ON, Done, Progress, Started, Timings, Tokens, Usage
from gateway.task_schedule import PAUSES_ALL, Outcome, Piece, Schedule, may_ask_again


def error(code: str, retry_after_s: float = 0.0) -> GatewayError:
    return GatewayError(code, f"{code} as scripted", retry_after_s)


def piece(*events) -> Piece:
    piece = Piece()
    for event in events:
        piece.take(event)
    return piece


def done(reason: str = "stop") -> Done:
    return Done("1", reason, "tiny", Usage(1, 2), Timings(0, 0, 0, 0, 0), "medium")


def started(route: str) -> Started:
    return Started("1", "tiny", route, "", 1, 0, 0)


def take_all(schedule: Schedule, now: float) -> list[int]:
    found = []
    while (index := schedule.next(now)) is not None:
        found.append(index)
    return found


def test_no_more_than_the_bound_is_on_its_way() -> None:
    schedule = Schedule(5, concurrency=2)
    assert take_all(schedule, 0) == [0, 1] and schedule.wake_at() is None
    schedule.on_answer(1, piece(), 1)
    assert take_all(schedule, 1) == [2]
    assert schedule.tally(1) == (5, 1, 0, 2, 0.0, "")


def test_outcomes_stand_in_the_order_of_the_items_and_carry_the_text() -> None:
    schedule = Schedule(2)
    take_all(schedule, 0)
    schedule.on_answer(1, piece(Tokens("1", 0, [], "b"), Tokens("1", 1, [], "c"), done()), 1)
    (bad,) = schedule.on_error(0, piece(), error("invalid_request"), 1)
    assert [(each.index, each.text) for each in schedule.outcomes] == [(0, ""), (1, "bc")]
    assert schedule.ended and schedule.outcomes[0] is bad and bad.error.code == "invalid_request"
    assert schedule.outcomes[1].done == done() and schedule.outcomes[1].asked == 1


@pytest.mark.parametrize(("code", "retry_after_s", "again"), [
    ("queue_full", 5, True), ("rate_limited", 5, True), ("displaced", 5, True), ("queue_deadline", 1, True),
    ("gateway_unavailable", 3, True), ("model_unavailable", 5, True), ("slow_reader", 1, True),
    ("queue_full", 0, False), ("gateway_unavailable", 0, False), ("invalid_request", 5, False),
    ("worker_crashed", 5, False), ("upstream_failed", 5, False), ("insufficient_memory", 5, False)])
def test_only_want_of_room_with_a_time_is_worth_asking_again(code: str, retry_after_s: float, again: bool) -> None:
    assert may_ask_again(error(code, retry_after_s)) is again


@pytest.mark.parametrize("code", PAUSES_ALL)
def test_a_refusal_of_the_caller_lets_nobody_else_be_refused_meanwhile(code: str) -> None:
    schedule = Schedule(3, concurrency=2)
    take_all(schedule, 0)
    assert schedule.on_error(0, piece(), error(code, 7), 10) == []
    assert take_all(schedule, 16.9) == [] and schedule.wake_at() == 17
    assert schedule.tally(10) == (3, 0, 0, 1, 7.0, f"{code} as scripted")
    assert take_all(schedule, 17) == [0], "before those that were never asked"
    schedule.on_answer(1, piece(), 17)
    assert take_all(schedule, 17) == [2]


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    schedule = Schedule(2)
    take_all(schedule, 0)
    schedule.on_error(0, piece(), error("rate_limited", 60), 0)
    schedule.on_error(1, piece(), error("rate_limited", 5), 0)
    assert take_all(schedule, 59) == [] and take_all(schedule, 60) == [1, 0]


def test_trouble_of_one_model_pauses_nobody_else() -> None:
    schedule = Schedule(3, concurrency=1)
    take_all(schedule, 0)
    schedule.on_error(0, piece(), error("model_unavailable", 7), 0)
    assert take_all(schedule, 0) == [1]
    schedule.on_answer(1, piece(), 8)
    assert take_all(schedule, 8) == [0]


def test_when_all_that_are_left_wait_the_nearest_and_its_reason_are_told() -> None:
    schedule = Schedule(3, concurrency=3)
    take_all(schedule, 0)
    schedule.on_error(0, piece(), error("model_unavailable", 300), 0)
    schedule.on_error(1, piece(), error("displaced", 40), 0)
    schedule.on_answer(2, piece(), 10)
    assert schedule.tally(10) == (3, 1, 0, 0, 30.0, "displaced as scripted")
    assert take_all(schedule, 40) == [1] and schedule.tally(40)[4:] == (260.0, "model_unavailable as scripted")
    schedule.on_error(1, piece(), error("rate_limited", 500), 41)
    assert schedule.tally(41)[4:] == (500.0, "rate_limited as scripted"), "a pause of all that is longer"
    assert take_all(schedule, 541) == [0, 1] and schedule.tally(541)[4:] == (0.0, "")


def test_while_others_can_be_asked_there_is_no_pause() -> None:
    schedule = Schedule(2, concurrency=1)
    take_all(schedule, 0)
    schedule.on_error(0, piece(), error("model_unavailable", 300), 0)
    assert schedule.tally(0)[4:] == (0.0, "")


def test_patience_ends_and_counts_from_the_first_refusal() -> None:
    schedule = Schedule(1, patience_s=20)
    for now in (0, 10):
        assert take_all(schedule, now) == [0]
        assert schedule.on_error(0, piece(), error("model_unavailable", 10), now) == []
    assert take_all(schedule, 20) == [0]
    (last,) = schedule.on_error(0, piece(), error("model_unavailable", 10), 20)
    assert (last.error.code, last.asked) == ("model_unavailable", 3) and schedule.ended


def test_while_others_are_answered_a_rate_is_no_reason_to_give_up() -> None:
    schedule = Schedule(2, concurrency=2, patience_s=20)
    take_all(schedule, 0)
    schedule.on_error(0, piece(), error("rate_limited", 15), 0)
    schedule.on_answer(1, piece(), 10)
    assert take_all(schedule, 15) == [0]
    assert schedule.on_error(0, piece(), error("rate_limited", 15), 15) == []
    assert take_all(schedule, 30) == [0]
    assert schedule.on_error(0, piece(), error("rate_limited", 15), 30), "20 s without an answer for anybody"


def test_without_a_gateway_the_rest_is_not_asked_one_by_one() -> None:
    schedule = Schedule(4, concurrency=2, patience_s=5)
    take_all(schedule, 0)
    ended = schedule.on_error(0, piece(), error("gateway_unavailable", 6), 0)
    assert [(each.index, each.asked) for each in ended] == [(0, 1), (2, 0), (3, 0)]
    assert schedule.on_error(1, piece(), error("gateway_unavailable", 3), 0) and schedule.ended
    assert schedule.failed == 4 and all(each.error.code == "gateway_unavailable" for each in schedule.outcomes)


@pytest.mark.parametrize("what", [started("ollama"), Progress("1", 0, HANDED_ON, 1.0)], ids=["begun", "handed on"])
def test_what_a_relay_had_begun_is_final_also_after_it_moved_on(what) -> None:
    schedule = Schedule(1)
    take_all(schedule, 0)
    begun = piece(what, started("ollama>mlx"), Tokens("1", 0, [], "half"))
    (ended,) = schedule.on_error(0, begun, error("gateway_unavailable", 3), 0)
    assert ended == Outcome(0, "half", None, ended.error, 1)


def test_an_answer_that_somebody_else_cancelled_is_no_answer() -> None:
    with pytest.raises(GatewayError, match="cancelled"):
        piece(done("cancelled"))


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency: 0"):
        Schedule(1, concurrency=0)
    assert Schedule(0).ended


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_item_ends_once_and_the_bound_holds(seed: int) -> None:
    chance, now = random.Random(seed), 0.0
    schedule = Schedule(40, concurrency=chance.randint(1, 9), patience_s=50)
    ends: list[int] = []
    while not schedule.ended:
        take_all(schedule, now)
        assert len(schedule.running) <= schedule._concurrency
        if schedule.running:
            index = chance.choice(sorted(schedule.running))
            if chance.random() < 0.6:
                ends.append(schedule.on_answer(index, piece(done()), now).index)
            else:
                code = chance.choice(["queue_full", "rate_limited", "invalid_request", "displaced", "model_busy",
                                      "gateway_unavailable"])
                again_s = chance.choice([0, 3, 30])
                ends += [each.index for each in schedule.on_error(index, piece(), error(code, again_s), now)]
            now += chance.random()
        else:
            assert schedule.wake_at() is not None, "nothing runs and nobody will wake it"
            now = max(now, schedule.wake_at())
    assert sorted(ends) == list(range(40)) and schedule.next(now) is None
