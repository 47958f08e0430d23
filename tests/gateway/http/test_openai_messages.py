"""Messages of chats: parts, calls and their answers, reasoning, and the forms of old."""

import pytest

from gateway.http.errors import Problem
from gateway.http.openai_messages import ImageUrl, OpenAIMessage, Part, message_of
from gateway.http.tools import Called, FunctionCall
from gateway.protocol import Message, ToolCall

CALL = FunctionCall(Called("f", "{}"), "call_1")
PNG = "data:image/png;base64,aGk="


@pytest.mark.parametrize(("given", "found"), [
    (OpenAIMessage("assistant", tool_calls=[CALL]),
     Message("assistant", "", tool_calls=[ToolCall("f", "{}", "call_1")])),
    (OpenAIMessage("assistant", function_call=Called("f", "")),
     Message("assistant", "", tool_calls=[ToolCall("f", "{}")])),
    (OpenAIMessage("tool", "12", tool_call_id="call_1"), Message("tool", "12", tool_call_id="call_1")),
    (OpenAIMessage("function", "12", name="f"), Message("tool", "12", name="f")),
    (OpenAIMessage("assistant", "a", reasoning_content="hm"), Message("assistant", "a", thinking="hm")),
    (OpenAIMessage("assistant", "a", reasoning="hm"), Message("assistant", "a", thinking="hm")),
    (OpenAIMessage("assistant", refusal="no"), Message("assistant", "no")),
    (OpenAIMessage("assistant", [Part("thinking", thinking="hm "), Part("reasoning", "so"), Part("text", "a")]),
     Message("assistant", "a", thinking="hm so")),
    (OpenAIMessage("assistant", [Part("thinking", thinking=[Part("text", "hm"), Part("text")])]),
     Message("assistant", "", thinking="hm")),
    (OpenAIMessage("assistant", [Part("reasoning", reasoning="hm")], reasoning="yes"),
     Message("assistant", "", thinking="yes")),
    (OpenAIMessage("assistant", [Part("refusal", refusal="no")]), Message("assistant", "no")),
    (OpenAIMessage("user", [Part("input_text", "a"), Part("text", "b")]), Message("user", "ab")),
    (OpenAIMessage("user", [Part("image_url", image_url=ImageUrl(PNG)), Part("text", "?")]),
     Message("user", "?", ["aGk="]))])
def test_a_message_of_a_conversation(given, found):
    assert message_of(0, given) == found


@pytest.mark.parametrize(("given", "code", "field"), [
    (OpenAIMessage("user", [Part("file")]), "not_offered", "messages[3].content[0]"),
    (OpenAIMessage("user", [Part("text"), Part("input_audio")]), "not_offered", "messages[3].content[1]"),
    (OpenAIMessage("user", [Part("thinking", thinking="hm")]), "not_offered", "messages[3].content[0]"),
    (OpenAIMessage("user", [Part("image_url")]), "invalid_request", "messages[3].content[0].image_url"),
    (OpenAIMessage("assistant", tool_calls=[FunctionCall()]), "invalid_request", "messages[3].tool_calls[0].function"),
    (OpenAIMessage("assistant", function_call=Called("f", "[1]")), "invalid_request",
     "messages[3].function_call.arguments")])
def test_what_cannot_be_read_is_refused_by_its_place(given, code, field):
    with pytest.raises(Problem) as caught:
        message_of(3, given)
    assert (caught.value.code, caught.value.param) == (code, field)
