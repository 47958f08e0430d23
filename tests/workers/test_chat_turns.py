"""workers/chat_turns.py: calls find their results, tools told in words, other ways of putting a conversation."""

import json

import pytest

from workers.chat_turns import (
    SHORT_ID_CHARS,
    link_calls,
    read_arguments,
    tell_tools,
    turns_in_words,
    turns_with_tools,
    variants,
)
from workers.job_parts import NONE, REQUIRED, Extras, Tool, ToolCall
from workers.protocol import ChatMessage

SYSTEM, ASK = ChatMessage("system", "Be kind."), ChatMessage("user", "Weather?")
DEEP = "[" * 100_000


def calling(*names, ids=None):
    return ChatMessage("assistant", "", tool_calls=[ToolCall(name, '{"city": "Paris"}', (ids or {}).get(name, ""))
                                                    for name in names])


def result(content="sunny", **said):
    return ChatMessage("tool", content, **said)


def test_results_find_their_calls_by_id_by_name_and_by_order():
    _, by_id, by_name, by_order = link_calls([
        calling("f", "g", "h", ids={"g": "abc"}), result(tool_call_id="abc"), result(name="h"), result()])
    assert (by_id.name, by_name.name, by_order.name) == ("g", "h", "f")
    assert by_id.tool_call_id == "abc" and by_name.tool_call_id and by_order.tool_call_id
    assert len({by_id.tool_call_id, by_name.tool_call_id, by_order.tool_call_id}) == 3


def test_a_result_without_a_call_stays_as_it_is():
    assert link_calls([result(), result(tool_call_id="x")]) == [result(), result(tool_call_id="x")]


@pytest.mark.parametrize(("text", "found"), [
    ('{"a": 1}', {"a": 1}), ("[1]", "[1]"), ("no", "no"), ("", ""), (DEEP, DEEP)])
def test_arguments_are_an_object_or_stay_text(text, found):
    assert read_arguments(text) == found


def test_turns_for_a_template_that_knows_tools():
    messages = link_calls([SYSTEM, ASK, calling("f"), result(), ChatMessage("assistant", "sunny", thinking="hm")])
    _, _, call, answer, said = turns_with_tools(messages)
    [made] = call["tool_calls"]
    assert made["function"] == {"name": "f", "arguments": {"city": "Paris"}}
    assert (answer["role"], answer["name"], answer["tool_call_id"]) == ("tool", "f", made["id"])
    assert said == {"role": "assistant", "content": "sunny", "reasoning_content": "hm", "thinking": "hm"}


def test_turns_in_words():
    told = tell_tools(Extras(tools=[Tool("f", "does f", {"type": "object"})]))
    system, ask, call, answer = turns_in_words(link_calls([SYSTEM, ASK, calling("f"), result()]), told)
    assert system["content"] == f"Be kind.\n\n{told}" and ask["content"] == "Weather?"
    assert call["content"] == '<tool_call>{"name": "f", "arguments": {"city": "Paris"}}</tool_call>'
    assert answer == {"role": "user", "content": "Result of f:\nsunny"}
    assert turns_in_words([ASK], told)[0] == {"role": "system", "content": told}
    assert turns_in_words([ASK], "") == [{"role": "user", "content": "Weather?"}]


def test_tools_are_told_as_json_and_only_if_they_may_be_called():
    tools = [Tool("f", "does f", {"type": "object", "properties": {"ü": {}}}), Tool("g")]
    lines = tell_tools(Extras(tools=tools)).splitlines()
    assert [json.loads(line)["name"] for line in lines[1:3]] == ["f", "g"] and "ü" in lines[1]
    assert tell_tools(Extras()) == tell_tools(Extras(tools=tools, tool_choice=NONE)) == ""
    assert "Call one of them now" in tell_tools(Extras(tools=tools, tool_choice=REQUIRED))
    assert "Call the function g now" in tell_tools(Extras(tools=tools, tool_choice="=g"))
    assert "one call at a time" in tell_tools(Extras(tools=tools, parallel_tools=False))


def roles(turns):
    return [turn["role"] for turn in turns]


def test_the_first_variant_is_the_conversation_as_it_is():
    turns = turns_with_tools([ASK])
    assert list(variants(turns)) == [turns]


def test_the_other_variants_change_one_thing_each_then_all():
    turns = turns_with_tools(link_calls([
        SYSTEM, ChatMessage("developer", "Be brief."), ASK, ASK, calling("f", ids={"f": "call_of_thirty_characters"}),
        result(), ChatMessage("assistant", "sunny", thinking="hm")]))
    first, text, ids, unthinking, system, no_system, merged, everything = variants(turns)
    assert first is turns
    assert text[4]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'
    short = ids[4]["tool_calls"][0]["id"]
    assert len(short) == SHORT_ID_CHARS and short.isalnum() and ids[5]["tool_call_id"] == short
    assert "thinking" in turns[6] and not {"thinking", "reasoning_content"} & unthinking[6].keys()
    assert roles(system)[:2] == ["system", "system"]
    assert roles(no_system)[0] == "user" and no_system[0]["content"] == "Be kind.\n\nBe brief.\n\nWeather?"
    assert roles(merged) == ["system", "developer", "user", "assistant", "tool", "assistant"]
    assert roles(everything) == ["user", "assistant", "tool", "assistant"]


def test_without_a_user_the_system_becomes_one():
    assert [roles(put) for put in variants(turns_with_tools([SYSTEM]))] == [["system"], ["user"]]
