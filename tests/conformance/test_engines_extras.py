"""What a job asks besides words means the same to both engines: reasoning, calls, chances, bias, context, inputs.

The echo engine says what its prompt tells it to; the MLX engine has a model with habits (`workers/random_agent.py`).
"""

import pytest

from tests.support.engines import Answer, EngineInThread, run
from tests.support.models import model_path
from workers.echo_engine import EchoEngine
from workers.engine import EngineJob, JobRefused
from workers.job_parts import NONE, Extras, Tool
from workers.mlx_engine import MlxEngine
from workers.protocol import ChatMessage, Sampling
from workers.random_agent import CALL_WORDS

BATCH_MAX, ANSWER_TOKENS, CONTEXT_TOKENS, NARROW_TOKENS = 4, 16, 512, 300
SAYS = {"reasons": "#text=<think>let me see </think>it is so and no other way at all, is it",
        "calls": '#text=<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>',
        "words": "#text=some plain words that go on for a while and then a little longer, so"}
ASKS = {"reasons": "Hello", "calls": CALL_WORDS, "words": "Hello"}
TOOL = Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})


@pytest.fixture(scope="module", params=["echo", "mlx"])
def engine(request):
    if request.param == "echo":
        engine = EngineInThread(EchoEngine(BATCH_MAX, CONTEXT_TOKENS))
    else:
        path = str(model_path("1m", "agent"))
        engine = EngineInThread(MlxEngine(path, batch_max=BATCH_MAX, context_length=CONTEXT_TOKENS, pooling="mean"))
    engine.start()
    yield engine
    assert engine.active == 0
    engine.close()


def job(engine: EngineInThread, kind: str, number: int = 1, max_tokens: int = ANSWER_TOKENS, stop: tuple[str, ...] = (),
        **asked) -> EngineJob:
    text = SAYS[kind] if isinstance(engine.engine, EchoEngine) else ASKS[kind]
    return EngineJob(key=(number, 1), messages=[ChatMessage("user", text)], max_tokens=max_tokens, stop=list(stop),
                     sampling=Sampling(temperature=1.0, seed=number), extras=Extras(**asked))


def alone(engine: EngineInThread, kind: str, **fields) -> Answer:
    return run(engine, job(engine, kind, **fields))[1]


def test_reasoning_is_told_from_words_and_counted(engine):
    answer = alone(engine, "reasons", think=True)
    assert answer.thinking == answer.thinking.strip() != "" and answer.text == answer.text.lstrip() != ""
    assert not any(mark in answer.thinking + answer.text for mark in ("<think>", "</think>"))
    assert 0 < answer.end.thinking_tokens < answer.end.completion_tokens == len(answer.ids)


def test_a_stop_string_ends_words_and_not_reasoning(engine):
    whole = alone(engine, "reasons", think=True)
    stop = whole.text[2:5]
    answer = alone(engine, "reasons", think=True, stop=("see", stop))
    assert (answer.thinking, answer.text) == (whole.thinking, whole.text[: whole.text.index(stop)])
    assert answer.end.reason == "stop" and answer.end.stop == stop


def test_a_call_comes_whole(engine):
    answer = alone(engine, "calls", tools=[TOOL])
    [call] = answer.calls
    assert (call.index, call.name, call.arguments) == (0, "get_weather", '{"city": "Paris"}') and call.id
    assert answer.text == "" and answer.end.reason == "stop"


def test_every_call_of_every_request_has_its_own_id(engine):
    transcript = run(engine, *[job(engine, "calls", number, tools=[TOOL]) for number in (1, 2)])
    again = alone(engine, "calls", number=1, tools=[TOOL])
    ids = [call.id for number in (1, 2) for call in transcript[number].calls]
    assert len(set(ids)) == len(ids) == 2 and again.calls[0].name == "get_weather"


def test_without_tools_or_with_none_to_call_there_are_no_calls(engine):
    for asked in ({}, {"tools": [TOOL], "tool_choice": NONE}):
        answer = alone(engine, "calls", **asked)
        assert answer.calls == [] and answer.text


def test_chances_are_told_for_the_words(engine):
    answer = alone(engine, "words", logprobs=1)
    assert b"".join(one.piece for one in answer.logprobs).decode(errors="replace") == answer.text
    assert [one.id for one in answer.logprobs] == answer.ids
    assert all(one.logprob <= 0 and len(one.top) == 1 for one in answer.logprobs)
    assert alone(engine, "words").logprobs == []
    assert not any(one.top for one in alone(engine, "words", logprobs=0).logprobs)


def test_bias_is_taken(engine):
    assert alone(engine, "words", logit_bias={5: 1.0}).end.completion_tokens > 0


def test_a_smaller_context_bounds_the_answer(engine):
    asked = EngineJob(key=(1, 1), prompt="x " * 100 + "#tokens=9999", extras=Extras(num_ctx=NARROW_TOKENS))
    answer = run(engine, asked)[1]
    assert answer.end.reason == "length" and answer.end.prompt_tokens + len(answer.ids) == NARROW_TOKENS


def test_inputs_give_a_vector_each_of_length_one(engine):
    transcript = run(engine, EngineJob(key=(1, 1), inputs=["one", "two words", [5, 6], "one"]), job(engine, "words", 2))
    vectors = [memoryview(vector).cast("f").tolist() for vector in transcript[1].vectors]
    assert len(vectors) == 4 and vectors[0] == pytest.approx(vectors[3]) and vectors[0] != pytest.approx(vectors[1])
    assert all(sum(number * number for number in vector) == pytest.approx(1, abs=1e-4) for vector in vectors)
    end = transcript[1].end
    assert end.prompt_tokens > 0 and end.completion_tokens == 0 and transcript[1].text == ""


def test_an_empty_text_among_others_gets_its_vector(engine):
    answer = run(engine, EngineJob(key=(1, 1), inputs=["one", "", "two"]))[1]
    assert len(answer.vectors) == 3 and len(set(answer.vectors)) == 3
    alone = run(engine, EngineJob(key=(1, 1), inputs=[""]))[1]
    one, among = (memoryview(vector).cast("f").tolist() for vector in (alone.vectors[0], answer.vectors[1]))
    assert one == pytest.approx(among, abs=1e-4) and alone.end.prompt_tokens > 0


@pytest.mark.parametrize("inputs", [[], ["one", []], [[-1]]])
def test_inputs_that_say_nothing_are_refused_by_name(engine, inputs):
    try:
        engine.add(EngineJob(key=(1, 1), inputs=inputs))
        said = run(engine)[1].failed
    except JobRefused as refused:
        said = (refused.code, refused.message)
    assert said[0] == "invalid_request" and said[1].startswith("inputs")


def test_echo_has_nothing_that_a_schema_could_hold():
    engine = EngineInThread(EchoEngine(1))
    for asked, field in (({"schema": {}}, "schema"), ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice")):
        with pytest.raises(JobRefused, match=field) as refused:
            engine.add(job(engine, "words", **asked))
        assert refused.value.code == "not_offered"
    engine.close()
