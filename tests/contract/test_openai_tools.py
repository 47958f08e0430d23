"""The `openai` package against a real stack: tools, schemas and reasoning, with its own parsers and accumulators."""

import json
from collections.abc import Iterator
from typing import Annotated, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.support.openai_client import openai_client, user
from workers.random_agent import CALL_ARGUMENTS, CALL_NAME, CALL_WORDS, REASONING

TOKENS = 400
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"],
        "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": CALL_NAME, "description": "Weather now.", "parameters": CITY}}
TIME = {"type": "function", "function": {"name": "get_time", "strict": True, "parameters": {
    "type": "object", "properties": {"zone": {"enum": ["utc", "cet"]}}, "required": ["zone"],
    "additionalProperties": False}}}
ASKED = {"model": "random", "max_tokens": TOKENS, "seed": 1, "tools": [WEATHER, TIME]}
CALLING = {**ASKED, "tools": [WEATHER], "messages": user(f"please {CALL_WORDS}")}  # free to: none of them is strict


class Mood(BaseModel):
    """Short, for random weights find no end."""

    happy: bool
    level: Literal[1, 2, 3]
    words: Annotated[list[Literal["well", "ill"]], Field(max_length=2)]


SMALL = {"type": "object", "properties": {"happy": {"type": "boolean"}, "mood": {"enum": ["good", "bad"]}},
         "required": ["happy", "mood"], "additionalProperties": False}


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai_client(base_url) as made:
        yield made


def test_a_model_that_calls_by_itself(client):
    choice = client.chat.completions.create(**CALLING).choices[0]
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content, call.type) == ("tool_calls", None, "function")
    assert call.id and call.function.name == CALL_NAME and json.loads(call.function.arguments) == CALL_ARGUMENTS


def test_the_same_streamed_through_the_accumulator(client):
    with client.chat.completions.stream(**CALLING) as stream:
        kinds = [event.type for event in stream]
        choice = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.done" in kinds and choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.id and call.function.name == CALL_NAME and json.loads(call.function.arguments) == CALL_ARGUMENTS


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("choice", "names"), [
    ("required", {CALL_NAME, "get_time"}), ({"type": "function", "function": {"name": "get_time"}}, {"get_time"})])
def test_a_call_that_must_be_is_made_even_with_random_weights(client, choice, names, stream):
    asked = {**ASKED, "messages": user("hello"), "tool_choice": choice, "parallel_tool_calls": False}
    if stream:
        with client.chat.completions.stream(**asked) as going:
            answer = going.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name in names and answer.choices[0].finish_reason == "tool_calls"
    assert set(json.loads(call.function.arguments)) == {"city" if call.function.name == CALL_NAME else "zone"}


def test_no_tool_is_called_if_none_may_be(client):
    choice = client.chat.completions.create(**CALLING, tool_choice="none").choices[0]
    assert choice.message.tool_calls is None and choice.finish_reason in ("stop", "length")


def test_the_old_form_of_tools(client):
    choice = client.chat.completions.create(
        model="random", messages=user(f"please {CALL_WORDS}"), max_tokens=TOKENS,
        functions=[WEATHER["function"]]).choices[0]
    assert choice.finish_reason == "function_call" and choice.message.function_call.name == CALL_NAME


def test_a_conversation_goes_on_after_a_call(client):
    call = client.chat.completions.create(**CALLING).choices[0].message
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "rain"}
    answer = client.chat.completions.create(**CALLING | {"max_tokens": 4, "messages": [
        *user(f"please {CALL_WORDS}"), call, result]})
    without = client.chat.completions.create(**CALLING | {"max_tokens": 4})
    assert answer.usage.prompt_tokens > without.usage.prompt_tokens
    assert answer.choices[0].finish_reason == "length" and answer.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_a_class_of_pydantic_is_parsed(client, stream):
    asked = {"model": "random", "messages": user("how are you?"), "max_tokens": TOKENS, "response_format": Mood,
             "temperature": 0.5, "seed": 4, "logit_bias": {}}
    if stream:
        with client.chat.completions.stream(**asked) as going:
            choice = going.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.parse(**asked).choices[0]
    assert isinstance(choice.message.parsed, Mood) and choice.finish_reason == "stop"


@pytest.mark.parametrize("count", [1, 3])
def test_an_answer_meets_its_schema(client, count):
    answer = client.chat.completions.create(
        model="random", messages=user("how are you?"), max_tokens=TOKENS, n=count, seed=2,
        response_format={"type": "json_schema", "json_schema": {"name": "mood", "schema": SMALL, "strict": True}})
    for choice in answer.choices:
        found = json.loads(choice.message.content)
        assert found.keys() == {"happy", "mood"} and found["mood"] in ("good", "bad") and choice.finish_reason == "stop"


def test_any_object_can_be_asked_for(client):
    answer = client.chat.completions.create(model="random", messages=user("JSON!"), max_tokens=TOKENS, seed=2,
                                            response_format={"type": "json_object"})
    assert answer.choices[0].message.content.startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)


def test_a_schema_that_cannot_be_met_is_refused_with_its_place(client):
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {
        "a": {"type": "nothing that is known"}}}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="random", messages=user("hi"), response_format=wanted)
    assert caught.value.param == "response_format.json_schema.schema" and "a" in caught.value.message


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_stands_beside_the_answer(client, stream):
    asked = {"model": "random", "messages": user("hi"), "max_tokens": 40, "reasoning_effort": "low", "seed": 1}
    if stream:
        *chunks, usage = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        deltas = [chunk.choices[0].delta for chunk in chunks]
        thought = "".join(getattr(delta, "reasoning_content", "") for delta in deltas)
        text = "".join(delta.content or "" for delta in deltas)
    else:
        usage = client.chat.completions.create(**asked)
        message = usage.choices[0].message
        thought, text = message.reasoning_content, message.content
        assert message.reasoning == thought
    assert thought.strip() == REASONING.strip() and text and "<think>" not in text
    assert 0 < usage.usage.completion_tokens_details.reasoning_tokens < usage.usage.completion_tokens


@pytest.mark.parametrize("extra", [{"reasoning_effort": "none"},
                                   {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}])
def test_no_reasoning_if_none_is_wanted(client, extra):
    answer = client.chat.completions.create(model="random", messages=user("hi"), max_tokens=8, **extra)
    assert not hasattr(answer.choices[0].message, "reasoning_content")
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0
