"""What a person may write as a request, and what each mistake is told."""

import pytest

from gateway.cli.request_fields import FieldsRefused, fields_of, read_object
from gateway.protocol import Message, Options, Submit


def test_a_prompt_is_what_a_user_says() -> None:
    assert fields_of({"prompt": "why?", "system": "be short", "model": "tiny", "max_tokens": 7, "stop": ["x"]}) == {
        "model": "tiny", "messages": [Message("system", "be short"), Message("user", "why?")],
        "options": Options(max_tokens=7, stop=["x"])}


def test_messages_are_taken_as_they_are_and_null_is_nothing() -> None:
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    found = fields_of({"messages": said, "prompt": None, "category": "coding", "temperature": None})
    assert [message.content for message in found["messages"]] == ["a", "b", "c"]
    assert found["category"] == "coding" and found["options"] == Options() and "model" not in found
    Submit("1", **found)


@pytest.mark.parametrize(("given", "told"), [
    ({"prompt": "a", "max_token": 1}, "max_token: no such field; did you mean max_tokens?"),
    ({"prompt": "a", "xyz": 1}, "xyz: no such field; there are prompt, messages"),
    ({"prompt": "a", "kind": "chat"}, "kind: no such field"),
    ({}, "has no prompt and no messages"),
    ({"prompt": "a", "messages": []}, "not both"), ({"prompt": "", "messages": []}, "not both"),
    ({"prompt": " "}, "prompt: is empty; write what to ask"),
    ({"prompt": ["a"]}, "prompt: must be a text, not a list"),
    ({"prompt": "a", "system": ""}, "system: is empty; leave it out"),
    ({"messages": "a"}, "messages: must be a list, not a text"),
    ({"messages": []}, "messages: expected `array` of length >= 1"),
    ({"messages": [{"role": "usr", "content": "a"}]}, r"messages\[0\].role: invalid enum value 'usr'"),
    ({"prompt": "a", "temperature": 50}, "temperature: expected `float` <= 10"),
    ({"prompt": "a", "top_k": "5"}, "top_k: expected"),
    ({"prompt": "a", "model": 5}, "model: expected `str`"),
])
def test_a_mistake_is_named_with_its_field(given: dict, told: str) -> None:
    with pytest.raises(FieldsRefused, match=told):
        fields_of(given)


@pytest.mark.parametrize(("text", "told"), [
    ("{", "is no JSON"), ('{"a": "\udcff"}'.encode(errors="surrogateescape"), "is no JSON"),
    ("[1]", "not a list"), ('"a"', "not a text"), ("7", "not a number"), ("null", "not null"), ("true", "not true or")])
def test_what_is_no_object_is_refused(text: str | bytes, told: str) -> None:
    with pytest.raises(FieldsRefused, match=told):
        read_object(text)


def test_more_fields_are_taken_where_they_mean_something() -> None:
    assert fields_of({"prompt": "a", "kind": "chat", "hop": 1}, ("kind", "hop"))["kind"] == "chat"
    with pytest.raises(FieldsRefused, match="hop: expected `int`"):
        fields_of({"prompt": "a", "hop": "x"}, ("hop",))
