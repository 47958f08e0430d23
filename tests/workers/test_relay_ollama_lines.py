"""The lines of an answer in Ollama's API: what they say, and lines that are none, or too much."""

import math

import pytest

from workers.job_parts import CallPiece, More, TokenLogprob
from workers.protocol import End, Item, Step, decode_from_worker, encode
from workers.relay import Piece, UpstreamFailed
from workers.relay_ollama_lines import (
    COUNT_MAX,
    LOGPROB_MIN,
    NAME_MAX_CHARS,
    PIECE_MAX_BYTES,
    TOP_MAX,
    UNKNOWN_ID,
    end_of,
    piece_of,
    read_line,
)

NESTED = "[" * 100_000


def piece(line: bytes, before: int = 0, most: int | None = None) -> Piece | None:
    return piece_of(read_line(line), before, most)


@pytest.mark.parametrize("line", [b'{"message": {"content": "a", "thinking": "b"}}',
                                  b'{"response": "a", "thinking": "b"}'])
def test_text_and_reasoning_in_both_shapes(line):
    assert piece(line) == Piece("a", More("b"))


def test_a_line_that_says_nothing_is_no_piece():
    for line in (b'{"response": ""}', b'{"message": {"content": null, "tool_calls": [], "thinking": ""}}', b"{}"):
        assert piece(line) is None
    assert piece(b'{"response": "a", "thinking": null, "logprobs": null}') == Piece("a")


def test_calls_are_counted_on_from_those_before():
    line = (b'{"message": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{\\"x\\": 1}"}},'
            b'{"id": "b", "function": {"name": "g", "arguments": null}}]}}')
    calls = [CallPiece(2, "a", "f", '{"x":1}'), CallPiece(3, "b", "g", "{}")]
    assert piece(line, 2) == Piece("", More(calls=calls))
    assert piece(line, 2, 3) == Piece("", More(calls=calls[:1])) and piece(line, 2, 2) is None


@pytest.mark.parametrize("arguments", ['"{"', '"[]"', '"5"'])
def test_arguments_that_are_no_object_are_its_failure(arguments):
    with pytest.raises(UpstreamFailed, match="not its API"):
        piece(b'{"message": {"tool_calls": [{"function": {"name": "f", "arguments": %s}}]}}' % arguments.encode())


def test_names_and_chances_have_a_limit():
    said = piece(b'{"message": {"tool_calls": [{"id": "%s", "function": {"name": "%s"}}]}}' % (b"i" * 999, b"n" * 999))
    [call] = said.more.calls
    assert (len(call.id), len(call.name)) == (NAME_MAX_CHARS, NAME_MAX_CHARS)
    tops = b",".join([b'{"token": "b", "logprob": null}'] * (TOP_MAX + 1))
    [one] = piece(b'{"logprobs": [{"token": "%s", "logprob": -1e300, "top_logprobs": [%s]}]}' % (b"t" * 999, tops)
                  ).more.logprobs
    assert (len(one.piece), len(one.top), one.logprob) == (PIECE_MAX_BYTES, TOP_MAX, LOGPROB_MIN)
    assert one.top[0] == TokenLogprob(UNKNOWN_ID, b"b", LOGPROB_MIN) and math.isfinite(LOGPROB_MIN)


@pytest.mark.parametrize("line", [
    b'{"error": "out of memory"}', b'{"error": {"message": "out of memory", "code": "x"}}',
])
def test_an_error_line_in_either_shape_is_one(line):
    with pytest.raises(UpstreamFailed, match="out of memory") as failed:
        read_line(line)
    assert failed.value.code == "upstream_failed" and failed.value.is_its_fault


@pytest.mark.parametrize("line", [
    b"[]", b"null", b'{"message": "text"}', b'{"done": 1}', b"\xff", b'{"message": {"c',
    b'{"message": {"content": "\xff"}}', b'{"error": "\xff"}', b'{"context": ' + NESTED.encode(),
    b'{"error": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"done": true, "eval_count": 1e999}',
    b'{"done": true, "eval_duration": NaN}', b'{"logprobs": [{"bytes": [256]}]}',
    b'{"message": {"tool_calls": [5]}}', b'{"done": true, "eval_count": ' + b"9" * 5000 + b"}",
], ids=lambda line: line[:30].decode("latin-1"))
def test_a_line_of_another_shape_is_a_failure_that_quotes_nothing(line):
    with pytest.raises(UpstreamFailed, match="not its API"):
        read_line(line)


def test_null_stands_for_nothing_and_unknown_fields_do_not_matter():
    said = read_line(b'{"message": {"role": "assistant", "content": "", "thinking": null, "tool_calls": []},'
                     b'"done": true, "done_reason": null, "eval_count": null, "prompt_eval_count": null,'
                     b'"eval_duration": null, "prompt_eval_duration": null, "context": [1, 2], "error": null}')
    end = end_of(said)
    assert (end.reason, end.prompt_tokens, end.completion_tokens) == ("stop", 0, 0)


@pytest.mark.parametrize("number", [2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**23, 10**400], ids=range(7))
def test_a_number_of_any_length_becomes_one_that_fits_a_frame(number):
    said = b", ".join(b'"%s": %d' % (name, number) for name in (
        b"eval_count", b"prompt_eval_count", b"eval_duration", b"prompt_eval_duration"))
    end = end_of(read_line(b'{"done": true, %s}' % said))
    assert end == End("stop", COUNT_MAX, COUNT_MAX, COUNT_MAX / 1_000_000, COUNT_MAX / 1_000_000)
    step = Step(1, 1, 1, 1, [Item(1, 1, 0, [], "", end)])
    assert decode_from_worker(encode(step)) == step


def test_counts_that_make_no_sense_are_no_counts():
    end = end_of(read_line(b'{"done": true, "eval_count": -5, "prompt_eval_count": -1, "eval_duration": -1,'
                           b'"prompt_eval_duration": -99999999999999999999999}'))
    assert end == End("stop", 0, 0, 0.0, 0.0)
