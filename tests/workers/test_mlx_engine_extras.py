"""workers/mlx_engine.py: what a job asks besides words, alone and in a batch of eight. Small models, random weights."""

import math

import pytest

from tests.support.engines import Answer, EngineInThread, run
from tests.support.models import model_path
from workers.engine import EngineJob, JobRefused
from workers.job_parts import NONE, Extras, Tool
from workers.mlx_engine import MlxEngine
from workers.protocol import ChatMessage, Sampling
from workers.random_agent import CALL_ARGUMENTS, CALL_NAME, CALL_WORDS, REASONING

BATCH, ANSWER_TOKENS = 8, 20
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}, "b": {"enum": ["x", "y", None]}},
          "required": ["a", "b"], "additionalProperties": False}
TOOL = Tool(CALL_NAME, "says the weather", {"type": "object", "properties": {"city": {"type": "string"}}})
NEVER_IN_IT = "never in it"


@pytest.fixture(scope="module")
def engine():
    engine = EngineInThread(MlxEngine(str(model_path("1m", "agent")), batch_max=BATCH, context_length=0))
    engine.start()
    yield engine
    engine.close()


def job(number: int, text: str = "Hello", max_tokens: int = ANSWER_TOKENS, stop: tuple[str, ...] = (),
        sampling: Sampling | None = None, **asked) -> EngineJob:
    return EngineJob(key=(number, 1), messages=[ChatMessage("user", text)], max_tokens=max_tokens, stop=list(stop),
                     sampling=sampling or Sampling(temperature=1.0, seed=number), extras=Extras(**asked))


def alone(engine: EngineInThread, *arguments, **fields) -> Answer:
    return run(engine, job(1, *arguments, **fields))[1]


KINDS = {
    1: ({}, {}),
    2: ({"top_p": 0.9, "top_k": 40}, {}),
    3: ({"repeat_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.4}, {}),
    4: ({"min_p": 0.02}, {"logprobs": 2}),
    5: ({}, {"schema": SCHEMA}),
    6: ({"repeat_penalty": 1.2, "top_p": 0.8}, {"schema": SCHEMA, "logprobs": 1}),
    7: ({}, {"think": "low", "logit_bias": {300: 4.0, 301: -100.0}}),
    8: ({"temperature": 0.0}, {"schema": SCHEMA, "think": True}),
}


def test_a_seed_gives_the_same_answer_alone_and_in_a_batch_of_eight(engine):
    jobs = {number: job(number, sampling=Sampling(**({"temperature": 1.0, "seed": number} | sampling)), **asked)
            for number, (sampling, asked) in KINDS.items()}
    together = run(engine, *jobs.values())
    for number, each in jobs.items():
        by_itself, again = run(engine, each)[number], together[number]
        assert again.ids == by_itself.ids and again.text == by_itself.text and again.thinking == by_itself.thinking
        assert [one.id for one in again.logprobs] == [one.id for one in by_itself.logprobs]
        for one, other in zip(again.logprobs, by_itself.logprobs, strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


class TestReasoning:
    def test_opened_by_the_prompt_or_by_the_model(self, engine):
        for think in (True, "high"):
            answer = alone(engine, think=think)
            assert answer.thinking == REASONING.strip() and answer.text
            assert 0 < answer.end.thinking_tokens < len(answer.ids) == answer.end.completion_tokens

    def test_none_where_it_is_not_asked(self, engine):
        for think in (None, False):
            answer = alone(engine, think=think)
            assert answer.thinking == "" and answer.end.thinking_tokens == 0


class TestCalls:
    def test_comes_whole_with_an_id_of_its_own(self, engine):
        answers = [alone(engine, CALL_WORDS, tools=[TOOL]) for _ in range(2)]
        for answer in answers:
            [call] = answer.calls
            assert (call.index, call.name, call.arguments) == (0, CALL_NAME, '{"city": "Paris"}')
            assert answer.text == "" and answer.end.reason == "stop" and CALL_ARGUMENTS == {"city": "Paris"}
        assert answers[0].calls[0].id != answers[1].calls[0].id

    def test_nobody_looks_for_one_if_none_may_be_made(self, engine):
        assert alone(engine, CALL_WORDS, tools=[TOOL], tool_choice=NONE).calls == []

    def test_a_stop_string_is_not_looked_for_in_one(self, engine):
        assert alone(engine, CALL_WORDS, tools=[TOOL], stop=("Paris",)).calls


def test_the_stop_string_that_ended_it_is_said(engine):
    whole = alone(engine)
    stop = whole.text[5:7]
    answer = alone(engine, stop=(NEVER_IN_IT, stop))
    assert answer.end.stop == stop and answer.text == whole.text[: whole.text.index(stop)]
    assert whole.end.stop == ""


class TestLogprobs:
    def test_of_each_token_of_the_words_and_the_likeliest_beside_it(self, engine):
        answer = alone(engine, logprobs=3)
        assert [one.id for one in answer.logprobs] == answer.ids
        assert b"".join(one.piece for one in answer.logprobs).decode(errors="replace") == answer.text
        for one in answer.logprobs:
            assert len(one.top) == 3 and one.logprob <= one.top[0].logprob <= 0
            assert [other.logprob for other in one.top] == sorted((other.logprob for other in one.top), reverse=True)

    def test_greedy_takes_the_likeliest(self, engine):
        for one in alone(engine, sampling=Sampling(), logprobs=1).logprobs:
            assert one.top[0].id == one.id and one.top[0].logprob == pytest.approx(one.logprob)

    def test_none_of_reasoning_or_calls(self, engine):
        answer = alone(engine, think=True, logprobs=0)
        assert b"".join(one.piece for one in answer.logprobs).decode(errors="replace") == answer.text
        assert len(answer.logprobs) < len(answer.ids) and not any(one.top for one in answer.logprobs)
        assert alone(engine, CALL_WORDS, tools=[TOOL], logprobs=1).logprobs == []

    def test_of_a_job_in_a_batch_of_others(self, engine):
        together = run(engine, job(1, logprobs=2), job(2), job(3, logprobs=5))
        assert together[2].logprobs == []
        assert {len(one.top) for one in together[1].logprobs} == {2}
        assert {len(one.top) for one in together[3].logprobs} == {5}

    def test_what_the_mask_forbids_is_not_among_them(self, engine):
        for one in alone(engine, schema={"const": "abc"}, think=False, logprobs=9).logprobs:
            assert all(math.isfinite(other.logprob) for other in one.top)


class TestBias:
    def test_pushes_and_forbids(self, engine):
        wanted = alone(engine).ids[0]
        assert set(alone(engine, logit_bias={wanted: 100.0}).ids) == {wanted}
        assert wanted not in alone(engine, logit_bias={wanted: -100.0}).ids

    def test_an_id_that_is_none_of_the_models_is_refused(self, engine):
        with pytest.raises(JobRefused, match="logit_bias: ids must be below"):
            engine.add(job(1, logit_bias={100_000: 1.0}))


class TestContext:
    def test_num_ctx_bounds_prompt_and_answer(self, engine):
        answer = alone(engine, max_tokens=1000, num_ctx=64)
        assert answer.end.reason == "length" and answer.end.prompt_tokens + len(answer.ids) == 64

    def test_an_answer_that_may_shift_goes_on_with_its_newer_half(self, engine):
        whole = alone(engine, max_tokens=150, num_ctx=64)
        answer = alone(engine, max_tokens=150, num_ctx=64, num_keep=4, shift=True)
        assert len(answer.ids) == answer.end.completion_tokens == 150 and answer.end.reason == "length"
        assert answer.ids[: len(whole.ids)] == whole.ids
        again = run(engine, job(1, max_tokens=150, num_ctx=64, num_keep=4, shift=True), job(2, max_tokens=150))[1]
        assert again.ids == answer.ids

    def test_a_schema_holds_over_a_shift(self, engine):
        schema = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 100,
                  "maxItems": 100}
        answer = alone(engine, max_tokens=400, num_ctx=48, shift=True, schema=schema)
        assert answer.end.reason == "stop" and len(answer.text.replace(" ", "").split(",")) == 100

    def test_removed_in_the_middle_of_a_shift(self, engine):
        engine.add(job(1, max_tokens=150, num_ctx=64, shift=True, schema={"type": "array"}))
        for _ in range(100):
            engine.step()
        engine.remove((1, 1))
        assert engine.active == 0


def test_inputs_need_a_model_that_embeds(engine):
    with pytest.raises(JobRefused) as refused:
        engine.add(EngineJob(key=(1, 1), inputs=["hello"]))
    assert refused.value.code == "not_offered"


def test_inputs_are_embedded_beside_answers():
    embedding = EngineInThread(MlxEngine(str(model_path("1m")), batch_max=BATCH, context_length=0, pooling="mean"))
    embedding.start()
    inputs = ["one text", "another one", [5, 6, 7]]
    by_itself = run(embedding, job(1))[1].ids
    transcript = run(embedding, job(1), EngineJob(key=(2, 1), inputs=inputs), job(3))
    embedding.close()
    assert transcript[1].ids == by_itself
    assert len(transcript[2].vectors) == len(inputs) and transcript[2].end.completion_tokens == 0
