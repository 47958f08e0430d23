"""bench/turns.py: what is asked in which order, and what is made of the times."""

import asyncio

import pytest

from bench.program import own_folder
from bench.streams import Stream
from bench.table import table_lines
from bench.turns import (
    FIRST,
    FORGETS,
    KEEPS,
    KINDS,
    PLAIN,
    SECOND,
    THIRD_AFTER,
    TURN_TARGET,
    faults_of,
    figures,
    make_parser,
    measure,
    table_of,
    verdict,
)
from gateway import protocol
from gateway.protocol import CountInfo
from tests.support.fake_gateway import FakeGateway, model_info


def options(*words):
    return make_parser().parse_args(["--rounds", "1", "--idle", "0", *words])


def answer(first_s, *ids, error=""):
    return Stream(0.0, [first_s], list(ids), prompt_tokens=1000, cached_tokens=900, ended=True, error=error)


def one_round(**other):
    return {kind: answer(1.0, 7, 8) for kind in KINDS} | other


def test_what_is_asked_and_that_the_model_leaves_in_between():
    with own_folder() as folder:
        gateway = FakeGateway(f"ipc://{folder}/clients.ipc")
        gateway.models = [model_info(KEEPS), model_info(FORGETS)]
        gateway.on[protocol.Tokenize] = lambda question: [gateway._result(question.id, CountInfo(KEEPS, 500, 4096))]
        with gateway:
            [talk] = asyncio.run(measure(gateway.endpoint, options("--prompt-tokens", "100")))
    assert list(talk) == list(KINDS) and all(one.done for one in talk.values())
    of_round = gateway.received[len(gateway.received) // 2:]
    order = [type(one).__name__ for one in of_round if isinstance(one, protocol.Submit | protocol.Evict
                                                                    | protocol.LoadModel)]
    assert order[-10:] == ["Submit"] * 4 + ["Evict", "LoadModel"] + ["Submit"] * 4
    first, second, shared, shared_too, new, third, again, plain = gateway.all(protocol.Submit)[-8:]
    assert second.messages[0] == first.messages[0] and second.messages[1].content == "one two three"
    assert shared.messages[0] == shared_too.messages[0] and shared.messages[1] != shared_too.messages[1]
    assert again.messages == plain.messages == second.messages == third.messages[:3]
    assert (again.model, plain.model) == (KEEPS, FORGETS) and new.messages[0] != first.messages[0]


def test_all_times_are_beside_the_first_turn_of_their_round():
    rounds = [one_round(**{SECOND: answer(0.2), THIRD_AFTER: answer(0.3)})] * 2
    found = {one.what.split(",")[1].strip(): one for one in figures(rounds, options())}
    assert found["second turn"].value == pytest.approx(0.2) and found["second turn"].reached
    assert found["third turn after evict"].value == pytest.approx(0.3)
    assert found["third turn after evict"].target == TURN_TARGET
    assert not [one for one in figures(rounds, options("--disk", "0")) if "after evict" in one.what and one.target]
    text = [" ".join(line.split()) for line in table_lines(table_of(rounds, []))]
    assert f"{FIRST} 1000 1000 900" in text and f"{SECOND} 200 1000 900" in text


@pytest.mark.parametrize(("talk", "words"), [
    (one_round(**{SECOND: answer(1.0, 7, 9)}), f"{SECOND}, round 1: other tokens than from {PLAIN}"),
    (one_round(**{FIRST: answer(1.0, error="queue_full")}), "first turn, round 1: not answered: queue_full"),
])
def test_what_speaks_against_it_is_said(talk, words):
    assert faults_of([talk]) == [words] and verdict([words]) == f"NOT GOOD: {words}"
    assert faults_of([one_round()]) == []
