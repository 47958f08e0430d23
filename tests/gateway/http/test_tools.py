"""Tools, choices, calls and schemas of requests: what arrives, and what is refused by which name."""

import json

import pytest

from gateway.http.errors import Problem
from gateway.http.tools import (
    DEPTH_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    JSON_OBJECT,
    NAME_MAX_CHARS,
    AllowedTools,
    Called,
    Choice,
    ChosenTool,
    Function,
    FunctionCall,
    FunctionTool,
    Name,
    arguments_object,
    arguments_text,
    check_depth,
    check_tools,
    choose,
    function_calls,
    function_tools,
    make_tool,
    response_schema,
    think_of_effort,
)
from gateway.protocol import TOOLS_MAX, Tool, ToolCall

TOOLS = [Tool("weather"), Tool("time")]


def nested(depth: int) -> dict:
    value: dict = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def refused(field: str, code: str = "invalid_request"):
    """Raises a Problem of that code whose message begins with the field that it names."""
    return pytest.raises(Problem, match=f"^{code}: {field.replace('[', '.').replace(']', '.').replace('$', '.')}: ")


def test_a_tool_of_a_request():
    schema = {"type": "object", "properties": {"a": {}}}
    assert function_tools([FunctionTool(function=Function("f", "does", schema, True)),
                           FunctionTool(function=Function("g"))]) == [Tool("f", "does", schema, True), Tool("g")]
    assert function_tools(None) == function_tools([]) == []
    assert make_tool("tools[0]", "mcp__files.read/x-1", None, None) == Tool("mcp__files.read/x-1")


@pytest.mark.parametrize(("tool", "field", "code"), [
    (FunctionTool(), "tools[0].function", "invalid_request"),
    (FunctionTool("web_search"), "tools[0].type", "not_offered"),
    (FunctionTool(function=Function("")), "tools[0].function.name", "invalid_request"),
    (FunctionTool(function=Function("a b")), "tools[0].function.name", "invalid_request"),
    (FunctionTool(function=Function("a" * (NAME_MAX_CHARS + 1))), "tools[0].function.name", "invalid_request"),
    (FunctionTool(function=Function("a", parameters={"type": "string"})), "tools[0].function.parameters",
     "invalid_request"),
    (FunctionTool(function=Function("a", parameters=nested(DEPTH_MAX + 1))), "tools[0].function.parameters",
     "invalid_request")])
def test_a_tool_that_is_none_is_refused_by_its_place(tool, field, code):
    with refused(field, code) as caught:
        function_tools([tool])
    assert (caught.value.code, caught.value.param) == (code, field)


@pytest.mark.parametrize("kind", [None, "", "function"])
def test_a_tool_without_a_type_is_a_function(kind):
    assert [tool.name for tool in function_tools([FunctionTool(kind, Function("f"))])] == ["f"]


def test_too_many_tools_or_two_of_one_name_are_refused():
    with refused("tools"):
        check_tools([Tool(f"t{number}") for number in range(TOOLS_MAX + 1)])
    with refused("tools[1]"):
        check_tools([Tool("a"), Tool("a")])


@pytest.mark.parametrize(("given", "choice"), [
    (None, "auto"), ("", "auto"), ("auto", "auto"), ("none", "none"), ("required", "required"),
    (Choice(function=Name("time")), "=time"), (Choice(name="time"), "=time")])
def test_a_choice_of_tools(given, choice):
    assert choose(given, TOOLS) == (TOOLS, choice)


@pytest.mark.parametrize("given", [
    Choice("allowed_tools", allowed_tools=AllowedTools("required", [ChosenTool(function=Name("time"))])),
    Choice("allowed_tools", mode="required", tools=[ChosenTool(name="time")])])
def test_some_of_the_tools_may_be_allowed(given):
    assert choose(given, TOOLS) == ([Tool("time")], "required")


@pytest.mark.parametrize(("given", "tools", "code"), [
    ("any", TOOLS, "invalid_request"), ("required", [], "invalid_request"),
    (Choice(name="x"), TOOLS, "invalid_request"),
    (Choice(), TOOLS, "invalid_request"), (Choice(name="x"), [], "invalid_request"),
    (Choice("custom", name="time"), TOOLS, "not_offered")])
def test_a_choice_that_cannot_be_is_refused(given, tools, code):
    with pytest.raises(Problem, match="tool_choice") as caught:
        choose(given, tools)
    assert caught.value.code == code


def test_calls_of_a_conversation():
    assert function_calls([FunctionCall(Called("f", '{"a": 1}'), "call_1", "function"),
                           FunctionCall(Called("g", {"b": 2})), FunctionCall(Called("h"))], "x") == [
        ToolCall("f", '{"a": 1}', "call_1"), ToolCall("g", '{"b":2}'), ToolCall("h", "{}")]
    assert function_calls(None, "x") == []


@pytest.mark.parametrize(("call", "field"), [
    (FunctionCall(), "m[0].function"), (FunctionCall(Called("")), "m[0].function.name"),
    (FunctionCall(Called("f", "[1]")), "m[0].function.arguments"),
    (FunctionCall(Called("f", "{")), "m[0].function.arguments"),
    (FunctionCall(Called("f", json.dumps(nested(DEPTH_MAX + 1)))), "m[0].function.arguments"),
    (FunctionCall(Called("f", '{"a":' * 100_000)), "m[0].function.arguments")])
def test_a_call_that_is_none_is_refused_by_its_place(call, field):
    with refused(field):
        function_calls([call], "m")


def test_arguments_there_and_back():
    given = {"a": [1, {"b": None}], "c": "\u00fc"}
    assert arguments_object(arguments_text(given, "x")) == given
    assert {arguments_text(blank, "x") for blank in (" ", "null", " [] ", None)} == {"{}"}
    assert arguments_object("") == {}


@pytest.mark.parametrize(("kind", "schema", "found"), [
    ("text", None, None), ("", None, None), ("json_object", None, JSON_OBJECT), ("json_object", {"a": 1}, {"a": 1}),
    ("json_schema", {"a": 1}, {"a": 1}), ("json_schema", True, True)])
def test_the_schema_of_an_answer(kind, schema, found):
    assert response_schema(kind, schema, "f") == found


def test_a_format_without_its_schema_or_of_no_known_kind_is_refused():
    with refused("f"):
        response_schema("json_schema", None, "f")
    with refused("f.type"):
        response_schema("xml", None, "f")
    with refused("f"):
        response_schema("json_schema", nested(DEPTH_MAX + 1), "f")


def test_what_is_nested_as_deep_as_may_be_passes():
    assert check_depth(nested(DEPTH_MAX), "x") == nested(DEPTH_MAX)


@pytest.mark.parametrize("number", [INTEGER_MAX + 1, INTEGER_MIN - 1, 10**30])
def test_an_integer_that_no_message_can_carry_is_refused(number):
    with refused("x"):
        check_depth({"properties": {"a": {"maximum": number}}}, "x")
    assert check_depth([INTEGER_MIN, INTEGER_MAX, True, 1e300], "x")


def test_efforts():
    assert [think_of_effort(each) for each in (None, "", "none", "minimal", "high", "xhigh")] == [
        None, None, False, "low", "high", "high"]
    with refused("reasoning_effort"):
        think_of_effort("much")
