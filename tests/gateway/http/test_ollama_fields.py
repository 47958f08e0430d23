"""The fields of the Ollama dialect: what reaches the gateway, what counts as not asked, and what is refused by name."""

import msgspec
import pytest

from gateway import protocol
from gateway.http.errors import Problem
from gateway.http.fields import HONOURED, IGNORED
from gateway.http.ollama_fields import (
    ASKS,
    ChatRequest,
    OllamaMessage,
    asked_of_the_answer,
    messages_of,
    read_options,
    schema_of,
    think_of,
    tools_of,
)
from gateway.protocol import Submit

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
NOT_ASKED = ["", "null", '""', "[]", "{}", " [ ] "]


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def asked(**fields: object) -> dict:
    return asked_of_the_answer(msgspec.json.decode(raw({"messages": HI} | fields), type=ChatRequest))


def test_options_arrive_in_our_names(http, gateway):
    http.post("/api/chat", json={"messages": HI, "options": {
        "num_predict": 7, "temperature": 0, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "seed": 42, "stop": ["\n", ""],
        "repeat_penalty": 1.1, "repeat_last_n": 32, "presence_penalty": 0.5, "frequency_penalty": 0.25,
        "num_ctx": 8192, "num_keep": 24}})
    assert gateway.wait_for(Submit).options == protocol.Options(
        max_tokens=7, temperature=0, top_k=40, top_p=0.9, min_p=0.05, seed=42, stop=["\n"], repeat_penalty=1.1,
        repeat_last_n=32, presence_penalty=0.5, frequency_penalty=0.25, num_ctx=8192, num_keep=24)


@pytest.mark.parametrize(("given", "field", "expected"), [
    ({"num_predict": -1}, "max_tokens", None), ({"num_predict": -2}, "max_tokens", None),
    ({"num_predict": 0}, "max_tokens", None), ({"seed": -1}, "seed", None), ({"seed": 0}, "seed", 0),
    ({"stop": "END"}, "stop", ["END"]), ({"stop": None}, "stop", []), ({"num_ctx": 0}, "num_ctx", None),
    ({"num_keep": -1}, "num_keep", None), ({"num_ctx": 8192.0}, "num_ctx", 8192), ({"seed": 7.0}, "seed", 7),
    ({"top_k": None}, "top_k", None), ({"top_k": -1}, "top_k", 0), ({"top_k": 0}, "top_k", 0),
    ({"temperature": 1}, "temperature", 1.0),
])
def test_special_values_of_options(given, field, expected):
    options, unknown = read_options(raw(given))
    assert getattr(options, field) == expected and unknown == []


def test_names_that_nobody_knows_are_told_and_those_of_other_engines_are_not():
    _, unknown = read_options(raw({"num_gpu": 1, "mirostat": "2", "typical_p": [], "b": 1, "a": {}, "top_k": 1}))
    assert unknown == ["a", "b"]


@pytest.mark.parametrize("blank", NOT_ASKED)
def test_what_is_blank_is_not_asked(blank):
    given = msgspec.Raw(blank.encode())
    assert (schema_of(given), think_of(given), tools_of(given)) == (None, None, [])
    assert read_options(given) == (protocol.Options(stop=[]), [])


@pytest.mark.parametrize("extra", [
    {"format": ""}, {"format": None}, {"tools": None}, {"tools": []}, {"think": None}, {"options": None},
    {"keep_alive": "5m"}, {"keep_alive": -1}, {"keep_alive": 0}, {"stream": None}, {"keep_alive": "1h30m0.5s"},
    {"keep_alive": "-1"}, {"keep_alive": ".5h"}, {"keep_alive": "-5m"}, {"keep_alive": 2.5}, {"keep_alive": ""},
    {"truncate": None, "shift": None, "logprobs": None, "top_logprobs": None, "category": None},
    {"messages": [{"role": "user", "content": "hi", "images": [], "tool_calls": None, "thinking": None}]},
    {"messages": [{"role": "user", "content": None, "tool_calls": [], "tool_name": "", "tool_call_id": ""}]},
])
def test_empty_fields_count_as_absent(http, gateway, extra):
    assert http.post("/api/chat", json={"messages": HI} | extra).status_code == 200
    submit = gateway.wait_for(Submit)
    assert (submit.schema, submit.think, submit.tools, submit.logprobs, submit.template) == (None, None, [], None, "")
    assert submit.truncate and not submit.shift and submit.suffix is None


def test_a_format_is_json_or_a_schema():
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    assert asked(format="json")["schema"] == {"type": "object"} and asked(format=schema)["schema"] == schema


def test_who_writes_another_word_is_told_those_that_there_are(http):
    for field, wrong, words in (("messages", [{"role": "wizard"}], "assistant, developer, system, tool, user"),
                                ("think", "very", "true, false, high, low, medium")):
        said = http.post("/api/chat", json={"messages": HI} | {field: wrong}).json()["error"]
        assert said.endswith(f"; it must be one of {words}"), said


@pytest.mark.parametrize("think", [True, False, "low", "medium", "high"])
def test_think(think):
    assert asked(think=think)["think"] == think


@pytest.mark.parametrize(("given", "expected"), [
    ({}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 3}, 3), ({"top_logprobs": 3}, None),
    ({"logprobs": False, "top_logprobs": 3}, None),
])
def test_logprobs(given, expected):
    assert asked(**given)["logprobs"] == expected


@pytest.mark.parametrize(("given", "truncate", "shift"), [
    ({}, True, False), ({"truncate": False, "shift": True}, False, True), ({"truncate": True, "shift": False}, True,
                                                                          False)])
def test_a_prompt_that_is_too_long_is_cut_unless_asked_otherwise(given, truncate, shift):
    found = asked(**given)
    assert (found["truncate"], found["shift"]) == (truncate, shift)


def test_a_conversation_with_calls_and_reasoning():
    said = [{"role": "assistant", "thinking": "hm", "tool_calls": [
                {"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}}]},
            {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "c1"},
            {"role": "tool", "content": "sunny", "name": "weather"}]
    call = protocol.ToolCall("weather", '{"city":"Rome"}', "c1")
    assert messages_of(msgspec.json.decode(raw(said), type=list[OllamaMessage])) == [
        protocol.Message("assistant", "", tool_calls=[call], thinking="hm"),
        protocol.Message("tool", "sunny", name="weather", tool_call_id="c1"),
        protocol.Message("tool", "sunny", name="weather")]


@pytest.mark.parametrize(("path", "body", "field"), [
    ("/api/chat", {"messages": "hi"}, "messages"),
    ("/api/chat", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ("/api/chat", {"messages": [{"role": "wizard", "content": ""}]}, "messages[0].role"),
    ("/api/chat", {"messages": [{"role": "tool", "tool_name": 5}]}, "messages[0].tool_name"),
    ("/api/chat", {"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls: "),
    ("/api/chat", {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 5}}]}]},
     "messages[0].tool_calls[0].function.name: "),
    ("/api/chat", {"messages": HI, "model": 3}, "model"), ("/api/chat", {"messages": HI, "stream": "yes"}, "stream"),
    ("/api/chat", {"messages": HI, "options": {"temperature": "hot"}}, "options.temperature"),
    ("/api/chat", {"messages": HI, "options": {"temperature": 11}}, "options.temperature"),
    ("/api/chat", {"messages": HI, "options": {"num_ctx": 5.5}}, "options.num_ctx"),
    ("/api/chat", {"messages": HI, "options": {"seed": 10**20}}, "options.seed"),
    ("/api/chat", {"messages": HI, "options": {"stop": [1]}}, "options.stop"),
    ("/api/chat", {"messages": HI, "options": 5}, "options: "),
    ("/api/chat", {"messages": HI, "options": [5]}, "options: "),
    ("/api/chat", {"messages": HI, "format": "xml"}, "format: "),
    ("/api/chat", {"messages": HI, "format": 5}, "format: "),
    ("/api/chat", {"messages": HI, "think": "very"}, "think: "),
    ("/api/chat", {"messages": HI, "think": 1}, "think: "),
    ("/api/chat", {"messages": HI, "tools": "weather"}, "tools: "),
    ("/api/chat", {"messages": HI, "tools": [{"type": "function"}]}, "tools[0].function: "),
    ("/api/chat", {"messages": HI, "tools": [{"function": {"name": 5}}]}, "tools[0].function.name: "),
    ("/api/chat", {"messages": HI, "logprobs": 1}, "logprobs: "),
    ("/api/chat", {"messages": HI, "top_logprobs": 21}, "top_logprobs: "),
    ("/api/chat", {"messages": HI, "truncate": "no"}, "truncate: "),
    *(("/api/chat", {"messages": HI, "keep_alive": text}, "keep_alive: ") for text in ("banana", "5 m", "m", "5mx")),
    ("/api/chat", {"keep_alive": 0}, "model: "),
    ("/api/generate", {"keep_alive": "soon"}, "keep_alive: "),
    ("/api/generate", {"prompt": ["hi"]}, "prompt"), ("/api/generate", {"prompt": "hi", "raw": 1}, "raw"),
    ("/api/generate", {"prompt": "hi", "suffix": 1}, "suffix"),
])
def test_wrong_types_are_400_and_name_the_field(http, gateway, path, body, field):
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(field), response.text
    assert not gateway.all(Submit)


def test_a_number_out_of_range_is_400_and_names_the_option(http):
    body = b'{"messages": [{"role": "user", "content": "hi"}], "options": {"made_up": 1e999, "temperature": 1e999}}'
    response = http.post("/api/chat", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400 and response.json()["error"].startswith("options.temperature: ")


def test_a_schema_nested_without_end_is_refused():
    schema: dict = {}
    for _ in range(100):
        schema = {"items": schema}
    with pytest.raises(Problem, match=r"format: is nested deeper"):
        schema_of(raw(schema))


def test_what_is_declared_is_what_the_structs_hold():
    for asks in ASKS:
        fields = {field.where: field.verdict for field in asks.fields()}
        assert fields["options.num_gpu"] == IGNORED and fields["options.num_ctx"] == HONOURED
        assert asks.notes.keys() <= fields.keys(), asks.notes.keys() - fields.keys()
