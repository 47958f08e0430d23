"""bench/streams.py: an answer as it came, and the pauses in it."""

import asyncio
from random import Random

import pytest

from bench.program import own_folder
from bench.streams import SAMPLE_CHARS, asked, gaps_ms, hear, said, sized_text, text_of
from gateway import protocol
from gateway.client import GatewayClient
from gateway.protocol import CountInfo, Message
from tests.support.fake_gateway import FakeGateway, accepted, done, error, tokens


@pytest.fixture(scope="module")
def gateway():
    with own_folder() as folder, FakeGateway(f"ipc://{folder}/clients.ipc") as gateway:
        yield gateway


def ask(gateway, **fields):
    async def run():
        async with GatewayClient(gateway.endpoint) as client:
            return await hear(client, **fields)
    return asyncio.run(run())


def test_an_answer_with_its_times_ids_and_usage(gateway):
    gateway.reset()
    gateway.on[protocol.Submit] = lambda submit: [
        accepted(submit.id, 1), tokens(submit.id, 0, "one "), tokens(submit.id, 1, "two ", "three"), done(submit.id)]
    stream = ask(gateway, **asked("what?", 3, seed=4))
    assert (stream.ids, stream.text, stream.prompt_tokens) == ([0, 1, 2], "one two three", 5)
    assert stream.done and len(stream.frame_s) == 2
    assert stream.first_ms == (stream.frame_s[0] - stream.sent_s) * 1000 >= 0
    [submit] = gateway.all(protocol.Submit)
    assert (submit.options.max_tokens, submit.options.temperature, submit.options.seed) == (3, 0.0, 4)


@pytest.mark.parametrize(("script", "words"), [
    (lambda submit: [error(submit.id, "queue_full")], "queue_full: as scripted"),
    (lambda submit: [accepted(submit.id, 1), done(submit.id, reason="cancelled")], "cancelled"),
])
def test_an_answer_that_did_not_end_well_says_so(gateway, script, words):
    gateway.reset()
    gateway.on[protocol.Submit] = script
    stream = ask(gateway, **said([Message("user", "what?")], 3))
    assert (stream.ended, stream.done, stream.error, stream.first_ms) == (True, False, words, None)


def test_a_text_of_so_many_tokens(gateway):
    gateway.reset()
    gateway.on[protocol.Tokenize] = lambda question: [gateway._result(question.id, CountInfo("tiny", 500, 2048))]

    async def run():
        async with GatewayClient(gateway.endpoint) as client:
            return await sized_text(client, "tiny", Random(1), 100)
    assert len(asyncio.run(run())) == SAMPLE_CHARS // 5


def test_texts_differ_from_their_first_words_on():
    random = Random(1)
    assert text_of(random, 40)[:13] != text_of(random, 40)[:13]
    assert text_of(Random(1), 40) == text_of(Random(1), 40)


def test_pauses_count_if_they_lie_partly_in_the_time():
    frames = [0.0, 0.1, 0.4, 0.5, 0.6]
    assert gaps_ms(frames, 0.2, 0.45) == [pytest.approx(300), pytest.approx(100)]
    assert gaps_ms(frames, 0.7, 0.8) == gaps_ms([], 0.0, 1.0) == []
