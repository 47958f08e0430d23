"""Reasoning, calls, chances and times in the lines of the Ollama dialect."""

import json
import math

import pytest

from gateway.http.heard import Heard
from gateway.http.ollama_face import LOGPROB_MIN, OllamaFace
from gateway.protocol import CallPiece, Done, Timings, TokenLogprob, Tokens, Usage
from tests.support.fake_gateway import done

AT = "2025-01-02T03:04:05.000006Z"
ROME = {"city": "Rome"}
BOTH = pytest.mark.parametrize("chat", [True, False], ids=["chat", "generate"])


def event(text: str = "", **fields: object) -> Tokens:
    return Tokens("1", 0, [1], text, **fields)


def shown(face: OllamaFace, *events: Tokens) -> list[dict]:
    return [json.loads(line) for each in events for line in face.tokens(each, AT).splitlines()]


def whole(face: OllamaFace, *events: Tokens, end: Done | None = None) -> dict:
    heard = Heard()
    for each in events:
        heard.add(each)
    return json.loads(face.whole(heard, end or done("1"), AT))


def said(line: dict) -> dict:
    return line.get("message", line)


@BOTH
def test_reasoning_stands_beside_the_text(chat):
    face, name = OllamaFace("tiny", chat=chat), "content" if chat else "response"
    thought, text = map(said, shown(face, event(thinking="hm"), event("so")))
    assert (thought["thinking"], thought[name]) == ("hm", "") and "thinking" not in text and text[name] == "so"
    found = said(whole(face, event(thinking="h"), event(thinking="m"), event("so")))
    assert (found["thinking"], found[name]) == ("hm", "so")


@BOTH
def test_an_event_that_says_nothing_is_no_line(chat):
    assert OllamaFace("tiny", chat=chat).tokens(event(), AT) == b""


def test_a_call_is_shown_when_it_is_complete_and_has_its_arguments_as_an_object():
    face = OllamaFace("tiny", chat=True)
    pieces = [CallPiece(1, "c1", "weather", '{\n"city"'), CallPiece(0, "", "now", "{}"),
              CallPiece(1, "", "", ': "Rome"}')]
    events = [event(calls=[piece]) for piece in pieces]
    now = {"function": {"index": 0, "name": "now", "arguments": {}}}
    weather = {"id": "c1", "function": {"index": 1, "name": "weather", "arguments": ROME}}
    assert [line["message"]["tool_calls"] for line in shown(face, *events)] == [[now], [weather]]
    assert whole(face, *events)["message"]["tool_calls"] == [now, weather]
    assert whole(face, *events)["message"]["content"] == ""


@BOTH
def test_chances_are_told_in_the_names_of_ollama(chat):
    top = [TokenLogprob(1, b"a", -0.1), TokenLogprob(2, b"\xc3", -math.inf)]
    chances = [TokenLogprob(1, b"a", -0.1, top), TokenLogprob(3, "é".encode(), -2.0)]
    face, expected = OllamaFace("tiny", chat=chat), [
        {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [
            {"token": "a", "logprob": -0.1, "bytes": [97]},
            {"token": "\ufffd", "logprob": LOGPROB_MIN, "bytes": [195]}]},
        {"token": "é", "logprob": -2.0, "bytes": [195, 169]}]
    assert shown(face, event("aé", logprobs=chances))[0]["logprobs"] == expected
    assert whole(face, event("aé", logprobs=chances))["logprobs"] == expected
    assert "logprobs" not in whole(face, event("aé"))


def test_the_whole_took_no_less_time_than_its_parts():
    end = Done("1", "stop", "tiny", Usage(5, 3), Timings(0.0, 2.0, 3.0, 4.0, 8.5), "medium")
    found = whole(OllamaFace("tiny", chat=True), end=end)
    parts = found["load_duration"] + found["prompt_eval_duration"] + found["eval_duration"]
    assert found["total_duration"] == parts == 9_000_000


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("text", ["a", '"quoted"\n', "\x00\u2028 \U0001f600", "%b %d"])
def test_text_alone_looks_as_any_other_line(chat, text):
    face = OllamaFace('a "model" %b', chat=chat)
    assert face.tokens(Tokens("1", 0, [1], text), AT) == face._line(text, AT, {"done": False})
    face.model = "another"
    assert face.tokens(Tokens("1", 0, [1], text), AT) == face._line(text, AT, {"done": False})
