"""Several answers read like one: turns, ends, what one failure does, and leaving."""

import asyncio

import pytest

from gateway.client import Answer, GatewayError
from gateway.http.choices import Choices, Ended
from gateway.http.heard_choices import HeardChoices, parts_of
from gateway.protocol import Done, Timings, Tokens, Usage
from tests.support.fake_gateway import done, heard, tokens


class Left:
    """In place of a client: who left."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def leave(self, request_id: str) -> None:
        self.ids.append(request_id)


def make(count: int, per_prompt: int = 1) -> tuple[Choices, list[Answer], Left]:
    left = Left()
    answers = [Answer(left, str(number)) for number in range(count)]
    return Choices(answers, per_prompt), answers, left


def ended(number: int, usage: Usage, total_ms: float = 1.0) -> Done:
    return Done(str(number), "stop", "tiny", usage, Timings(0, 0, 0, 0, total_ms), "medium")


def test_answers_that_have_news_take_turns():
    choices, answers, _ = make(3)
    for number in (0, 2):
        for word in "ab":
            answers[number].put(tokens(str(number), 0, word))
    assert [(event.id, event.text) for event in iter(choices.take, None)] == [
        ("0", "a"), ("2", "a"), ("0", "b"), ("2", "b")]
    assert not choices.events and not choices.ended


def test_the_last_end_has_the_usage_of_all_and_each_prompt_once():
    choices, answers, _ = make(4, per_prompt=2)
    for number, answer in enumerate(answers):
        answer.put(ended(number, Usage(10 + number, 2, 4, 1), total_ms=9.0 - number))
    *early, last = iter(choices.take, None)
    assert [type(event) for event in early] == [Ended] * 3 and choices.ended
    assert last.usage == Usage(10 + 12, 8, 8, 4) and last.timings.total_ms == 9.0
    assert choices.dones[1].usage.prompt_tokens == 11


def test_who_waits_is_woken_by_any_of_them():
    async def read() -> list[str]:
        choices, answers, _ = make(2)
        asyncio.get_running_loop().call_soon(answers[1].put, tokens("1", 0, "late"))
        found = [(await choices.next(within_s=None)).text]
        assert await choices.next(within_s=0.0) is None and not choices.ended
        for number in (1, 0):
            answers[number].put(done(str(number)))
        return found + [type(event).__name__ async for event in choices]

    assert asyncio.run(read()) == ["late", "Ended", "Done"]


def test_a_failure_of_one_is_that_of_all_and_says_which():
    choices, answers, _ = make(2)
    answers[1].put(GatewayError("queue_full", "no room", 3.0))
    with pytest.raises(GatewayError, match="choice 1 of 2: no room") as caught:
        choices.take()
    assert choices.ended and (caught.value.retry_after_s, caught.value.status) == (3.0, 503)


def test_what_is_wrong_with_the_request_is_wrong_with_all():
    choices, answers, _ = make(2)
    answers[1].put(GatewayError("invalid_request", "schema: no"))
    with pytest.raises(GatewayError) as caught:
        choices.take()
    assert caught.value.message == "schema: no"


def test_a_choice_that_somebody_else_cancelled_is_no_good_end():
    choices, answers, _ = make(2)
    answers[0].put(done("0", reason="cancelled"))
    with pytest.raises(GatewayError, match="cancelled"):
        choices.take()


def test_leaving_leaves_all_and_ends_who_waits():
    async def leave() -> list[str]:
        choices, _, left = make(2)
        asyncio.get_running_loop().call_soon(choices.leave)
        assert await choices.next() is None and choices.ended
        return left.ids

    assert asyncio.run(leave()) == ["0", "1"]


def test_what_was_heard_is_kept_apart_and_counted_together():
    found = HeardChoices({"7": 0, "8": 1}, {0: done("7"), 1: done("8", 9)})
    for event in (Tokens("8", 0, [1], "bb"), Tokens("7", 0, [1], "a")):
        found.add(event)
    parts = [(part.text, end.usage.completion_tokens) for part, end in parts_of(found, done("8"))]
    assert parts == [("a", 3), ("bb", 9)]
    assert found.chars == sum(part.chars for part in found.parts)
    alone = heard("a")
    assert parts_of(alone, done("1")) == [(alone, done("1"))]
