"""Completions without a chat: pieces, echo, and chances in the old shape."""

import json
import math

from gateway.http.heard import Heard
from gateway.http.openai_completion_face import CompletionFace
from gateway.http.openai_face import LOGPROB_MIN
from gateway.protocol import TokenLogprob, Tokens
from tests.support.fake_gateway import done

AT = "2025-01-02T03:04:05.000006Z"
EURO = "\u20ac".encode()
CHANCES = [TokenLogprob(1, b"ab", -0.5, [TokenLogprob(1, b"ab", -0.5), TokenLogprob(2, EURO[:1], -math.inf)]),
           TokenLogprob(2, EURO[:1], -1.0), TokenLogprob(3, EURO[1:], -2.0), TokenLogprob(4, b"c", -3.0)]


def make_face(**facts: object) -> CompletionFace:
    return CompletionFace("cmpl-1", 5, **{"include_usage": False} | facts)


def choices(data: bytes) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n\n") if line.startswith("data: {")]
    return [choice for line in lines for choice in json.loads(line)["choices"]]


def test_pieces_and_end():
    face = make_face()
    data = face.tokens(Tokens("1", 0, [1], "a"), AT) + face.tokens(Tokens("1", 1, [2], "b", "hm"), AT)
    found = choices(data + face.done(done("1", reason="length"), AT))
    assert found == [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason} for text, reason in
                     (("a", None), ("hmb", None), ("", "length"))]


def test_an_echo_comes_once_for_each_choice_even_before_an_empty_answer():
    face = make_face(echo=["p", "q"])
    face.places = {"1": 0, "2": 1}
    data = face.tokens(Tokens("1", 0, [1], "a"), AT) + face.tokens(Tokens("1", 1, [1], "b"), AT) + face.ended(done("1"))
    found = choices(data + face.done(done("2"), AT))
    assert [(each["index"], each["text"]) for each in found] == [(0, "pa"), (0, "b"), (0, ""), (1, "q")]


def test_a_whole_answer_with_echo():
    heard = Heard()
    heard.add(Tokens("1", 0, [1], "a"))
    body = json.loads(make_face(echo=["p "]).whole(heard, done("1"), AT))
    assert body["object"] == "text_completion"
    assert body["choices"] == [{"index": 0, "text": "p a", "logprobs": None, "finish_reason": "stop"}]


def test_chances_in_the_old_shape_count_characters():
    heard = Heard()
    heard.add(Tokens("1", 0, [1, 2, 3, 4], "ab\u20acc", logprobs=CHANCES))
    found = json.loads(make_face(tops=True).whole(heard, done("1"), AT))["choices"][0]["logprobs"]
    assert found == {
        "tokens": ["ab", "bytes:\\xe2", "bytes:\\x82\\xac", "c"], "token_logprobs": [-0.5, -1.0, -2.0, -3.0],
        "top_logprobs": [{"ab": -0.5, "bytes:\\xe2": LOGPROB_MIN}, {}, {}, {}], "text_offset": [0, 2, 2, 3]}


def test_chances_of_a_stream_count_on():
    face = make_face()
    data = b"".join(face.tokens(Tokens("1", 0, [1], "", logprobs=[each]), AT) for each in CHANCES)
    told = [choice["logprobs"] for choice in choices(data)]
    assert [each["text_offset"] for each in told] == [[0], [2], [2], [3]]
    assert all(each["top_logprobs"] is None for each in told)
