"""The client library against a real ROUTER with a script, under both event loops."""

import asyncio
import os

import pytest
import uvloop

from gateway import client_socket, protocol
from gateway.client import GatewayClient, GatewayError
from gateway.protocol import Accepted, Cancel, Done, Hello, Submit, Tokens
from tests.support.fake_gateway import FakeGateway, accepted, done, error, model_info, tokens

WITHIN_S = 5.0


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.exchange.HELLO_EVERY_S", 0.05)
    monkeypatch.setattr("gateway.client.TICK_EVERY_S", 0.05)
    with FakeGateway(f"ipc://{tmp_path}/c.ipc") as gateway:
        yield gateway


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def run(scenario):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(scenario, WITHIN_S))
    return run


async def arrived(gateway: FakeGateway, kind: type, count: int = 1):
    """Wait for a message without blocking the loop."""
    return await asyncio.to_thread(gateway.wait_for, kind, count)


def test_an_answer_from_accepted_to_done(gateway, run):
    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            return client.epoch, [event async for event in client.generate(model="tiny", prompt="hi", priority="high")]

    epoch, events = run(scenario())
    assert epoch == 1
    assert [type(event) for event in events] == [Accepted, Tokens, Tokens, Tokens, Done]
    assert "".join(event.text for event in events[1:4]) == "one two three"
    assert gateway.received[0] == Hello(batch=True)
    assert gateway.wait_for(Submit).priority == "high"


def test_orders_and_keep_alive(gateway, run):
    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            await client.load("tiny", keep_alive_s=7)
            return [await order("tiny") for order in (client.unload, client.evict, client.pin, client.unpin)]

    assert [told.text.split()[0] for told in run(scenario())] == ["unload", "evict", "pin", "unpin"]
    assert gateway.wait_for(protocol.LoadModel).keep_alive_s == 7


def test_many_answers_at_once_do_not_mix(gateway, run):
    def echo(submit):
        return [accepted(submit.id, 1), tokens(submit.id, 0, submit.prompt), done(submit.id)]

    async def ask(client, word):
        return [event.text async for event in client.generate(prompt=word) if isinstance(event, Tokens)]

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            return await asyncio.gather(*(ask(client, f"word {n}") for n in range(300)))

    gateway.on[Submit] = echo
    assert run(scenario()) == [[f"word {n}"] for n in range(300)]


def test_questions_are_decoded(gateway, run):
    gateway.models = [model_info("a"), model_info("b", state="empty")]

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            with pytest.raises(GatewayError, match='model "c" not found'):
                await client.show("c")
            return await client.list_models(), await client.show("b"), await client.load("a")

    models, shown, loaded = run(scenario())
    assert (models, shown, loaded) == (gateway.models, gateway.models[1], gateway.models[0])


def test_errors_are_raised_with_their_code(gateway, run):
    gateway.on[Submit] = lambda submit: [error(submit.id, "queue_full", "50 wait", 9.0)]

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            with pytest.raises(GatewayError) as caught:
                async for _ in client.generate(prompt="hi"):
                    pass
            return caught.value

    raised = run(scenario())
    assert (raised.code, raised.status, raised.retry_after_s) == ("queue_full", 503, 9.0)


def test_leaving_the_iterator_cancels(gateway, run):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a")]

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            async for event in client.generate(prompt="hi"):
                if isinstance(event, Tokens):
                    break
            return await arrived(gateway, Cancel)

    assert run(scenario()).id == gateway.wait_for(Submit).id


def test_a_cancelled_task_cancels_its_request(gateway, run):
    gateway.on[Submit] = gateway.hold

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            async def read():
                return [event async for event in client.generate(prompt="hi")]

            task = asyncio.create_task(read())
            await arrived(gateway, Submit)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return await arrived(gateway, Cancel)

    assert run(scenario()).id == gateway.wait_for(Submit).id


def test_an_answer_left_elsewhere_stops_its_reader(gateway, run):
    gateway.on[Submit] = gateway.hold

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            answer = client.ask(prompt="hi")
            assert isinstance(await anext(answer), Accepted)
            reader = asyncio.create_task(anext(answer, "stopped"))
            await asyncio.sleep(0)
            answer.leave()
            return await reader

    assert run(scenario()) == "stopped"


def test_a_restarted_gateway_gets_the_request_again(gateway, run):
    gateway.on[Submit] = gateway.hold

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            answer = client.ask(prompt="hi")
            first = await anext(answer)
            gateway.kill()
            gateway.on[Submit] = gateway.answer
            gateway.revive(epoch=2)
            return [first] + [event async for event in answer], client.epoch

    events, epoch = run(scenario())
    assert [type(event) for event in events] == [Accepted, Accepted, Tokens, Tokens, Tokens, Done]
    assert epoch == 2
    first, second = gateway.all(Submit)
    assert first.id == second.id


def test_a_restart_in_mid_answer_is_an_error(gateway, run):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a")]

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            answer = client.ask(prompt="hi")
            while not isinstance(await anext(answer), Tokens):
                pass
            gateway.kill()
            gateway.revive(epoch=2)
            with pytest.raises(GatewayError, match="restarted in mid-answer") as caught:
                await anext(answer)
            assert await anext(answer, None) is None
            return caught.value.code

    assert run(scenario()) == "gateway_unavailable"
    assert len(gateway.all(Submit)) == 1


def test_a_gateway_that_comes_later_is_found(tmp_path, run):
    gateway = FakeGateway(f"ipc://{tmp_path}/c.ipc")

    async def scenario():
        client = GatewayClient(gateway.endpoint)
        await client.start(wait=False)
        answer = client.ask(prompt="hi")
        with gateway:
            events = [event async for event in answer]
            await client.close()
        return events

    assert isinstance(run(scenario())[-1], Done)


def test_no_gateway_is_said_with_endpoint_and_remedy(tmp_path, run, monkeypatch):
    monkeypatch.setattr("gateway.client.CONNECT_WITHIN_S", 0.05)

    async def scenario():
        with pytest.raises(GatewayError, match=r"nobody\.ipc.*warden up") as caught:
            async with GatewayClient(f"ipc://{tmp_path}/nobody.ipc"):
                pass
        return caught.value.code

    assert run(scenario()) == "gateway_unavailable"


def test_close_leaves_no_descriptor_open(gateway, run):
    async def open_and_close():
        async with GatewayClient(gateway.endpoint) as client:
            await client.list_models()

    async def scenario():
        await open_and_close()
        before = len(os.listdir("/dev/fd"))
        for _ in range(10):
            await open_and_close()
        while len(os.listdir("/dev/fd")) > before + 3:  # ZeroMQ closes in its own thread
            await asyncio.sleep(0.01)

    run(scenario())


def test_close_ends_what_is_outstanding_and_the_client_can_start_again(gateway, run):
    gateway.on[Submit] = gateway.hold

    async def scenario():
        client = GatewayClient(gateway.endpoint)
        await client.start()
        answer = client.ask(prompt="hi")
        assert isinstance(await anext(answer), Accepted)
        reader = asyncio.create_task(anext(answer))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(GatewayError, match="was closed"):
            await reader
        await client.start()
        models = await client.list_models()
        await client.close()
        return models

    assert run(scenario()) == [model_info()]


def test_asking_a_closed_client_is_refused(gateway, run):
    async def scenario():
        client = GatewayClient(gateway.endpoint)
        with pytest.raises(GatewayError, match="not started"):
            client.ask(prompt="hi")

    run(scenario())


def test_a_flood_of_frames_leaves_the_loop_its_turns(gateway, run):
    """More frames than one turn takes: all arrive, in order."""
    count = client_socket.OPERATIONS_PER_TURN_MAX * 3
    gateway.on[Hello] = lambda _: [protocol.Welcome(1, 1, 7, "0")]
    gateway.on[Submit] = lambda s: [tokens(s.id, n, f"{n} ") for n in range(count)] + [done(s.id)]
    gateway.batches = False

    async def scenario():
        async with GatewayClient(gateway.endpoint) as client:
            return [event.position async for event in client.generate(prompt="hi") if isinstance(event, Tokens)]

    assert run(scenario()) == list(range(count))
