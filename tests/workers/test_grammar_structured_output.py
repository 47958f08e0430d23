"""Random schemas on a model that knows nothing, eight at a time: what it says to its end meets the schema.

`make test` asks for the first 60 of 200, `make test-long` for all.
"""

import json
from random import Random

import pytest
from jsonschema import Draft202012Validator

from tests.support.engines import EngineInThread, Transcript, run, steps
from tests.support.models import model_path
from tests.support.random_schemas import random_schema
from workers.engine import EngineJob
from workers.job_parts import NAMED, REQUIRED, Extras, Tool
from workers.mlx_engine import MlxEngine
from workers.protocol import ChatMessage, Sampling

FEW, MANY, BATCH, ANSWER_TOKENS, SEED = 60, 200, 8, 160, 20240607
LEAST_COMPLETE = 0.8
CALLERS = (1, 2, 3)
WEATHER = Tool("get_weather", "", {
    "type": "object", "required": ["city"], "additionalProperties": False,
    "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "maximum": 9}}})
TIME = Tool("get_time", "", {"type": "object", "properties": {"zone": {"enum": ["utc", "cet"]}}, "required": ["zone"]})


def started(family: str) -> EngineInThread:
    engine = EngineInThread(MlxEngine(str(model_path("1m", family)), batch_max=BATCH, context_length=0))
    engine.start()
    return engine


@pytest.fixture(scope="module", params=["plain", "agent"])
def engine(request):
    engine = started(request.param)
    yield engine
    engine.close()


def job(number: int, max_tokens: int = ANSWER_TOKENS, text: str = "Answer", **asked) -> EngineJob:
    return EngineJob(key=(number, 1), messages=[ChatMessage("user", text)], max_tokens=max_tokens,
                     sampling=Sampling(temperature=1.0, seed=number), extras=Extras(**asked))


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_every_complete_answer_meets_its_schema(count):
    engine, random = started("plain"), Random(SEED)
    schemas = {number: random_schema(random) for number in range(1, count + 1)}
    waiting, transcript, complete = list(schemas), Transcript(), 0
    while waiting or engine.active:
        while waiting and engine.active < BATCH:
            number = waiting.pop()
            engine.add(job(number, schema=schemas[number]))
        steps(engine, 1, transcript)
    engine.close()
    for number, schema in schemas.items():
        answer = transcript[number]
        if answer.end.reason == "stop":
            complete += 1
            Draft202012Validator(schema).validate(json.loads(answer.text))
        else:
            assert len(answer.ids) == ANSWER_TOKENS
    assert complete >= LEAST_COMPLETE * count


def test_plain_answers_beside_them_stay_the_same(engine):
    alone = {number: run(engine, job(number, 40))[number].ids for number in (1, 2)}
    schema = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "minItems": 40}
    together = run(engine, job(1, 40), job(3, 40, schema=schema), job(2, 40), job(4, 40, schema=schema))
    for number, ids in alone.items():
        assert together[number].ids == ids
    assert together[3].text.startswith("[")


@pytest.mark.parametrize(("choice", "names"), [
    (REQUIRED, {"get_weather", "get_time"}), (f"{NAMED}get_time", {"get_time"}),
])
def test_a_call_that_must_be_made_is_made_and_meets_its_parameters(engine, choice, names):
    tools = {tool.name: tool for tool in (WEATHER, TIME)}
    asked = [job(number, tools=list(tools.values()), tool_choice=choice, parallel_tools=False) for number in CALLERS]
    transcript, called = run(engine, *asked), set()
    for number in CALLERS:
        answer = transcript[number]
        assert answer.end.reason == "stop" and answer.text == ""
        [call] = answer.calls
        Draft202012Validator(tools[call.name].parameters).validate(json.loads(call.arguments))
        called.add(call.name)
    assert called <= names


def test_reasoning_comes_first_and_is_free():
    engine = started("agent")
    for think in (True, "low"):
        answer = run(engine, job(1, think=think, schema={"const": {"a": [1]}}))[1]
        assert answer.thinking and answer.end.thinking_tokens
        assert json.loads(answer.text) == {"a": [1]} and answer.end.reason == "stop"
    engine.close()
