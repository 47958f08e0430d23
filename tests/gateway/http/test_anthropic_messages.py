"""Blocks of conversations: what they become, and where they are refused."""

import msgspec
import pytest

from gateway.http.anthropic_messages import AnthropicMessage, Block, read_messages
from gateway.http.errors import Problem
from gateway.protocol import Message

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
CALL = {"type": "tool_use", "id": "1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "1"}


def read(*messages: dict, system: object = None) -> list[Message]:
    return read_messages(msgspec.convert(system, str | list[Block] | None),
                         msgspec.json.decode(msgspec.json.encode(messages), type=list[AnthropicMessage]))


def user(*blocks: dict) -> dict:
    return {"role": "user", "content": blocks}


def problem_of(*messages: dict, system: object = None) -> Problem:
    with pytest.raises(Problem) as found:
        read(*messages, system=system)
    assert found.value.message.startswith(f"{found.value.param}: ")
    return found.value


@pytest.mark.parametrize("source", [{"type": "text", "media_type": "text/plain", "data": "All of it."},
                                    {"type": "content", "content": "All of it."},
                                    {"type": "content", "content": [{"type": "text", "text": "All of it."}]}])
def test_documents_of_text_become_text(source):
    document = {"type": "document", "title": "Report", "context": "of May", "source": source,
                "citations": {"enabled": True}}
    assert read(user(document, {"type": "text", "text": "Well?"})) == [
        Message("user", "Report\n\nof May\n\nAll of it.\n\nWell?")]


def test_what_a_search_found_becomes_text():
    found = {"type": "search_result", "title": "Page", "source": "https://x",
             "content": [{"type": "text", "text": "so"}]}
    assert read(user(found)) == [Message("user", "Page\n\nhttps://x\n\nso")]
    assert read(user({**RESULT, "content": [found]})) == [Message("tool", "Page\n\nhttps://x\n\nso", tool_call_id="1")]


def test_images_go_with_the_words_around_them():
    assert read(user(IMAGE, {"type": "text", "text": "what is it?"})) == [Message("user", "what is it?", ["aGk="])]
    assert read(user({**RESULT, "content": [IMAGE]})) == [Message("tool", "", ["aGk="], tool_call_id="1")]


def test_results_keep_their_places_among_words():
    call = {"role": "assistant", "content": [CALL]}
    assert [message.role for message in read(call, user({"type": "text", "text": "a"}, RESULT, RESULT,
                                                        {"type": "text", "text": "b"}))] == [
        "assistant", "user", "tool", "tool", "user"]


def test_tools_that_a_tool_has_found_become_text():
    found = [{"type": "tool_reference", "tool_name": "look"}, {"type": "tool_reference", "tool_name": "see"}]
    assert read(user({**RESULT, "content": found})) == [Message("tool", "Tool: look\n\nTool: see", tool_call_id="1")]


@pytest.mark.parametrize("content", [None, "", [], {}])
def test_a_result_may_be_empty(content):
    assert read(user({**RESULT, "content": content})) == [Message("tool", "", tool_call_id="1")]


def test_a_turn_without_blocks_is_an_empty_one():
    assert read(user(), {"role": "assistant", "content": []}) == [Message("user", ""), Message("assistant", "")]


def test_instructions_may_come_on_the_way():
    assert read(user({"type": "text", "text": "a"}), {"role": "system", "content": "Be brief."}) == [
        Message("user", "a"), Message("system", "Be brief.")]


@pytest.mark.parametrize(("kind", "source"), [
    ("image", {"type": "url", "url": "http://127.0.0.1/x.png"}), ("image", {"type": "file", "file_id": "f"}),
    ("document", {"type": "base64", "media_type": "application/pdf", "data": "aGk="}), ("document", {"type": "url"})])
def test_what_would_have_to_be_fetched_or_read_is_501(kind, source):
    problem = problem_of(user({"type": "text", "text": "a"}, {"type": kind, "source": source}))
    assert (problem.code, problem.param) == ("not_offered", "messages[0].content[1].source.type")


@pytest.mark.parametrize(("message", "param"), [
    (user(CALL), "messages[0].content[0].type"),
    ({"role": "assistant", "content": [RESULT]}, "messages[0].content[0].type"),
    ({"role": "assistant", "content": [IMAGE]}, "messages[0].content[0].type"),
    ({"role": "system", "content": [IMAGE]}, "messages[0].content[0].type"),
    (user({**RESULT, "content": [RESULT]}), "messages[0].content[0].content[0].type"),
    (user({**RESULT, "content": 3}), "messages[0].content[0].content"),
    (user({**RESULT, "content": [{"text": "a"}]}), "messages[0].content[0].content[0].type"),
    (user({"type": "tool_reference", "tool_name": "look"}), "messages[0].content[0].type"),
    (user({**RESULT, "content": [{"type": "tool_reference"}]}), "messages[0].content[0].content[0].tool_name"),
    (user({"type": "tool_result"}), "messages[0].content[0].tool_use_id"),
    (user({"type": "text"}), "messages[0].content[0].text"),
    (user({"type": "image"}), "messages[0].content[0].source"),
    (user({"type": "image", "source": "aGk="}), "messages[0].content[0].source"),
    (user({"type": "image", "source": {"type": "base64", "data": "?"}}), "messages[0].content[0].source.data"),
    (user({"type": "search_result", "source": {"type": "x"}}), "messages[0].content[0].source"),
    ({"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look"}]},
     "messages[0].content[0].input"),
    ({"role": "assistant", "content": [{**CALL, "name": ""}]}, "messages[0].content[0].name"),
])
def test_blocks_that_stand_wrong_or_lack_something_are_400_at_their_place(message, param):
    problem = problem_of(message)
    assert (problem.code, problem.param) == ("invalid_request", param)


def test_instructions_are_text():
    assert problem_of(user(), system=[{"type": "image"}]).param == "system[0].type"


@pytest.mark.parametrize("inside", [b'"\xff"', b"[" * 5000 + b"]" * 5000])
def test_content_that_cannot_be_read_is_400(inside):
    block = Block("tool_result", content=msgspec.Raw(inside), tool_use_id="1")
    with pytest.raises(Problem) as found:
        read_messages(None, [AnthropicMessage("user", [block])])
    assert (found.value.code, found.value.param.split(".")[0]) == ("invalid_request", "messages[0]")
