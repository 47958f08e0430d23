"""Chunks and objects of chat completions: reasoning, calls, chances, several choices."""

import json
import math

import pytest

from gateway.http.heard import Heard
from gateway.http.heard_choices import HeardChoices
from gateway.http.openai_face import LOGPROB_MIN, ChatCompletionFace
from gateway.http.streams import sse
from gateway.protocol import CallPiece, Done, TokenLogprob, Tokens, Usage
from tests.support.fake_gateway import TIMINGS, done, said

AT = "2025-01-02T03:04:05.000006Z"
TOP = [TokenLogprob(5, b"a", -0.5), TokenLogprob(6, b"\xc3", -math.inf)]
CHANCE = TokenLogprob(5, b"a", -0.5, TOP)
SHOWN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [
    {"token": "a", "logprob": -0.5, "bytes": [97]}, {"token": "\ufffd", "logprob": LOGPROB_MIN, "bytes": [0xC3]}]}


def make_face(**facts: bool) -> ChatCompletionFace:
    return ChatCompletionFace("chatcmpl-1", 5, **{"include_usage": False} | facts)


def choices(data: bytes) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n\n") if line.startswith("data: {")]
    return [choice for line in lines for choice in json.loads(line)["choices"]]


def heard(*events: Tokens) -> Heard:
    found = Heard()
    for event in events:
        found.add(event)
    return found


def whole(face: ChatCompletionFace, *events: Tokens, reason: str = "stop") -> dict:
    return json.loads(face.whole(heard(*events), done("1", reason=reason), AT))["choices"][0]


def test_reasoning_has_both_names_that_clients_read_and_is_no_content():
    event = Tokens("1", 0, [1], "", "hm")
    role, thought = choices(make_face().tokens(event, AT))
    assert role["delta"] == {"role": "assistant", "content": ""}
    assert thought["delta"] == {"reasoning_content": "hm", "reasoning": "hm"}
    message = whole(make_face(), event, said("so"))["message"]
    assert (message["content"], message["reasoning_content"], message["reasoning"]) == ("so", "hm", "hm")
    assert "reasoning" not in whole(make_face(), said("so"))["message"]


def test_calls_in_pieces_are_what_accumulators_put_together():
    face = make_face()
    data = b"".join(face.tokens(Tokens("1", 0, [1], "", calls=[piece]), AT) for piece in (
        CallPiece(0, "call_a", "f", '{"x":'), CallPiece(0, arguments="1}"), CallPiece(1, "call_b", "g", "{}")))
    deltas = [choice["delta"] for choice in choices(data + face.done(done("1"), AT))]
    assert deltas[1:] == [
        {"tool_calls": [{"index": 0, "id": "call_a", "type": "function",
                         "function": {"name": "f", "arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [{"index": 1, "id": "call_b", "type": "function",
                         "function": {"name": "g", "arguments": "{}"}}]},
        {}]


def test_the_reason_of_an_end_with_calls():
    event = Tokens("1", 0, [1], "", calls=[CallPiece(0, "call_a", "f", "{}")])
    for reason, shown in (("stop", "tool_calls"), ("length", "length")):
        face = make_face()
        assert choices(face.tokens(event, AT) + face.done(done("1", reason=reason), AT))[-1]["finish_reason"] == shown
        assert whole(make_face(), event, reason=reason)["finish_reason"] == shown


def test_words_beside_a_call_stay():
    call = Tokens("1", 1, [1], "", calls=[CallPiece(0, "a", "f", "{}")])
    message = whole(make_face(), said("I look."), call)["message"]
    assert message["content"] == "I look." and len(message["tool_calls"]) == 1
    assert whole(make_face())["message"]["content"] == ""


def test_chances_of_tokens():
    event = Tokens("1", 0, [5], "a", logprobs=[CHANCE])
    assert choices(make_face().tokens(event, AT))[1]["logprobs"] == {"content": [SHOWN], "refusal": None}
    assert whole(make_face(), event)["logprobs"] == {"content": [SHOWN], "refusal": None}
    bare = Tokens("1", 0, [6], "", logprobs=[TOP[1]])  # half a character has no text yet
    assert choices(make_face().tokens(bare, AT))[1]["logprobs"]["content"][0]["top_logprobs"] == []


def test_choices_have_their_places_and_each_its_role():
    face = make_face()
    face.places = {"7": 0, "8": 1}
    data = face.tokens(Tokens("8", 0, [1], "b"), AT) + face.tokens(Tokens("7", 0, [1], "a"), AT)
    data += face.ended(done("8")) + face.done(done("7"), AT)
    assert [(each["index"], each["delta"].get("content"), each["finish_reason"]) for each in choices(data)] == [
        (1, "", None), (1, "b", None), (0, "", None), (0, "a", None), (1, None, "stop"), (0, None, "stop")]


def test_choices_whole():
    found = HeardChoices({"7": 0, "8": 1}, {0: done("7"), 1: done("8", reason="length")})
    for event in (Tokens("8", 0, [1], "b"), Tokens("7", 0, [1], "a")):
        found.add(event)
    body = json.loads(make_face().whole(found, done("8"), AT))
    assert [(each["index"], each["message"]["content"], each["finish_reason"]) for each in body["choices"]] == [
        (0, "a", "stop"), (1, "b", "length")]


def test_usage_tells_what_was_kept_and_what_was_reasoning():
    end = Done("1", "stop", "tiny", Usage(10, 7, 4, 3), TIMINGS, "medium")
    usage = json.loads(make_face().whole(Heard(), end, AT))["usage"]
    assert usage == {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17,
                     "prompt_tokens_details": {"cached_tokens": 4},
                     "completion_tokens_details": {"reasoning_tokens": 3}}


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("text", ["a", '"quoted"\n', "\x00\u2028 \U0001f600", "</script>", "%b %d"])
def test_a_chunk_that_is_put_together_is_what_encoding_it_as_a_whole_gives(include_usage, text):
    face = ChatCompletionFace("chatcmpl-1", 7, include_usage=include_usage, maker='a "maker" %d')
    for face.model in ('one "model" %b', "another"):  # the name changes with who answers
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": face.model,
                "system_fingerprint": f'a "maker" %d-{face.model}'}
        choice = {"index": 3, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
        whole = sse({**base, "choices": [choice]} | ({"usage": None} if include_usage else {}))
        assert face._text(3, text) == face._delta(3, {"content": text}) == whole
