"""bench/zmq_load.py: notes of what a scripted gateway says."""

import asyncio

import pytest

from bench.records import Ask
from bench.zmq_load import ZmqAsker, is_refusal
from gateway.client import GatewayError
from gateway.protocol import Options, Submit
from tests.support.fake_gateway import FakeGateway, accepted, done, error, tokens

WITHIN_S = 5.0
ASK = Ask(0.0, "high", "What is a warden?", 3)


@pytest.fixture
def gateway(tmp_path):
    with FakeGateway(f"ipc://{tmp_path}/c.ipc") as gateway:
        yield gateway


def heard(gateway, at_s=None, *, answer=None):
    async def scenario():
        async with ZmqAsker(gateway.endpoint, "tiny") as asker:
            return await asker.hear(ASK, at_s, asyncio.get_running_loop().time())

    if answer is not None:
        gateway.on[Submit] = lambda submit: [accepted(submit.id, 1), *answer(submit.id)]
    return asyncio.run(asyncio.wait_for(scenario(), WITHIN_S))


def test_an_answer_and_what_was_asked(gateway):
    note = heard(gateway)
    assert (note.klass, note.outcome, note.tokens, len(note.gaps_s), note.by_usage) == ("high", "done", 3, 2, True)
    assert note.at_s == note.sent_s <= note.first_s <= note.end_s
    asked = gateway.wait_for(Submit)
    assert (asked.model, asked.priority, asked.options) == ("tiny", "high", Options(max_tokens=3, temperature=0.0))
    assert [(one.role, one.content) for one in asked.messages] == [("user", ASK.prompt)]


def test_in_an_open_loop_it_keeps_the_time_it_was_due(gateway):
    assert heard(gateway, -3.0).at_s == -3.0


def test_tokens_without_text_are_no_text_and_the_count_is_the_gateways(gateway):
    note = heard(gateway, answer=lambda name: [tokens(name, 0, ""), tokens(name, 1, "a"), done(name, completion=9)])
    assert (note.tokens, note.gaps_s) == (9, ())
    assert note.first_s is not None


@pytest.mark.parametrize(("said", "outcome"), [
    (lambda name: [error(name, "queue_full")], "refused"),
    (lambda name: [error(name, "model_not_found")], "error"),
    (lambda name: [tokens(name, 0, "a"), error(name, "model_unavailable")], "error"),
    (lambda name: [tokens(name, 0, "a"), done(name, reason="cancelled")], "error"),
], ids=["no place", "caller's fault", "in mid-answer", "cancelled"])
def test_what_does_not_end_well_raises_nothing(gateway, said, outcome):
    note = heard(gateway, answer=said)
    assert note.outcome == outcome
    assert note.detail


def test_a_gateway_that_is_not_there_has_refused_nothing():
    assert is_refusal(GatewayError("queue_full", ""), begun=False)
    assert not is_refusal(GatewayError("queue_full", ""), begun=True)
    assert not is_refusal(GatewayError("gateway_unavailable", ""), begun=False)


def test_nobody_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.client.CONNECT_WITHIN_S", 0.02)
    monkeypatch.setattr("gateway.client.TICK_EVERY_S", 0.02)
    monkeypatch.setattr("gateway.exchange.ACCEPTED_WITHIN_S", 0.02)

    async def scenario():
        async with ZmqAsker(f"ipc://{tmp_path}/nobody.ipc", "") as asker:
            return await asker.hear(ASK, None, 0.0)

    note = asyncio.run(asyncio.wait_for(scenario(), WITHIN_S))
    assert (note.outcome, note.detail) == ("error", "gateway_unavailable")
