"""bench/swap.py: callers ask both models in turn, and a model that starves or leaves too soon is found."""

import asyncio

import pytest

from bench.program import own_folder
from bench.table import table_lines
from bench.swap import Answer, ask_in_turn, faults_of, tables_of, turns_of, verdict
from bench.table_samples import Sample
from control.states import Phase
from gateway import protocol
from tests.support.fake_gateway import FakeGateway, error

A, B = "1m", "26m"


def samples(*seen):
    """`seen`: (seconds, phase, loads)."""
    return [Sample(float(at_s), phase, loads, loads) for at_s, phase, loads in seen]


def answer(model, sent_s, first_s, error=""):
    return Answer(model, sent_s, first_s, first_s or sent_s, error)


ANSWERS = [answer(A, 0, 1), answer(B, 0, 11), answer(A, 1, 21), answer(A, 2, 21)]
STAYED = samples((0, Phase.READY, 1), (10, Phase.READY, 1), (11, Phase.DOWN, 1), (20, Phase.READY, 2),
                 (30, Phase.READY, 2), (31, Phase.DOWN, 2), (40, Phase.READY, 3), (41, Phase.READY, 3))


def test_waits_loads_and_stays_of_a_model():
    turns = turns_of(A, ANSWERS, STAYED)
    assert (turns.asked, turns.answered, turns.loads, turns.errors) == (3, 3, 2, [])
    assert turns.wait_ms.p50 == 19_000 and turns.wait_max_ms == 20_000
    assert turns.shortest_stay_s == 10, "neither the stay that was under way at first nor the one at the end counts"


def test_a_model_that_stays_as_long_as_it_must():
    turns = {A: turns_of(A, ANSWERS, STAYED), B: turns_of(B, ANSWERS, STAYED)}
    assert faults_of(turns, 10.0) == []
    told = [line for table in tables_of(turns, [], []) for line in table_lines(table)]
    assert told[0] == verdict([]) and any(line.split()[:3] == [A, "3", "3"] for line in told)


@pytest.mark.parametrize(("answers", "stayed", "residency_s", "words"), [
    (ANSWERS, STAYED, 10.5, "left 10.0 s after its load; 10.5 s are its minimum"),
    ([*ANSWERS, answer(A, 5, None, "queue_deadline: late")], STAYED, 1.0, "1 requests for 1m were not answered: queue"),
    ([answer(B, 0, 1)], STAYED, 1.0, "1m answered nobody"),
    (ANSWERS, STAYED[:2], 1.0, "no model made room"),
])
def test_what_speaks_against_it_is_said(answers, stayed, residency_s, words):
    [fault] = faults_of({A: turns_of(A, answers, stayed)}, residency_s)
    assert words in fault and verdict([fault]) == f"NOT GOOD: {fault}"


def asked(gateway, seconds):
    with gateway:
        return asyncio.run(ask_in_turn(gateway.endpoint, 3, seconds, 5))


def test_every_caller_asks_one_model_and_then_the_other():
    with own_folder() as folder:
        gateway = FakeGateway(f"ipc://{folder}/clients.ipc")
        answers = asked(gateway, 0.2)
        submits = [one for one in gateway.received if isinstance(one, protocol.Submit)]
    turns = [int(submit.messages[0].content.split()[1]) for submit in submits]
    assert all(submit.model == (A, B)[turn % 2] for submit, turn in zip(submits, turns, strict=True))
    assert len(answers) == len(submits) > 6 and not any(one.error for one in answers)
    assert all(one.sent_s <= one.first_s <= one.end_s for one in answers)
    assert abs(sum(one.model == A for one in answers) - len(answers) / 2) <= 2


def test_an_error_is_an_answer_that_says_so():
    with own_folder() as folder:
        gateway = FakeGateway(f"ipc://{folder}/clients.ipc")
        gateway.on[protocol.Submit] = lambda submit: [error(submit.id, "queue_deadline")]
        answers = asked(gateway, 0.05)
    assert {(one.error, one.first_s) for one in answers} == {("queue_deadline: as scripted", None)}
