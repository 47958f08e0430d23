"""bench/eviction_check.py: what a client may hear, each thing it must not hear, and whom the blame falls on."""

import pytest

from bench import eviction_check
from bench.eviction_check import Checker, Kill, Loss, judge, number_of, words_of
from gateway.protocol import Accepted, Done, Error, Progress, Result, Started, Timings, Tokens, Usage, Welcome

MODEL = "m3"


def accepted(number=1):
    return Accepted(str(number), 1, MODEL, "medium", 0)


def started(attempt=1, number=1):
    return Started(str(number), MODEL, "mlx", "", attempt, 1.0, 0.0)


def tokens(position, count=1, text=None, number=1):
    ids = list(range(position, position + count))
    return Tokens(str(number), position, ids, words_of(position, count) if text is None else text)


def done(length=3, attempt=1, reason="stop", number=1):
    timings = Timings(0, 0, 0, 0, 0)
    return Done(str(number), reason, MODEL, Usage(2, length), timings, "medium", attempt=attempt)


def error(code, number=1):
    return Error(str(number), code, "in words", 500)


def heard(*events, requests=1, length=3):
    """A checker that sent `requests` at 10 s and heard these events at 11 s, 12 s, ..."""
    checker = Checker()
    for _ in range(requests):
        checker.on_sent(MODEL, length, 10.0)
    for at_s, event in enumerate(events, 11):
        checker.on_event(event, float(at_s))
    return checker


def whats(checker):
    return [loss.what for loss in checker.losses]


def test_a_whole_answer_is_one_end_and_no_loss():
    checker = heard(Welcome(1, 7, 1, "0"), accepted(), Progress("1", 0, "loading", 1.0), started(), tokens(0),
                    tokens(1, 2), done())
    assert (checker.sent, checker.ended, checker.done, checker.lost) == (1, 1, 1, 0)
    assert not checker.open and not checker.losses


def test_requests_do_not_mix():
    checker = heard(started(number=2), started(), tokens(0, number=2), tokens(0), tokens(1, 2), done(),
                    tokens(1, 2, number=2), done(number=2), requests=2)
    assert (checker.done, checker.lost) == (2, 0)


@pytest.mark.parametrize("late", [done(), error("internal"), tokens(3), started()])
def test_a_word_after_the_end_is_a_loss(late):
    assert whats(heard(started(), tokens(0, 3), done(), late)) == ["a word after the end"]


@pytest.mark.parametrize("number", ["2", "0", "x", "-1"])
def test_a_word_for_nobody_is_a_loss(number):
    assert whats(heard(Error(number, "internal", "", 500))) == ["a word for a request that was never made"]


@pytest.mark.parametrize(("events", "what"), [
    ((tokens(0), tokens(2), done()), "tokens out of order"),  # a gap
    ((tokens(0), tokens(0), tokens(1, 2), done()), "tokens out of order"),  # one twice
    ((tokens(1), tokens(0), tokens(2), done()), "tokens out of order"),
    ((Tokens("1", 0, [0, 2, 1], words_of(0, 3)), done()), "tokens out of order"),
    ((tokens(0), tokens(1, text=" t2"), tokens(2), done()), "wrong text"),
    ((tokens(0), tokens(1, text=""), tokens(2), done()), "wrong text"),
    ((tokens(0, 2), done()), "not the whole answer"),
    ((tokens(0, 2), done(2)), "not the whole answer"),
    ((done(),), "not the whole answer"),
    ((tokens(0, 3), done(2)), "not the whole answer"),
    ((tokens(0, 3), done(reason="length")), "not the whole answer"),
    ((tokens(0), done(1, reason="cancelled")), "not the whole answer"),
    ((Result("1", b"\xc0"), tokens(0, 3), done()), "a result, where an answer was asked"),
])
def test_a_spoilt_answer_is_told_once(events, what):
    checker = heard(started(), *events)
    assert whats(checker) == [what]
    assert checker.lost == checker.ended == 1


def test_what_never_ends_is_lost_when_nothing_more_is_waited_for():
    checker = heard(started(), tokens(0, 2))
    assert not checker.losses
    checker.give_up(99.0)
    assert checker.losses == [Loss(1, MODEL, "no end", 12.0, 99.0, "2 of 3 tokens, attempt 1")]


def test_a_restarted_gateway_is_told():
    first, second = Welcome(1, 7, 1, "0"), Welcome(1, 8, 1, "0")
    assert whats(heard(first, first, second)) == ["the gateway restarted"]


def test_a_second_attempt_is_one_loss_and_its_answer_counts():
    checker = heard(started(), started(2), tokens(0, 3), done(attempt=2))
    assert checker.losses == [Loss(1, MODEL, "retried", 11.0, 12.0, "attempt 2")]
    assert checker.done == 1


def test_an_attempt_that_only_the_end_tells_of_is_a_loss_too():
    assert whats(heard(started(), tokens(0, 3), done(attempt=2))) == ["retried"]


@pytest.mark.parametrize("code", ["worker_crashed", "internal", "model_unavailable", "queue_deadline"])
def test_an_error_is_an_end_and_a_loss(code):
    checker = heard(started(), tokens(0), error(code))
    assert checker.losses == [Loss(1, MODEL, code, 12.0, 13.0, "in words")]
    assert (checker.ended, checker.done, checker.errors[code]) == (1, 0, 1)


@pytest.mark.parametrize("code", ["queue_full", "displaced"])
def test_a_request_that_never_began_has_lost_nothing(code):
    checker = heard(error(code))
    assert (checker.refused, checker.lost, checker.ended) == (1, 0, 1)
    assert heard(started(), tokens(0), error(code)).lost == 1


def loss(what="worker_crashed", after_s=100.0, heard_s=101.0, model=MODEL):
    return Loss(1, model, what, after_s, heard_s)


def kill(at_s, model=MODEL, kind="worker"):
    return Kill(at_s, kind, model, 4711)


@pytest.mark.parametrize("what", ["worker_crashed", "retried", "model_unavailable"])
@pytest.mark.parametrize("at_s", [96.0, 100.5, 101.0])
def test_our_own_sigkill_explains_a_lost_worker(what, at_s):
    assert judge([loss(what)], [kill(at_s)]) == ([], [loss(what)])


@pytest.mark.parametrize("killed", [
    kill(101.1), kill(94.0), kill(100.5, model="m4"), kill(100.5, kind="control", model="")], ids=[
    "after it", "long before", "another model", "control"])
@pytest.mark.parametrize("what", ["worker_crashed", "retried"])
def test_another_kill_does_not(what, killed):
    assert judge([loss(what)], [killed]) == ([loss(what)], [])


@pytest.mark.parametrize("what", ["no end", "a word after the end", "wrong text", "internal", "queue_deadline"])
def test_some_things_no_kill_explains(what):
    assert judge([loss(what)], [kill(100.5)]).lost == [loss(what)]


def test_a_model_that_was_given_up_stays_so_for_a_while():
    assert not judge([loss("model_unavailable", 300.0, 300.0)], [kill(1.0)]).lost
    assert judge([loss("model_unavailable", 400.0, 400.0)], [kill(1.0)]).lost


def test_losses_are_told_in_the_order_in_which_they_were_heard():
    late, early = loss(heard_s=105.0), loss(heard_s=101.0)
    assert judge([late, early], []).lost == [early, late]


def test_of_many_kills_the_one_that_fits_explains():
    kills = [kill(at_s) for at_s in (200.0, 100.5, 1.0)] + [kill(100.0, model="m4")]
    assert judge([loss(), loss(heard_s=301.0, after_s=300.0)], kills) == ([loss(heard_s=301.0, after_s=300.0)],
                                                                          [loss()])


def test_what_was_reported_makes_room_for_what_comes(monkeypatch):
    monkeypatch.setattr(eviction_check, "LOSSES_MAX", 2)
    checker = Checker()
    for _ in range(3):
        checker.on_event(error("worker_crashed"), 1.0)
    assert (checker.lost, len(checker.losses)) == (3, 2)
    checker.losses = []
    checker.on_event(error("worker_crashed"), 2.0)
    assert (checker.lost, len(checker.losses)) == (4, 1)


def test_the_words_are_those_of_the_echo_engine():
    from workers.echo_engine import EchoEngine
    from workers.engine import EngineJob
    from workers.protocol import Sampling

    engine = EchoEngine(1)
    engine.load(lambda done: None)
    engine.add(EngineJob(("k", 1), None, "#tokens=4", None, Sampling(), 10, []))
    outputs = [output for _ in range(4) for output in engine.step()]
    assert [output.text for output in outputs] == [words_of(place, 1) for place in range(4)]
    assert "".join(output.text for output in outputs) == words_of(0, 4)


def test_numbers():
    assert [number_of(text) for text in ("7", "", "x", "²", "-1")] == [7, 0, 0, 0, 0]
