"""The feed with tables of the test, a folder of journals, and seconds that are short."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.http.dashboard_feed import BEHIND_MAX, DECISIONS_MAX, LISTENERS_MAX, Feed, Listener
from gateway.http.errors import Problem
from tests.support.http_stack import make_config

WITHIN_S = 5.0


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("gateway.http.dashboard_feed.EVERY_S", 0.01)
    monkeypatch.setattr("gateway.http.dashboard_feed.JOURNALS_WITHIN_S", 0.5)


@pytest.fixture
def logs(tmp_path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def feed(tmp_path, logs) -> Callable[[], Feed]:
    config = make_config(tmp_path)
    return lambda: Feed(config, lambda: "there is no table", logs)


def run(test: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S):
            await test

    asyncio.run(bounded())


@asynccontextmanager
async def running(feed: Feed, notes: list | None = None) -> AsyncIterator[Feed]:
    told = [] if notes is None else notes
    task = asyncio.create_task(feed.run(lambda event, **facts: told.append(event)))
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def value_of(event: bytes) -> dict:
    assert event.startswith(b"data: ") and event.endswith(b"\n\n")
    return json.loads(event[6:])


def decide(logs: Path, model: str, program: str = "control") -> None:
    line = {"timestamp": "2026-01-01T00:00:00Z", "event": "held", "model": model, "reason": "of a test"}
    with open(logs / f"{program}.log", "a") as file:
        file.write(json.dumps(line) + "\n")


async def next_with(events: AsyncIterator[bytes], wanted: Callable[[dict], object]) -> dict:
    async for event in events:
        if wanted(value_of(event)):
            return value_of(event)
    raise AssertionError("the stream has ended")


def test_the_first_event_has_a_past_that_nobody_listened_to(feed):
    async def test() -> None:
        async with running(feed()) as alive:
            first = value_of(await alive.first())
            while len(first["history"]["short"]) < 3:
                await asyncio.sleep(0.01)
                first = value_of(await alive.first())
            assert first["remarks"] == ["there is no table"] and first["models"] is None

    run(test())


def test_everybody_is_sent_the_same_bytes(feed):
    async def test() -> None:
        async with running(feed()) as alive:
            with alive.listening() as one, alive.listening() as two:
                first, second = await anext(one.events()), await anext(two.events())
                assert first is second and "sample" in value_of(first)

    run(test())


def test_decisions_of_before_come_first_and_new_ones_as_they_are_made(feed, logs):
    async def test() -> None:
        for number in range(DECISIONS_MAX + 5):
            decide(logs, f"m{number}")
        (logs / "http.log").write_text('{"event": "held", "model": "not-asked", "reason": "http decides nothing"}\n')
        async with running(feed()) as alive:
            with alive.listening() as listener:
                known = value_of(await alive.first())["decisions"]
                assert [each["model"] for each in known] == [f"m{number}" for number in range(5, DECISIONS_MAX + 5)]
                decide(logs, "late", "gateway")
                found = await next_with(listener.events(), lambda event: event["decisions"])
                assert [each["model"] for each in found["decisions"]] == ["late"]
                assert found["decisions"][0]["kind"] == "order"

    run(test())


def test_journals_that_come_and_go_do_not_end_the_feed(feed, logs):
    async def test() -> None:
        logs.rmdir()
        async with running(feed()) as alive:
            with alive.listening() as listener:
                await alive.first()
                logs.mkdir()
                decide(logs, "tiny")
                await next_with(listener.events(), lambda event: event["decisions"])

    run(test())


def test_who_is_too_far_behind_is_let_go():
    async def test() -> None:
        listener = Listener()
        for number in range(BEHIND_MAX):
            listener.take(b"%d" % number)
        assert not listener.left
        listener.take(b"one too many")
        assert listener.left and [event async for event in listener.events()] == []

    run(test())


def test_no_more_may_listen_than_the_limit_and_a_place_is_free_again(feed):
    async def test() -> None:
        alive = feed()
        places = [alive.listening() for _ in range(LISTENERS_MAX)]
        for place in places:
            place.__enter__()
        with pytest.raises(Problem, match=str(LISTENERS_MAX)) as refused:
            alive.listening().__enter__()
        assert refused.value.code == "queue_full"
        places[0].__exit__(None, None, None)
        with alive.listening():
            pass

    run(test())


def test_when_it_stops_every_stream_ends_and_none_begins(feed):
    async def test() -> None:
        async with running(feed()) as alive:
            with alive.listening() as listener:
                reading = asyncio.ensure_future(next_with(listener.events(), lambda _: False))
                await asyncio.sleep(0)
                alive.stop()
                with pytest.raises(AssertionError, match="ended"):
                    await reading
            with pytest.raises(Problem, match="stopping"):
                alive.listening().__enter__()

    run(test())


def test_a_turn_that_fails_is_told_and_the_next_one_begins(tmp_path, logs, monkeypatch):
    monkeypatch.setattr("gateway.http.dashboard_feed.EVERY_S", 0.01)
    readings = iter(["there is no table", ZeroDivisionError(), *["there is no table"] * 10_000])

    def read() -> str:
        found = next(readings)
        if isinstance(found, Exception):
            raise found
        return found

    async def test() -> None:
        notes: list[str] = []
        async with running(Feed(make_config(tmp_path), read, logs), notes) as alive:
            with alive.listening() as listener:
                await next_with(listener.events(), lambda _: notes)
        assert notes == ["feed_failed"]

    run(test())
