"""A job that is paused and resumed, or goes on behind what was told before, says what it would have said undisturbed.

Both engines; of MLX the small models in float32: with caches that can be cut back (Llama), with a recurrent state
(mamba), and with windows that have slid (gemma3). Each kind of job below is run alone, paused after every token, and
begun behind every beginning of its own answer.
"""

from random import Random

import pytest

from tests.support.architectures import make_architecture
from tests.support.engines import EngineInThread
from tests.support.models import model_path
from tests.support.pausing import (
    Essence,
    continuations,
    essence,
    has_ended,
    run_all,
    run_pausing_always,
    run_pausing_at_random,
    take,
)
from workers.echo_engine import EchoEngine
from workers.engine import EngineJob, JobRefused
from workers.job_parts import Extras, Tool
from workers.mlx_engine import MlxEngine
from workers.protocol import ChatMessage, Sampling
from workers.random_agent import CALL_WORDS

BATCH, ANSWER_TOKENS, CONTEXT_TOKENS = 8, 12, 400
NEAR = {"rel": 1e-3, "abs": 1e-3}
TOOL = Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"],
          "additionalProperties": False}
SAYS = {"reasons": "#text=<think>let me see </think>it is so and no other way at all, is it",
        "calls": '#text=<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call> so it is'}
WARM = {"temperature": 1.0, "seed": 7}
KINDS = {  # sampling, fields of the job, extras
    "greedy": ({}, {}, {}),
    "seeded": (WARM | {"top_p": 0.9, "top_k": 60, "min_p": 0.01}, {}, {}),
    "penalties": (WARM | {"repeat_penalty": 1.4, "presence_penalty": 0.6, "frequency_penalty": 0.5}, {},
                  {"logit_bias": {300: 4.0, 301: -100.0}}),
    "pieces of characters": (WARM | {"temperature": 3.0}, {}, {"logprobs": 0}),
    "chances": (WARM, {"stop": ["what never comes", " "]}, {"logprobs": 2}),
    "schema": (WARM, {}, {"schema": SCHEMA, "logprobs": 1}),
    "shift": (WARM | {"repeat_penalty": 1.2}, {"tokens": list(range(40, 64))}, {"num_ctx": 30, "shift": True}),
    "reasons": (WARM, {}, {"think": True, "logprobs": 1}),
    "calls": (WARM, {}, {"tools": [TOOL], "logprobs": 1}),
}
NOT_OF_ECHO = {"schema", "shift"}
OF_CACHES = {"greedy", "seeded", "chances", "schema", "shift"}  # the others do not ask what a cache is like


@pytest.fixture(scope="module", params=["echo", "llama", "mamba", "gemma3_text"])
def engine(request, tmp_path_factory):
    if request.param == "echo":
        engine = EngineInThread(EchoEngine(BATCH, CONTEXT_TOKENS))
    else:
        path = (model_path("1m", "agent") if request.param == "llama"
                else make_architecture(tmp_path_factory.mktemp("models") / request.param, request.param))
        engine = EngineInThread(MlxEngine(str(path), batch_max=BATCH, context_length=CONTEXT_TOKENS))
    engine.name = request.param
    engine.start()
    yield engine
    assert (engine.active, engine.paused) == (0, 0), "the engine did not forget a job"
    engine.close()


def job(engine: EngineInThread, kind: str, number: int = 1, **more) -> EngineJob:
    sampling, fields, asked = KINDS[kind]
    text = SAYS.get(kind, f"#tokens={ANSWER_TOKENS}") if engine.name == "echo" else (
        CALL_WORDS if kind == "calls" else f"Hello {kind} {number}")
    given = {} if "tokens" in fields else {"messages": [ChatMessage("user", text)]}
    return EngineJob(key=(number, 1), sampling=Sampling(**sampling), extras=Extras(**asked),
                     **{"max_tokens": ANSWER_TOKENS} | given | fields | more)


def job_or_skip(engine: EngineInThread, kind: str) -> EngineJob:
    if engine.name == "echo" and kind in NOT_OF_ECHO or engine.name not in ("echo", "llama") and kind not in OF_CACHES:
        pytest.skip("it has none of this")
    return job(engine, kind)


def same(one: Essence, other: Essence) -> bool:
    return one == other and one.chances == pytest.approx(other.chances, **NEAR)


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_paused_after_every_token_says_the_same(engine, kind):
    asked = job_or_skip(engine, kind)
    whole = essence(run_all(engine, asked)[asked.key])
    outputs, pauses = run_pausing_always(engine, asked)
    assert same(essence(outputs), whole)
    assert pauses >= len(whole.ids) // 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_goes_on_behind_what_was_told_says_the_rest(engine, kind):
    asked = job_or_skip(engine, kind)
    whole = run_all(engine, asked)[asked.key]
    for count, outputs in enumerate(continuations(engine, asked, whole, BATCH)):
        if expected := whole[count:]:
            assert same(essence(outputs, count), essence(expected, count)), f"behind {count} ids"
        else:  # its end alone, and what is left of a character, which came with the last token before
            assert not outputs[0].ids and essence(outputs, count).end == essence(whole).end


@pytest.mark.parametrize("seed", range(2))
def test_jobs_that_are_paused_at_random_beside_each_other_say_the_same(engine, seed):
    kinds = ["greedy", "seeded", "penalties", "pieces of characters", "chances", "greedy", "seeded", "chances"]
    jobs = [job(engine, kind, number) for number, kind in enumerate(kinds, 1)]
    whole = run_all(engine, *jobs)
    said = run_pausing_at_random(engine, jobs, Random(seed))
    for each in jobs:
        assert same(essence(said[each.key]), essence(whole[each.key])), each.key
    engine.take_paused()


def test_a_stop_string_over_the_seam_ends_the_answer(engine):
    whole = run_all(engine, job(engine, "seeded"))[1, 1]
    border = len("".join(output.text for output in whole[:6]))
    text = essence(whole).text
    asked = job(engine, "seeded", stop=[text[border - 2 : border + 3]])
    expected = essence(run_all(engine, asked)[1, 1])
    assert expected.end.reason == "stop" and expected.end.stop == asked.stop[0]
    assert same(essence(run_pausing_always(engine, asked)[0]), expected)


def test_a_paused_job_says_nothing_while_others_go_on_and_is_told_again_when_asked_again(engine):
    whole = run_all(engine, job(engine, "seeded", 1), job(engine, "seeded", 2))
    engine.add(job(engine, "seeded", 1))
    engine.add(job(engine, "seeded", 2))
    said = {(1, 1): [], (2, 1): []}
    while len(said[1, 1]) < 5:
        take(engine, said)
    told = engine.pause((1, 1))
    if not told:
        take(engine, said)
        told = engine.take_paused()
    assert told == engine.pause((1, 1)) and told[0][0] == (1, 1)
    before = len(said[1, 1])
    while not has_ended(said, (2, 1)):
        take(engine, said)
    assert len(said[1, 1]) == before and (engine.active, engine.paused) == (0, 1)
    engine.resume((1, 1))
    while engine.active:
        take(engine, said)
    assert all(same(essence(said[key]), essence(whole[key])) for key in said)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_job_is_paused_while_its_prompt_is_read(engine, steps):
    """So many steps after it came, beside one that runs."""
    text = "word " * 60
    asked = job(engine, "seeded", 2, messages=[ChatMessage("user", text + f"{engine.name} {steps}")])
    run_all(engine, asked)
    said = {(1, 1): [], (2, 1): []}
    engine.add(job(engine, "greedy", 1, max_tokens=60))
    while not said[1, 1]:
        take(engine, said)
    engine.add(replace_prompt(asked, f"again {steps}"))
    for _ in range(steps):
        take(engine, said)
    engine.pause((2, 1))
    for _ in range(3):
        if engine.active:
            take(engine, said)
    assert engine.paused == 1
    engine.resume((2, 1))
    while engine.active:
        take(engine, said)
    expected = run_all(engine, replace_prompt(asked, f"again {steps}"))[2, 1]
    assert same(essence(said[2, 1]), essence(expected))


def replace_prompt(asked: EngineJob, text: str) -> EngineJob:
    return EngineJob(asked.key, [ChatMessage("user", text + asked.messages[0].content)], sampling=asked.sampling,
                     max_tokens=asked.max_tokens)


def test_a_paused_job_can_be_removed_and_its_key_used_again(engine):
    whole = run_all(engine, job(engine, "seeded"))[1, 1]
    for taken in (0, 4):
        engine.add(job(engine, "seeded"))
        said = {(1, 1): []}
        while len(said[1, 1]) < taken:
            take(engine, said)
        engine.pause((1, 1))
        engine.remove((1, 1))
        assert (engine.active, engine.paused) == (0, 0)
        engine.resume((1, 1))
        assert engine.active == 0
    engine.take_paused()
    assert same(essence(run_all(engine, job(engine, "seeded"))[1, 1]), essence(whole))


def test_a_pause_that_is_taken_back_at_once_is_told_and_changes_nothing(engine):
    whole = run_all(engine, job(engine, "seeded"))[1, 1]
    engine.add(job(engine, "seeded"))
    said, told = {(1, 1): []}, 0
    while not has_ended(said, (1, 1)):
        before = len(said[1, 1])
        while len(said[1, 1]) == before:
            take(engine, said)
        told += len(engine.pause((1, 1)))
        engine.resume((1, 1))
        told += len(engine.take_paused())
    assert same(essence(said[1, 1]), essence(whole)) and told >= len(whole) - 1


@pytest.mark.parametrize("after", [4, 5, 6])  # tokens: its context is full with 6
def test_a_job_is_paused_after_its_next_token_at_most_also_when_its_context_is_full_then(engine, after):
    asked = job_or_skip(engine, "shift")
    whole = run_all(engine, asked)
    said = {asked.key: []}
    engine.add(asked)
    while len(said[asked.key]) < after:
        take(engine, said)
    told = engine.pause(asked.key)
    if not told:
        take(engine, said)
        told = engine.take_paused()
    assert [key for key, _ in told] == [asked.key] and (engine.active, engine.paused) == (0, 1)
    engine.resume(asked.key)
    while not has_ended(said, asked.key):
        take(engine, said)
    assert same(essence(said[asked.key]), essence(whole[asked.key]))


def test_what_is_not_there_cannot_be_paused(engine):
    assert engine.pause((9, 9)) == []
    engine.resume((9, 9))
    assert (engine.active, engine.paused) == (0, 0)


def test_ids_that_cannot_have_been_told_are_refused(engine):
    with pytest.raises(JobRefused, match=r"emitted|tokens"):
        engine.add(job(engine, "greedy", emitted=[2**31]))
    assert engine.active == 0
