"""The events of a response as the official library knows them, and that the whole is what its pieces were."""

import json

import pytest
from openai._models import validate_type
from openai.types.responses import Response, ResponseStreamEvent

from gateway.http.heard import Heard
from gateway.http.responses_face import ResponsesFace
from gateway.protocol import CallPiece, Progress, TokenLogprob, Tokens
from tests.support.fake_gateway import done, said

AT = "2026-01-02T03:04:05.000000Z"
SETTINGS = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
CHANCE = TokenLogprob(7, b"\xe2\x82", -0.5, [TokenLogprob(8, b"a", -1.0)])


def face() -> ResponsesFace:
    made = ResponsesFace("r1", 1_767_323_045, SETTINGS)
    made.model = "tiny"
    return made


def piece(*calls: CallPiece, text: str = "", thinking: str = "", logprobs: tuple[TokenLogprob, ...] = ()) -> Tokens:
    return Tokens("1", 0, [], text, thinking, list(calls), list(logprobs))


def events(*chunks: bytes) -> list[dict]:
    """What stands in them; each is an event that the library knows, and they are numbered."""
    found = []
    for block in b"".join(chunks).decode().split("\n\n"):
        if not block or block.startswith(":"):
            continue
        kind, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        validate_type(type_=ResponseStreamEvent, value=event)
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def test_reasoning_words_and_a_call_one_after_the_other() -> None:
    shown = face()
    found = events(
        shown.tokens(piece(thinking="hm "), AT), shown.tokens(piece(thinking="yes"), AT), shown.tokens(said("I "), AT),
        shown.tokens(said("look"), AT), shown.tokens(piece(CallPiece(0, "c1", "look", '{"at"')), AT),
        shown.tokens(piece(CallPiece(0, "", "", ":1}"), CallPiece(1, "c2", "see", "{}")), AT),
        shown.done(done("1"), AT))
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed"]
    assert [event["output_index"] for event in found if event["type"] == "response.output_item.done"] == [0, 1, 2, 3]
    response = found[-1]["response"]
    assert [(item["type"], item["status"]) for item in response["output"]] == [
        ("reasoning", "completed"), ("message", "completed"), ("function_call", "completed"),
        ("function_call", "completed")]
    assert response["output"][1]["content"] == [
        {"type": "output_text", "text": "I look", "annotations": [], "logprobs": []}]
    assert response["output"][2] == {"id": "fc_r1_2", "type": "function_call", "status": "completed", "call_id": "c1",
                                     "name": "look", "arguments": '{"at":1}'}
    assert [event["item"] for event in found if event["type"] == "response.output_item.done"] == response["output"]


def test_a_whole_answer_says_what_its_stream_says() -> None:
    said_in_order = [piece(thinking="hm"), piece(text="I look", logprobs=(CHANCE,)),
                     piece(CallPiece(0, "c1", "look", "{}"))]
    heard, shown = Heard(), face()
    streamed = [shown.tokens(event, AT) for event in said_in_order] + [shown.done(done("1"), AT)]
    for event in said_in_order:
        heard.add(event)
    whole = json.loads(face().whole(heard, done("1"), AT))
    validate_type(type_=Response, value=whole)
    assert whole == events(*streamed)[-1]["response"]
    assert whole["usage"] == {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8,
                              "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                              "output_tokens_details": {"reasoning_tokens": 0}}
    assert (whole["id"], whole["created_at"], whole["model"]) == ("resp_r1", 1_767_323_045, "tiny")


def test_chances_stand_beside_the_words_and_in_the_whole_part() -> None:
    shown = face()
    found = events(shown.tokens(piece(text="€", logprobs=(CHANCE,)), AT), shown.done(done("1"), AT))
    [delta] = [event for event in found if event["type"] == "response.output_text.delta"]
    assert delta["logprobs"] == [{"token": "\ufffd", "bytes": [0xE2, 0x82], "logprob": -0.5, "top_logprobs": [
        {"token": "a", "bytes": [97], "logprob": -1.0}]}]
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == delta["logprobs"]


def test_an_answer_that_was_cut_short_is_incomplete() -> None:
    shown, heard = face(), Heard()
    heard.add(said("one"))
    found = events(shown.tokens(said("one"), AT), shown.done(done("1", reason="length"), AT))
    assert found[-1]["type"] == "response.incomplete" and found[-2]["item"]["status"] == "incomplete"
    whole = json.loads(face().whole(heard, done("1", reason="length"), AT))
    assert whole == found[-1]["response"]
    assert whole["incomplete_details"] == {"reason": "max_output_tokens"} and whole["completed_at"] is None


def test_who_says_nothing_says_an_empty_message() -> None:
    found = events(face().done(done("1"), AT))
    whole = json.loads(face().whole(Heard(), done("1"), AT))
    assert whole == found[-1]["response"] and whole["output"][0]["content"][0]["text"] == ""


@pytest.mark.parametrize("begun", [False, True])
def test_a_failure_is_the_response_and_then_an_error_that_makes_the_library_raise(begun: bool) -> None:
    shown = face()
    before = shown.tokens(said("one"), AT) if begun else b""
    *_, failed, error = events(before, shown.error("worker_crashed", "it died"))
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "it died"}
    assert [item["status"] for item in failed["response"]["output"]] == ["incomplete"] * begun
    assert (error["type"], error["code"], error["message"]) == ("error", "worker_crashed", "it died")
    assert error["error"] == {"message": "it died", "type": "server_error", "param": None, "code": "worker_crashed"}


def test_signs_of_life_are_comments_and_an_event_until_the_answer_begins() -> None:
    shown, progress = face(), Progress("1", 2, "loading", 5.0)
    first, second = shown.waiting(progress, AT), shown.waiting(progress, AT)
    assert first.startswith(b": queued position=2 reason=loading")
    begun = shown.tokens(said("one"), AT)
    assert shown.waiting(None, AT) == b": waiting\n\n"
    assert [event["type"] for event in events(first, second, begun)][:4] == [
        "response.created", "response.in_progress", "response.queued", "response.queued"]


def test_a_sign_of_life_repeats_nothing_long() -> None:
    long = {"instructions": "x" * 10_000, "metadata": {"a": "x" * 500}, "tool_choice": "auto", "tools": [
        {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}] * 50}
    shown = face()
    shown._settings |= long
    first, second = (shown.waiting(Progress("1", 2, "loading", 5.0), AT) for _ in range(2))
    created, _, queued, again = events(first, second)
    assert created["response"]["instructions"] == long["instructions"] and created["response"]["tools"] == long["tools"]
    assert queued["response"] == again["response"] and len(second) < len(long["instructions"]) / 4
    assert events(first, second, shown.done(done("1"), AT))[-1]["response"]["tools"] == long["tools"]


def test_while_nobody_knows_the_model_a_sign_of_life_is_a_comment() -> None:
    shown = face()
    shown.model = ""
    assert shown.waiting(None, AT) == b": waiting\n\n"
