"""bench/low_load.py: a load that lasts as long as its block, and the same questions again."""

import asyncio
from itertools import islice

from bench.low_load import LowLoad, ask_again, questions
from bench.program import own_folder
from gateway import protocol
from gateway.client import GatewayClient
from tests.support.fake_gateway import FakeGateway, error


def test_half_of_the_questions_are_drawn_and_a_seed_gives_the_same_again():
    first, second, third = islice(questions("1", "m", 5), 3)
    assert [one.seed for one in (first, second, third)] == [None, 1, None]
    assert len({first.text, second.text, third.text}) == 3
    assert [first, second, third] == list(islice(questions("1", "m", 5), 3)) != list(islice(questions("2", "m", 5), 3))
    assert first.fields()["options"].temperature == 0.0 and first.fields()["priority"] == "low"
    assert second.fields()["options"].seed == 1 and second.fields()["options"].temperature > 0


def run(gateway, enough):
    """A load of three callers until so many answers or errors are there; the load, and its questions asked again."""
    async def load():
        async with GatewayClient(gateway.endpoint) as client:
            async with LowLoad(client, questions("1", "m", 5), 3) as lows:
                while len(lows.answered) + len(lows.errors) < enough:
                    await asyncio.sleep(0)
            return lows, await ask_again(client, list(lows.answered), 2)
    with gateway:
        return asyncio.run(load())


def test_callers_ask_again_and_their_questions_can_be_asked_once_more():
    with own_folder() as folder:
        gateway = FakeGateway(f"ipc://{folder}/clients.ipc")
        lows, again = run(gateway, 7)
    assert len(lows.answered) >= 7 and not lows.errors
    assert {one.text for one in lows.answered} == {one.text for one in again}
    assert all(again[asked].ids == one.ids for asked, one in lows.answered.items())


def test_one_that_still_waits_at_the_end_leaves_and_an_error_is_kept():
    with own_folder() as folder:
        gateway = FakeGateway(f"ipc://{folder}/clients.ipc")
        first = next(questions("1", "m", 5)).text

        def script(submit):
            waits = submit.messages[0].content == first
            return gateway.hold(submit) if waits else [error(submit.id, "queue_full")]
        gateway.on[protocol.Submit] = script
        lows, again = run(gateway, 4)
    assert not lows.answered and not again
    assert set(lows.errors) == {"queue_full: as scripted"}
