"""The relay to the Victoria agent: the goal and its history, and which of her events are the answer."""

import pytest

from tests.support.relay_calls import LIMITS, chat, hear, probe, prompt
from tests.support.relay_fixtures import victoria
from workers.engine import EngineJob
from workers.job_parts import NONE, Extras, Tool
from workers.protocol import ChatMessage, Remote
from workers.relay import UpstreamFailed
from workers.relay_victoria import VictoriaServer, read_event, request_of, text_of

__all__ = ["victoria"]


def server(upstream):
    return VictoriaServer(upstream.url, "", LIMITS)


def asked(*messages, **remote):
    return request_of(EngineJob((1, 1, 1), list(messages), remote=Remote("victoria", 1, "req-9", **remote)))


def test_the_last_message_is_the_goal_and_what_came_before_it_the_history():
    body = asked(ChatMessage("system", "be kind"), ChatMessage("user", "hello"), ChatMessage("assistant", "hi"),
                 ChatMessage("user", "book a table"))
    assert body["goal"] == "book a table"
    assert body["chat_history"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"},
                                    {"role": "assistant", "content": "hi"}]


def test_a_prompt_is_a_goal_without_history():
    body = request_of(prompt("book a table"))
    assert (body["goal"], body["chat_history"]) == ("book a table", [])


def test_session_and_steps_are_told_and_the_session_of_a_single_request_is_its_own():
    assert asked(ChatMessage("user", "x"), session="s-1", max_steps=4) == {
        "goal": "x", "session_id": "s-1", "chat_history": [], "max_steps": 4}
    body = asked(ChatMessage("user", "x"))
    assert body["session_id"] == "req-9" and "max_steps" not in body


def test_only_chunks_are_the_answer_and_her_steps_are_shown(victoria):
    victoria.be(steps=["step: looking for tables", "progress: 50 %", "step: found one"])
    heard = hear(server(victoria), chat("book a table"))
    assert heard.text == "one two three" and heard.failed is None
    assert heard.asides == [("start", "book a table"), ("step", "looking for tables"), ("progress", "50 %"),
                            ("step", "found one")]
    assert (heard.end.reason, heard.end.prompt_tokens, heard.end.completion_tokens) == ("stop", 0, 0)
    request = victoria.wait_asked()
    assert (request["path"], request["headers"]["accept"]) == ("/stream", "text/event-stream")


def test_unicode_comes_through_whole(victoria):
    words = ["日本語 ", "😀👩‍👩‍👧‍👦", "line\nbreak\r\n", "data: {}"]
    victoria.be(words=words)
    assert hear(server(victoria), chat("שלום")).text == "".join(words)
    assert victoria.wait_asked()["body"]["goal"] == "שלום"


def test_her_sign_of_life(victoria):
    assert probe(server(victoria)) == ["victoria"]
    victoria.be(probe="status", status=503)
    with pytest.raises(UpstreamFailed, match="victoria answered 503"):
        probe(server(victoria))


def test_a_page_instead_of_events_is_no_answer(victoria):
    victoria.be(mode="wrong_api")
    heard = hear(server(victoria), chat("hello"))
    assert heard.parts == []


@pytest.mark.parametrize("line", [b"data:", b"data: ", b"data: []", b'data: {"content": "no type"}', b"data: {no",
                                  b'data: {"type": 5}', b"data: \xff", b'data: {"type": "chunk", "content": "\xff"}',
                                  b'data: {"type": "chunk", "content": ' + b"[" * 100_000],
                         ids=lambda line: line[:40].decode("latin-1"))
def test_an_event_of_another_shape_is_a_failure(line):
    with pytest.raises(UpstreamFailed, match="not her API") as failed:
        read_event(line)
    assert failed.value.code == "upstream_failed"


def test_events_of_kinds_that_nobody_knows_do_not_matter():
    assert read_event(b'data: {"type": "thought", "content": {"a": 1}, "more": 2}').type == "thought"


@pytest.mark.parametrize(("content", "text"), [
    ("words", "words"), (None, ""), ({"a": "é"}, '{"a": "é"}'), ([1, 2], "[1, 2]"), (5, "5"), ("", ""),
])
def test_content_is_text_whatever_it_is(content, text):
    assert text_of(content) == text


def test_content_that_is_nested_too_deeply_to_be_written_is_a_failure():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(UpstreamFailed, match="not her API"):
        text_of(nested)


@pytest.mark.parametrize(("fields", "extras", "named"), [
    ({}, {"tools": [Tool("f")]}, "tools"), ({}, {"schema": True}, "schema"), ({}, {"logprobs": 0}, "logprobs"),
    ({}, {"logit_bias": {1: 1.0}}, "logit_bias"), ({}, {"template": "{{ .Prompt }}"}, "template"),
    ({"messages": None, "prompt": "a"}, {"suffix": "b"}, "suffix"), ({"messages": None, "tokens": [1]}, {}, "tokens"),
    ({"messages": None, "inputs": ["a"]}, {}, "inputs"),
])
def test_she_is_given_text_alone(fields, extras, named):
    given = {"messages": [ChatMessage("user", "x")]} | fields
    with pytest.raises(UpstreamFailed, match=f"^{named}: victoria") as failed:
        request_of(EngineJob((1, 1, 1), remote=Remote("victoria", 1, "r"), extras=Extras(**extras), **given))
    assert (failed.value.code, failed.value.is_its_fault) == ("not_offered", False)


def test_what_asks_for_no_more_than_words_is_hers():
    extras = Extras(tools=[Tool("f")], tool_choice=NONE, think=True, truncate=True, num_ctx=2048)
    job = EngineJob((1, 1, 1), [ChatMessage("user", "x")], remote=Remote("victoria", 1, "r"), extras=extras)
    assert request_of(job)["goal"] == "x"
