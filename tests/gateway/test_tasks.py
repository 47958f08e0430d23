"""`submit_many` of both clients against a real ROUTER with a script."""

import asyncio
import threading

import pytest

from gateway import tasks
from gateway.client import BlockingClient, GatewayClient, GatewayError, Outcome
from gateway.protocol import Cancel, Message, Submit, Tokens
from gateway.task_schedule import Piece
from tests.support.fake_gateway import FakeGateway, accepted, done, error, tokens

WITHIN_S = 10.0


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.exchange.HELLO_EVERY_S", 0.05)
    with FakeGateway(f"ipc://{tmp_path}/c.ipc") as gateway:
        yield gateway


@pytest.fixture(params=["asyncio", "blocking"])
def submit_many(request, gateway):
    """The same call for both: items and options in, outcomes out."""
    async def with_asyncio(items, **options) -> list[Outcome]:
        async with GatewayClient(gateway.endpoint) as client:
            return await asyncio.wait_for(client.submit_many(items, **options), WITHIN_S)

    def submit_many(items, **options) -> list[Outcome]:
        if request.param == "asyncio":
            return asyncio.run(with_asyncio(items, **options))
        with BlockingClient(gateway.endpoint) as client:
            return client.submit_many(items, **options)

    return submit_many


def echo(submit: Submit, epoch: int = 1) -> list:
    words = submit.prompt or submit.messages[0].content
    return [accepted(submit.id, epoch), tokens(submit.id, 0, words), done(submit.id)]


def test_order_is_kept_and_work_is_medium(gateway, submit_many) -> None:
    gateway.on[Submit] = echo
    outcomes = submit_many([f"word {n}" for n in range(100)], concurrency=7, kind="batch")
    assert [outcome.text for outcome in outcomes] == [f"word {n}" for n in range(100)]
    assert all(outcome.done and outcome.error is None and outcome.asked == 1 for outcome in outcomes)
    assert {(each.priority, each.kind) for each in gateway.all(Submit)} == {("medium", "batch")}


def test_an_item_may_say_otherwise_than_the_rest(gateway, submit_many) -> None:
    gateway.on[Submit] = echo
    submit_many([{"prompt": "raw", "model": "other"}, "said"], model="tiny", priority="low")
    first, second = sorted(gateway.all(Submit), key=lambda each: each.model)
    assert (first.model, first.prompt, first.priority) == ("other", "raw", "low")
    assert second.messages == [Message("user", "said")] and second.model == "tiny"


def test_a_bad_item_does_not_end_the_rest(gateway, submit_many) -> None:
    gateway.on[Submit] = lambda s: [error(s.id, "model_not_found", "none")] if s.model == "gone" else echo(s)
    outcomes = submit_many(["a", {"prompt": "b", "model": "gone"}, {"nonsense": 1}, {"prompt": "\ud800"},
                            {"prompt": object()}, "c"])
    assert [outcome.error and outcome.error.code for outcome in outcomes] == [
        None, "model_not_found", "invalid_request", "invalid_request", "invalid_request", None]
    assert outcomes[5].text == "c"


def test_no_more_than_the_bound_is_on_its_way(gateway, submit_many) -> None:
    on_their_way, most = set(), 0

    def hold_until_three(submit: Submit) -> list:
        """Nobody is answered before three are there; a fourth at the same time would be seen."""
        nonlocal most
        on_their_way.add(submit.id)
        most = max(most, len(on_their_way))
        if len(on_their_way) < 3:
            return [accepted(submit.id, 1)]
        for each in sorted(on_their_way - {submit.id}):
            gateway._say.append((each, (done(each),)))
        on_their_way.clear()
        return [done(submit.id)]

    gateway.on[Submit] = hold_until_three
    assert len(submit_many([str(n) for n in range(9)], concurrency=3)) == 9
    assert most == 3


def test_what_is_refused_for_now_is_asked_again_when_the_gateway_says(gateway, submit_many) -> None:
    refused: set[str] = set()

    def refuse_once(submit: Submit) -> list:
        word = submit.messages[0].content
        if word in refused:
            return echo(submit)
        refused.add(word)
        return [error(submit.id, "rate_limited" if word == "a" else "queue_full", "later", 0.05)]

    gateway.on[Submit] = refuse_once
    told = []
    outcomes = submit_many(["a", "b"], on_progress=lambda tally, outcome: told.append((tally, outcome)))
    assert [(outcome.text, outcome.asked) for outcome in outcomes] == [("a", 2), ("b", 2)]
    assert [tally.reason for tally, outcome in told if outcome is None][0] == "later"
    assert [outcome.index for _, outcome in told if outcome] and told[-1][0].answered == 2


def test_patience_has_an_end(gateway, submit_many) -> None:
    gateway.on[Submit] = lambda s: [error(s.id, "displaced", "no", 0.02)]
    (outcome,) = submit_many(["a"], patience_s=0.05)
    assert outcome.error.code == "displaced" and outcome.asked >= 2


def test_a_gateway_that_comes_back_is_asked_again(gateway, submit_many, monkeypatch) -> None:
    read, take = threading.Event(), Piece.take

    def tell(piece: Piece, event: object) -> None:
        take(piece, event)
        if isinstance(event, Tokens):
            read.set()

    def die_in_mid_answer(submit: Submit) -> list:
        threading.Thread(target=restart).start()
        return [accepted(submit.id, 1), tokens(submit.id, 0, "half")]

    def restart() -> None:
        assert read.wait(WITHIN_S)  # else the answer had not begun, and the client asks again by itself
        gateway.kill()
        gateway.on[Submit] = lambda submit: echo(submit, epoch=2)
        gateway.revive(epoch=2)

    monkeypatch.setattr("gateway.exchange.RETRY_AFTER_RESTART_S", 0.05)
    monkeypatch.setattr(Piece, "take", tell)
    gateway.on[Submit] = die_in_mid_answer
    (outcome,) = submit_many(["whole"])
    assert (outcome.text, outcome.asked) == ("whole", 2)


def test_what_the_callback_raises_ends_it_and_cancels_the_rest(gateway, submit_many) -> None:
    gateway.on[Submit] = lambda s: [error(s.id, "not_offered", "no")] if s.messages[0].content == "a" else (
        gateway.hold(s))

    def fail(*_: object) -> None:
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="own"):
        submit_many(["b", "a"], on_progress=fail)
    held = next(each.id for each in gateway.all(Submit) if each.messages[0].content == "b")
    gateway.wait_for_cancel(held)


def test_cancelling_it_cancels_what_is_on_its_way(gateway) -> None:
    gateway.on[Submit] = gateway.hold

    async def scenario() -> None:
        async with GatewayClient(gateway.endpoint) as client:
            task = asyncio.create_task(client.submit_many(["a", "b", "c"], concurrency=2))
            await asyncio.to_thread(gateway.wait_for, Submit, 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(gateway.wait_for, Cancel, 2)

    asyncio.run(scenario())
    assert len(gateway.all(Submit)) == 2


def test_a_client_that_was_closed_says_so_for_every_item(gateway) -> None:
    async def scenario() -> list[Outcome]:
        return await GatewayClient(gateway.endpoint).submit_many(["a", "b"])

    assert [outcome.error.code for outcome in asyncio.run(scenario())] == ["gateway_unavailable"] * 2
    with pytest.raises(GatewayError, match="not started"):
        tasks.submit_many_blocking(BlockingClient(gateway.endpoint), [{"prompt": "a"}], concurrency=1, patience_s=1,
                                   on_progress=None)
