"""The faces, byte by byte: what clients' parsers trip over."""

import json

import pytest

from gateway.http.ollama_face import OllamaFace
from gateway.http.openai_face import ChatCompletionFace
from gateway.protocol import Progress
from tests.support.fake_gateway import done, said

AT = "2025-01-02T03:04:05.000006Z"
ODD = 'new\nline, "quote", \\, \u2028, ünï, 😀, \x00'
WAIT = Progress("1", 3, "loading", 12.0, 0.25, "waits for a:\nit answers")


def faces():
    return [OllamaFace("tiny", chat=True), OllamaFace("tiny", chat=False),
            ChatCompletionFace("chatcmpl-1", 5, include_usage=True),
            ChatCompletionFace("chatcmpl-1", 5, include_usage=False)]


def content_of(data: bytes) -> str:
    found = ""
    for line in data.decode().split("\n"):
        if line.startswith(("{", "data: {")):
            value = json.loads(line.removeprefix("data: "))
            if "choices" in value:
                found += "".join(choice["delta"].get("content", "") for choice in value["choices"])
            else:
                found += value["message"]["content"] if "message" in value else value["response"]
    return found


@pytest.mark.parametrize("face", faces(), ids=["chat", "generate", "openai with usage", "openai"])
class TestEveryFace:
    def test_any_text_stays_one_line_or_event_and_comes_back(self, face):
        data = face.tokens(said(ODD), AT)
        assert content_of(data) == ODD
        assert data.endswith(b"\n\n" if face.media_type.startswith("text/event") else b"}\n")

    def test_there_is_never_a_blank_ndjson_line(self, face):
        data = face.waiting(WAIT, AT) + face.waiting(None, AT) + face.tokens(said("a"), AT) + face.done(done("1"), AT)
        if face.media_type == "application/x-ndjson":
            assert all(json.loads(line) for line in data.decode().removesuffix("\n").split("\n"))
        else:
            assert all(event.startswith((": ", "data: ")) for event in data.decode().removesuffix("\n\n").split("\n\n"))

    def test_an_error_is_no_clean_end(self, face):
        data = face.error("internal", "broken")
        assert b"broken" in data and b"[DONE]" not in data and b'"done"' not in data


def test_waiting_says_position_reason_and_estimate():
    line = json.loads(OllamaFace("tiny", chat=True).waiting(WAIT, AT))
    assert line == {"model": "tiny", "created_at": AT, "message": {"role": "assistant", "content": ""}, "done": False,
                    "queue_position": 3, "reason": "loading", "estimate_s": 12.0, "load_progress": 0.25,
                    "detail": "waits for a:\nit answers"}
    face = ChatCompletionFace("1", 5, include_usage=False)
    assert face.waiting(WAIT, AT) == (
        b": queued position=3 reason=loading estimate_s=12 load_progress=0.25 detail=waits for a: it answers\n\n")
    assert face.waiting(Progress("1", 3, "queued", 2.5), AT) == (
        b": queued position=3 reason=queued estimate_s=2.5 load_progress=0\n\n")
    assert face.waiting(None, AT) == b": waiting\n\n"


def test_a_sign_of_life_in_mid_answer_is_an_empty_piece():
    assert json.loads(OllamaFace("tiny", chat=False).waiting(None, AT)) == {
        "model": "tiny", "created_at": AT, "response": "", "done": False}


def test_an_answer_without_a_token_still_names_the_role():
    data = ChatCompletionFace("1", 5, include_usage=False).done(done("1", 0), AT).decode()
    assert data.index('"role":"assistant"') < data.index('"finish_reason":"stop"') < data.index("[DONE]")
