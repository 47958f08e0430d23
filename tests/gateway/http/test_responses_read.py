"""From a body of the Responses API to the client protocol: conversations, tools, chances, and what is refused."""

import msgspec
import pytest

from gateway.http.errors import Problem
from gateway.http.responses_read import (
    REFUSED,
    ResponseAsked,
    logprobs_of,
    messages_of,
    refuse,
    sampling_of,
    tools_of,
)
from gateway.protocol import Message, Options, Tool, ToolCall

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}
PNG = "data:image/png;base64,aGk="


def asked(given: object = "hi", **fields: object) -> ResponseAsked:
    return msgspec.convert({"input": given, **fields}, ResponseAsked)


def refused(call, *given: object) -> tuple[str, str | None]:
    with pytest.raises(Problem) as found:
        call(*given)
    return found.value.code, found.value.param


def test_a_text_is_said_by_the_user_after_the_instructions() -> None:
    assert messages_of(asked("hi", instructions="be brief")) == [Message("system", "be brief"), Message("user", "hi")]
    assert messages_of(asked([], instructions="be brief")) == [Message("system", "be brief")]  # agents probe so


def test_messages_with_and_without_a_type_and_with_parts() -> None:
    assert messages_of(asked([
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"},
                                                        {"type": "input_image", "image_url": PNG, "detail": "auto"}]},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": "b", "annotations": []}, {"type": "refusal", "refusal": "c"}]},
        {"role": "user", "content": "e"}])) == [
            Message("developer", "d"), Message("user", "a", ["aGk="]), Message("assistant", "bc"), Message("user", "e")]


def test_reasoning_words_and_calls_that_follow_one_another_are_one_turn() -> None:
    look = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":1}'}
    assert messages_of(asked([
        {"role": "user", "content": "go"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"role": "assistant", "content": "I look"}, look, look | {"call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "dark"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "light"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": None},
        {"role": "assistant", "content": "done"}])) == [
            Message("user", "go"),
            Message("assistant", "I look", tool_calls=[ToolCall("look", '{"at":1}', "c1"),
                                                       ToolCall("look", '{"at":1}', "c2")], thinking="hm"),
            Message("tool", "dark", tool_call_id="c1", name="look"),
            Message("tool", "light", tool_call_id="c2", name="look"),
            Message("assistant", "done", thinking="so")]


def test_reasoning_that_leads_to_nothing_is_left_out_and_two_answers_stay_two() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    assert messages_of(asked([thought, {"role": "user", "content": "a"}])) == [Message("user", "a")]
    assert messages_of(asked([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}])) == [
        Message("assistant", "a"), Message("assistant", "b")]


@pytest.mark.parametrize(("given", "code", "param"), [
    (None, "invalid_request", "input"), ("", "invalid_request", "input"), ([], "invalid_request", "input"),
    ([{"type": "reasoning", "summary": []}], "invalid_request", "input"),
    ([{"type": "message", "content": "x"}], "invalid_request", "input[0].role"),
    ([{"type": "function_call", "name": "", "arguments": "{}"}], "invalid_request", "input[0].name"),
    ([{"type": "function_call", "name": "f", "arguments": "{"}], "invalid_request", "input[0].arguments"),
    ([{"id": "msg_1"}], "not_offered", "input[0]"),
    ([{"type": "item_reference", "id": "msg_1"}], "not_offered", "input[0]"),
    ([{"type": "web_search_call", "id": "ws_1"}], "not_offered", "input[0].type"),
    ([{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}], "not_offered",
     "input[0].content[0].type"),
    ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "not_offered", "input[0].content[0]"),
    ([{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}], "not_offered",
     "input[0].content[0].image_url"),
])
def test_input_that_cannot_be_answered_names_its_place(given: object, code: str, param: str) -> None:
    assert refused(messages_of, asked(given)) == (code, param)


@pytest.mark.parametrize("field", REFUSED)
def test_what_needs_an_earlier_response_is_refused_unless_it_is_empty(field: str) -> None:
    body = b'{"input":"hi","%b":%b}'
    for nothing in (b"null", b'""', b"false", b"{}"):
        refuse(msgspec.json.decode(body % (field.encode(), nothing), type=ResponseAsked))
    given = msgspec.json.decode(body % (field.encode(), b'"resp_1"'), type=ResponseAsked)
    assert refused(refuse, given) == ("not_offered", field)


def test_tools_are_functions_and_others_beside_them_are_left_out() -> None:
    assert tools_of(asked()) == []
    strict = LOOK | {"name": "see", "strict": True, "description": "sees"}
    assert tools_of(asked(tools=[{"type": "web_search"}, LOOK, {"type": "custom", "name": "patch"}, strict])) == [
        Tool("look", "", {"type": "object"}), Tool("see", "sees", {"type": "object"}, strict=True)]
    assert refused(tools_of, asked(tools=[{"type": "web_search"}])) == ("not_offered", "tools[0].type")
    assert refused(tools_of, asked(tools=[LOOK, LOOK])) == ("invalid_request", "tools[1]")
    assert refused(tools_of, asked(tools=[{"type": "mcp"}, LOOK | {"name": "no name"}])) == (
        "invalid_request", "tools[1].name")


@pytest.mark.parametrize(("fields", "wanted"), [
    ({}, None), ({"top_logprobs": 0}, None), ({"top_logprobs": 3}, 3), ({"include": ["x"]}, None),
    ({"include": ["message.output_text.logprobs"]}, 0),
    ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 2)])
def test_chances_are_asked_for_in_either_of_two_ways(fields: dict, wanted: int | None) -> None:
    assert logprobs_of(asked(**fields)) == wanted


def test_sampling_is_named_as_its_caller_named_it() -> None:
    assert sampling_of(asked(max_output_tokens=4, temperature=0, seed=7, stop="x", top_k=-1)) == Options(
        max_tokens=4, temperature=0, seed=7, stop=["x"], top_k=0)
    assert refused(sampling_of, asked(temperature=-1)) == ("invalid_request", "temperature")
    assert refused(sampling_of, asked(stop=["x"] * 17)) == ("invalid_request", "stop")
