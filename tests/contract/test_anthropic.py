"""The official `anthropic` package against a running stack, its responses validated."""

import asyncio
import json
from collections.abc import Iterator

import anthropic
import pytest
from anthropic.types import TextBlock, ThinkingBlock, ToolUseBlock
from pydantic import BaseModel

HI = [{"role": "user", "content": "hi there"}]
WEATHER = {"name": "get_weather", "description": "The weather of a city.", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}}
CALL_ONE = [{"role": "user", "content": "call a tool, please"}]
SCRIPTED = '{"name": "get_weather", "arguments": {"city": "Rome"}}'
PATIENCE_S = 60.0
TOKENS = 40  # of an answer of the random model
SHAPED_TOKENS = 300  # room for an answer that must meet a schema


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=base_url, api_key="any", max_retries=0, timeout=PATIENCE_S,
                             _strict_response_validation=True) as client:
        yield client


def stream_of(client: anthropic.Anthropic, **asked) -> tuple[list, anthropic.types.Message]:
    """The events, and what the accumulator makes of them."""
    with client.messages.stream(**asked) as stream:
        return list(stream), stream.get_final_message()


def same(streamed: anthropic.types.Message, whole: anthropic.types.Message) -> bool:
    """But for its id."""
    return streamed.to_dict() | {"id": ""} == whole.to_dict() | {"id": ""}


@pytest.mark.parametrize("model", ["guide", "random", "random-alias:1b"])
def test_a_message(client, model):
    found = client.messages.create(model=model, max_tokens=TOKENS, messages=HI, system="Be brief.",
                                   extra_body={"temperature": 0})
    assert (found.type, found.role, found.model, found.stop_sequence) == ("message", "assistant", model, None)
    assert found.id.startswith("msg_") and found._request_id
    [block] = found.content
    assert isinstance(block, TextBlock) and block.text
    assert found.stop_reason == ("max_tokens" if found.usage.output_tokens == TOKENS else "end_turn")
    counted = client.messages.count_tokens(model=model, messages=HI, system="Be brief.")
    assert found.usage.input_tokens + found.usage.cache_read_input_tokens == counted.input_tokens


@pytest.mark.parametrize("model", ["guide", "random"])
def test_a_stream_adds_up_to_the_same_message(client, model):
    asked = {"model": model, "max_tokens": TOKENS, "messages": HI, "extra_body": {"temperature": 0}}
    events, streamed = stream_of(client, **asked)
    whole = client.messages.create(**asked)
    assert streamed.content[0].text == whole.content[0].text and streamed.stop_reason == whole.stop_reason
    assert streamed.usage.output_tokens == whole.usage.output_tokens and streamed.usage.input_tokens > 0
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]


def test_the_raw_events_of_a_stream_are_valid(client):
    events = list(client.messages.create(model="random", max_tokens=TOKENS, messages=HI, stream=True))
    assert {event.type for event in events} == {"message_start", "content_block_start", "content_block_delta",
                                                "content_block_stop", "message_delta", "message_stop"}


def test_the_asynchronous_client(base_url):
    async def ask() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=base_url, api_key="any", max_retries=0,
                                            _strict_response_validation=True) as client:
            async with client.messages.stream(model="guide", max_tokens=TOKENS, messages=HI) as stream:
                texts = [text async for text in stream.text_stream]
            assert "".join(texts) == (await stream.get_final_message()).content[0].text
            return [model.id async for model in client.models.list(limit=1)]

    assert "guide" in asyncio.run(ask())


def test_a_stop_sequence_ends_the_answer_and_is_named(client):
    asked = {"model": "echo", "max_tokens": TOKENS, "stop_sequences": ["five", "three"],
             "messages": [{"role": "user", "content": "#text=one two three four five"}]}
    for found in (client.messages.create(**asked), stream_of(client, **asked)[1]):
        assert found.content[0].text.split() == ["one", "two"]
        assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", "three")


@pytest.mark.parametrize(("model", "content", "thinking"), [
    ("random", "hi", {"type": "enabled", "budget_tokens": 1024}), ("random", "hi", {"type": "adaptive"}),
    ("echo", "#text=<think> hm, hm </think> so it is", {"type": "enabled", "budget_tokens": 1024})])
def test_thinking_is_a_block_before_the_answer(client, model, content, thinking):
    asked = {"model": model, "max_tokens": TOKENS, "thinking": thinking,
             "extra_body": {"temperature": 0},
             "messages": [{"role": "user", "content": content}]}
    whole = client.messages.create(**asked)
    events, streamed = stream_of(client, **asked)
    for found in (whole, streamed):
        thought, text = found.content
        assert isinstance(thought, ThinkingBlock) and thought.thinking.strip() and isinstance(text, TextBlock)
        assert "<think>" not in str(found.content) and "</think>" not in str(found.content)
        assert 0 < found.usage.output_tokens_details.thinking_tokens < found.usage.output_tokens
    assert {"thinking", "signature", "text"} <= {event.type for event in events}
    again = [*asked["messages"], {"role": "assistant", "content": whole.content}, {"role": "user", "content": "and?"}]
    assert client.messages.create(**asked | {"messages": again}).content


def test_who_does_not_ask_for_thinking_gets_text_first(client):
    found = client.messages.create(model="random", max_tokens=TOKENS, messages=HI)
    assert [block.type for block in found.content] == ["text"]


@pytest.mark.parametrize(("model", "messages", "city"), [
    ("random", CALL_ONE, "Paris"),
    ("echo", [{"role": "user", "content": f"#text=I look. <tool_call>{SCRIPTED}</tool_call>"}], "Rome")])
def test_a_call_and_its_result(client, model, messages, city):
    asked = {"model": model, "max_tokens": TOKENS, "tools": [WEATHER], "messages": messages}
    events, streamed = stream_of(client, **asked)
    for found in (client.messages.create(**asked), streamed):
        call = found.content[-1]
        assert isinstance(call, ToolUseBlock) and (call.name, call.input) == ("get_weather", {"city": city})
        assert call.id.startswith("toolu_") and found.stop_reason == "tool_use"
        assert "<tool_call>" not in str(found.content)
    assert "input_json" in {event.type for event in events}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}
    answer = client.messages.create(**asked | {"messages": [
        *messages, {"role": "assistant", "content": streamed.content},
        {"role": "user", "content": [result, {"type": "text", "text": "so?"}]}]})
    assert answer.content


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_call_that_is_required_is_made(client, choice):
    found = client.messages.create(model="random", max_tokens=SHAPED_TOKENS, tools=[WEATHER], messages=HI,
                                   tool_choice={**choice, "disable_parallel_tool_use": True})
    if found.stop_reason == "tool_use":
        assert [block.name for block in found.content if block.type == "tool_use"] == ["get_weather"]
    else:
        assert found.stop_reason == "max_tokens", "random weights need not come to an end"


def test_a_tool_that_is_python_is_run(client):
    asked_for = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        asked_for.append(city)
        return "rain"

    runner = client.beta.messages.tool_runner(model="random", max_tokens=TOKENS, tools=[get_weather],
                                              messages=CALL_ONE, max_iterations=2)
    first, second = runner
    assert first.stop_reason == "tool_use" and asked_for[0] == "Paris" and second.content


class Place(BaseModel):
    inhabited: bool
    level: int


def test_an_answer_of_a_given_form(client):
    found = client.messages.parse(model="random", max_tokens=SHAPED_TOKENS, messages=HI, output_format=Place)
    assert isinstance(found.parsed_output, Place) and found.stop_reason == "end_turn"
    beta = client.beta.messages.parse(model="random", max_tokens=SHAPED_TOKENS, messages=HI, output_format=Place)
    assert isinstance(beta.parsed_output, Place)
    shape = {"type": "json_schema", "schema": {"enum": ["yes", "no"]}}
    _, streamed = stream_of(client, model="random", max_tokens=TOKENS, messages=HI, output_config={"format": shape})
    assert json.loads(streamed.content[0].text) in shape["schema"]["enum"]


def test_counting_needs_no_loaded_model_and_counts_what_makes_the_prompt(client, stack):
    bare = client.messages.count_tokens(model="embedder", messages=HI).input_tokens
    assert bare > 0
    more = client.messages.count_tokens(model="random", messages=HI, tools=[WEATHER], system="Be brief.").input_tokens
    assert more > client.messages.count_tokens(model="random", messages=HI).input_tokens
    assert client.beta.messages.count_tokens(model="random", messages=HI, betas=["x"]).input_tokens > 0


def test_models_are_listed_in_pages_and_shown(client):
    names = [model.id for model in client.models.list(limit=1)]
    assert {"guide", "random", "echo"} <= {*names} and names == [model.id for model in client.models.list()]
    page = client.models.list(limit=1, before_id=names[1])
    assert [model.id for model in page.data] == names[:1]
    shown = client.models.retrieve("random-alias:1b")
    assert (shown.id, shown.type, shown.max_input_tokens > 0) == ("random", "model", True)
    assert client.beta.models.retrieve("guide").display_name == "guide"
