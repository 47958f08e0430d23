"""Which fields are given, and how one that is wrong is named."""

import codecs
from typing import Annotated, Any, Literal

import msgspec
import pytest

from gateway.http.wrong_fields import decode, invalid, is_given, problem_of, words_at


@pytest.mark.parametrize(("raw", "given"), [
    (b"", False), (b"null", False), (b"[]", False), (b" [ ] ", False), (b"{}", False), (b'""', False),
    (b"false", False), (b"true", True), (b"0", True), (b'"json"', True), (b"[1]", True), (b'{"type":"object"}', True),
    (b"[" + b" " * 100 + b"1]", True),
])
def test_is_given(raw, given):
    assert is_given(msgspec.Raw(raw)) is given


def test_invalid_names_the_field_as_the_caller_knows_it():
    found = invalid(msgspec.ValidationError("Expected `int`, got `str` - at `$.max_tokens[0].x`"), "options.",
                    {"max_tokens": "num_predict"})
    assert found.param == "options.num_predict[0].x" and found.message == f"{found.param}: Expected `int`, got `str`"
    assert invalid(msgspec.ValidationError("Expected `object`")).param is None


@pytest.mark.parametrize(("code", "message", "param", "shown"), [
    ("invalid_request", "schema: at /a: no", "format", "format: at /a: no"),
    ("not_offered", "schema: not here", "format", "format: not here"),
    ("not_offered", "tools: not here", "tools", "tools: not here"),
    ("invalid_request", "prompt: none", "messages", "messages: none"),
    ("invalid_request", "images: not read", "messages", "images: not read"),
    ("invalid_request", "inputs[3]: ids must be less", "input[3]", "input[3]: ids must be less"),
    ("context_length_exceeded", "input[0]: too long", "input[0]", "input[0]: too long"),
    ("context_length_exceeded", "the prompt has 9 tokens: too many", "messages", "the prompt has 9 tokens: too many"),
    ("invalid_request", "somewhere: it is wrong", None, "somewhere: it is wrong"),
    ("invalid_request", "suffix: no insert", "suffix", "suffix: no insert"),
    ("invalid_request", "Expected `int` - at `$.schema.a`", "format.a", "format.a: Expected `int`"),
    ("queue_full", "schema: is no field here", None, "schema: is no field here")])
def test_what_was_found_further_on_has_the_name_that_the_caller_knows(code, message, param, shown):
    found = problem_of(code, message, {"schema": "format", "prompt": "messages", "inputs": "input"})
    assert (found.code, found.param, found.message) == (code, param, shown)


class Numbers(msgspec.Struct):
    count: int
    share: float = 0.0
    word: str = ""


@pytest.mark.parametrize(("number", "count"), [("7", 7), ("7.0", 7), ("-1.0", -1), ("1e3", 1000), ("8192.00", 8192)])
def test_a_whole_number_may_be_written_with_a_point(number, count):
    found = decode(f'{{"count": {number}, "share": 0.5, "word": "1.0"}}'.encode(), Numbers)
    assert found == Numbers(count, 0.5, "1.0") and isinstance(found.count, int)


@pytest.mark.parametrize("number", ["7.5", "1e400", '"7"', "true", "1e30"])
def test_what_is_no_whole_number_is_none(number):
    with pytest.raises(msgspec.ValidationError, match="count"):
        decode(f'{{"count": {number}}}'.encode(), Numbers)


def test_a_byte_order_mark_is_passed_over():
    assert decode(codecs.BOM_UTF8 + b'{"count": 7}', Numbers) == Numbers(7)


class Turn(msgspec.Struct):
    role: Literal["user", "assistant"]
    parts: dict[str, list["Turn"]] | None = None
    think: Annotated[bool, msgspec.Meta(title="x")] | Literal["low", "high"] | None = None


@pytest.mark.parametrize(("kind", "where", "words"), [
    (list[Turn], "[0].role", "assistant, user"), (Turn, ".parts[...][2].role", "assistant, user"),
    (Turn | None, ".think", "true, false, high, low"), (Literal["a"], "", "a"), (Turn, ".parts", ""),
    (Turn, ".nothing[0].role", ""), (None, ".role", ""), (Any, "", "")])
def test_words_of_a_place(kind, where, words):
    assert words_at(kind, where) == words


def test_the_words_that_there_are_are_told_to_who_wrote_another():
    with pytest.raises(msgspec.ValidationError) as caught:
        decode(b'[{"role": "wizard"}]', list[Turn])
    found = invalid(caught.value, "turns", kind=list[Turn])
    assert (found.param, found.message) == ("turns[0].role", (
        "turns[0].role: Invalid enum value 'wizard'; it must be one of assistant, user"))
