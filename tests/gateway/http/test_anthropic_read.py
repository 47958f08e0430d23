"""Wishes of Anthropic's dialect in our words: tools, choices, reasoning, the schema of the answer."""

import msgspec
import pytest

from gateway.http.anthropic_read import MessagesAsked, choice_of, schema_of, think_of, tools_of
from gateway.http.errors import Problem
from gateway.protocol import Tool

LOOK = {"name": "look", "input_schema": {"type": "object"}}


def asked(**fields: object) -> MessagesAsked:
    return msgspec.convert({"max_tokens": 1, "messages": [{"role": "user", "content": "hi"}], **fields}, MessagesAsked)


def problem_of(read, *args: object, **fields: object) -> Problem:
    with pytest.raises(Problem) as found:
        read(asked(**fields), *args)
    assert found.value.message.startswith(f"{found.value.param}")
    return found.value


def test_tools_of_the_caller():
    see = {**LOOK, "name": "see", "type": "custom", "description": "d", "strict": True}
    assert tools_of(asked(tools=[LOOK, see])) == [
        Tool("look", "", {"type": "object"}), Tool("see", "d", {"type": "object"}, True)]


@pytest.mark.parametrize(("tool", "code", "param"), [
    ({"type": "web_search_20250305", "name": "web_search"}, "not_offered", "tools[0].type"),
    ({"type": "text_editor_20250728", "name": "edit"}, "not_offered", "tools[0].type"),
    ({"name": "look"}, "invalid_request", "tools[0].input_schema"),
    ({"name": "look", "input_schema": {"type": "string"}}, "invalid_request", "tools[0].input_schema"),
    ({"name": "look me", "input_schema": {}}, "invalid_request", "tools[0].name"),
    ({"input_schema": {}}, "invalid_request", "tools[0].name")])
def test_tools_that_are_none_are_refused(tool, code, param):
    problem = problem_of(tools_of, tools=[tool])
    assert (problem.code, problem.param) == (code, param)


@pytest.mark.parametrize(("choice", "wish"), [
    (None, ("auto", True)), ({"type": "auto"}, ("auto", True)), ({"type": "any"}, ("required", True)),
    ({"type": "none"}, ("none", True)), ({"type": "tool", "name": "look"}, ("=look", True)),
    ({"type": "auto", "disable_parallel_tool_use": True}, ("auto", False))])
def test_choices(choice, wish):
    assert choice_of(asked(tool_choice=choice), [Tool("look")]) == wish


@pytest.mark.parametrize(("choice", "tools", "param"), [
    ({"type": "any"}, [], "tool_choice.type"), ({"type": "required"}, [Tool("look")], "tool_choice.type"),
    ({"type": "tool", "name": "see"}, [Tool("look")], "tool_choice.name"),
    ({"type": "tool"}, [Tool("look")], "tool_choice.name")])
def test_choices_that_cannot_be_made(choice, tools, param):
    assert problem_of(choice_of, tools, tool_choice=choice).param == param


@pytest.mark.parametrize(("thinking", "effort", "think"), [
    (None, None, False), ({"type": "disabled"}, "high", False), ({"type": "adaptive"}, "low", "low"),
    ({"type": "enabled", "budget_tokens": 2048}, None, True), ({"type": "adaptive", "display": "omitted"}, None, True),
    ({"type": "enabled"}, "max", "high"), ({"type": "adaptive"}, "xhigh", "high"), (None, "high", False)])
def test_who_does_not_ask_for_thinking_gets_none(thinking, effort, think):
    assert think_of(asked(thinking=thinking, output_config={"effort": effort})) == think


@pytest.mark.parametrize(("fields", "param"), [
    ({"thinking": {"type": "on"}}, "thinking.type"), ({"output_config": {"effort": "huge"}}, "output_config.effort")])
def test_wrong_wishes_for_thinking(fields, param):
    assert problem_of(think_of, **fields).param == param


SHAPE = {"type": "json_schema", "schema": {"type": "array"}}


@pytest.mark.parametrize(("fields", "found"), [
    ({}, None), ({"output_config": {"format": None}}, None), ({"output_format": {}}, None),
    ({"output_config": {"format": SHAPE}}, "output_config.format.schema"),
    ({"output_format": SHAPE}, "output_format.schema"),
    ({"output_format": {}, "output_config": {"format": SHAPE}}, "output_config.format.schema")])
def test_the_schema_of_the_answer(fields, found):
    schema, field = schema_of(asked(**fields))
    assert (schema, field if schema else None) == (SHAPE["schema"] if found else None, found)


@pytest.mark.parametrize("shape", [{"type": "json_schema"}, {"type": "grammar"}])
def test_formats_that_are_none(shape):
    assert problem_of(schema_of, output_config={"format": shape}).param.startswith("output_config.format")
