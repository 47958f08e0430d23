"""bench/dialects.py: answers in any pieces, what ends them, and what is asked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import dialects
from bench.dialects import DIALECTS, BrokenStream, OllamaAnswer, OpenAIAnswer, error_words, first_model
from bench.records import Ask
from tests.support.wire import DONE, LAST, ROLE, USAGE, WHOLE, event, line, text

OLLAMA_WHOLE = line("a") + line("b") + line("", thinking="") + line("cd") + line("", done=True, eval_count=7)


def fed(*pieces: bytes) -> OpenAIAnswer:
    answer = OpenAIAnswer()
    for now_s, piece in enumerate(pieces):
        answer.feed(piece, float(now_s))
    return answer


class TestAnswer:
    def test_first_text_gaps_and_usage(self):
        answer = fed(ROLE, b": waiting\n\n", text("a"), text("b"), text("cd"), LAST, USAGE, DONE)
        assert (answer.first_s, answer.gaps_s, answer.tokens, answer.by_usage) == (2.0, [1.0, 1.0], 7, True)
        assert answer.ended

    @given(cuts=st.sets(st.integers(1, len(WHOLE) - 1)))
    def test_any_pieces_are_the_same_answer(self, cuts):
        points = [0, *sorted(cuts), len(WHOLE)]
        answer = fed(*(WHOLE[start:end] for start, end in zip(points, points[1:], strict=False)))
        assert (len(answer.gaps_s), answer.tokens, answer.ended) == (2, 7, True)
        assert answer.first_s is not None

    def test_without_usage_frames_are_counted_and_it_is_said(self):
        answer = fed(ROLE, text("a"), text("b"), DONE)
        assert (answer.tokens, answer.by_usage) == (2, False)

    def test_usage_that_grows_with_every_chunk_is_the_last_one(self):
        answer = fed(text("a", usage={"completion_tokens": 1}), text("b", usage={"completion_tokens": 2}))
        assert answer.tokens == 2

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    def test_reasoning_is_text_too(self, field):
        assert fed(event(choices=[{"delta": {"content": None, field: "hm"}}])).first_s == 0.0

    def test_either_end_will_do_but_there_must_be_one(self):
        assert not fed(ROLE, text("a")).ended
        assert fed(text("a"), LAST).ended
        assert fed(text("a"), DONE).ended

    def test_line_ends_of_windows_and_no_space_after_the_colon(self):
        answer = fed(text("a").replace(b"\n", b"\r\n"), text("b").replace(b"data: ", b"data:"), b"data:[DONE]\r\n\r\n")
        assert (answer.tokens, answer.ended) == (2, True)

    def test_an_error_object_is_an_error_and_a_null_is_none(self):
        with pytest.raises(BrokenStream, match="worker_crashed"):
            fed(text("a"), event(error={"message": "it died", "code": "worker_crashed"}))
        assert fed(text("a", error=None)).tokens == 1

    @pytest.mark.parametrize("data", [b"not json", b"[1]", b'{"choices": 3}', b"\xff\xfe"])
    def test_what_is_no_chunk_is_an_error(self, data):
        with pytest.raises(BrokenStream, match="no chunk"):
            fed(b"data: " + data + b"\n\n")

    def test_an_event_without_end_is_an_error(self, monkeypatch):
        monkeypatch.setattr(dialects, "EVENT_MAX_BYTES", 100)
        with pytest.raises(BrokenStream, match="more than 100 bytes"):
            fed(b"data: ", b"x" * 101)


@pytest.mark.parametrize(("body", "words"), [
    (b'{"error": {"message": "m", "type": "t", "code": "c"}}', "c"),
    (b'{"error": {"message": "m", "type": "t", "code": null}}', "t"),
    (b'{"error": "plain words"}', "plain words"), (b'{"detail": "not found"}', "not found"), (b"<html>", ""),
    (b"[]", ""), (b"\xff", ""), (b'{"error": {}}', ""), (b'{"error": {"code": 42}}', "42"),
])
def test_the_words_of_an_error_are_its_code(body, words):
    assert error_words(body) == words


class TestOllamaAnswer:
    @given(cuts=st.sets(st.integers(1, len(OLLAMA_WHOLE) - 1)))
    def test_any_pieces_are_the_same_answer(self, cuts):
        answer, points = OllamaAnswer(), [0, *sorted(cuts), len(OLLAMA_WHOLE)]
        for now_s, (start, end) in enumerate(zip(points, points[1:], strict=False)):
            answer.feed(OLLAMA_WHOLE[start:end], float(now_s))
        assert (len(answer.gaps_s), answer.tokens, answer.by_usage, answer.ended) == (2, 7, True, True)

    def test_thinking_is_text_too_and_an_error_is_an_error(self):
        answer = OllamaAnswer()
        answer.feed(json.dumps({"message": {"content": "", "thinking": "hm"}}).encode() + b"\n", 3.0)
        assert (answer.first_s, answer.ended) == (3.0, False)
        with pytest.raises(BrokenStream, match="in mid-answer: it died"):
            answer.feed(b'{"error": "it died"}\n', 4.0)

    def test_the_last_line_needs_no_end(self):
        answer = OllamaAnswer()
        answer.feed(line("a") + line("", done=True, eval_count=1).rstrip(), 0.0)
        answer.close(1.0)
        assert answer.ended


def test_a_model_is_named_only_if_there_is_one():
    ask = Ask(0.0, "high", "hello", 3)
    assert "model" not in DIALECTS["http"].body(ask, "")
    assert DIALECTS["ollama"].body(ask, "phi")["model"] == "phi"


@pytest.mark.parametrize(("kind", "body", "model"), [
    ("http", b'{"data": [{"id": "one"}, {"id": "two"}]}', "one"), ("http", b'{"data": []}', ""), ("http", b"[]", None),
    ("http", b'{"data": [{}]}', ""), ("http", b'{"data": ["x"]}', ""), ("http", b"Ollama is running", None),
    ("http", b"\xff", None), ("ollama", b'{"models": [{"name": "phi:latest"}]}', "phi:latest"),
    ("ollama", b'{"data": [{"id": "one"}]}', None), ("http", b"", None),
])
def test_the_first_model_of_a_list(kind, body, model):
    assert first_model(body, DIALECTS[kind]) == model
