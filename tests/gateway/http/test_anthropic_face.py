"""Anthropic's events and messages, piece by piece."""

import json

import msgspec
import pytest

from gateway.http.anthropic_face import AnthropicFace
from gateway.http.heard import Heard
from gateway.protocol import CallPiece, Progress, Started, Tokens, Usage
from tests.support.fake_gateway import done, said

AT = "2025-01-02T03:04:05.000006Z"
THOUGHT = Tokens("1", 0, [], "", thinking="Hm.")
TEXT = Tokens("1", 1, [], "So.")
CALL = Tokens("1", 2, [], "", calls=[CallPiece(0, "call_a1", "look", '{"at":"it"}')])
OTHER = Tokens("1", 3, [], "", calls=[CallPiece(1, "", "wait", "{}")])


def make_face() -> AnthropicFace:
    return AnthropicFace("tiny", "r.1")


def events(data: bytes) -> list[dict]:
    return [json.loads(part.partition("data: ")[2]) for part in data.decode().split("\n\n") if part.startswith("event")]


def streamed(*pieces: Tokens, **facts: object) -> list[dict]:
    face = make_face()
    return events(b"".join(face.tokens(piece, AT) for piece in pieces)
                  + face.done(msgspec.structs.replace(done("1"), **facts), AT))


def whole(*pieces: Tokens, **facts: object) -> dict:
    heard = Heard()
    for piece in pieces:
        heard.add(piece)
    return json.loads(make_face().whole(heard, msgspec.structs.replace(done("1"), **facts), AT))


def gathered(found: list[dict]) -> list[dict]:
    """The blocks, as an accumulator makes them of the events; wrong indices and orders do not pass."""
    assert [event["type"] for event in (found[0], *found[-2:])] == ["message_start", "message_delta", "message_stop"]
    blocks: list[dict] = []
    is_open = False
    for event in found[1:-2]:
        if event["type"] == "content_block_start":
            assert not is_open and event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
            texts = ""
        assert event["index"] == len(blocks) - 1
        if event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "input_json_delta":
                texts += delta["partial_json"]
            elif delta["type"] != "signature_delta":
                name = delta["type"].removesuffix("_delta")
                blocks[-1][name] += delta[name]
        is_open = event["type"] != "content_block_stop"
        if not is_open and texts:
            blocks[-1]["input"] = json.loads(texts)
    assert not is_open
    return blocks


ALL = [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "So."},
       {"type": "tool_use", "id": "toolu_a1", "name": "look", "input": {"at": "it"}},
       {"type": "tool_use", "id": "toolu_r1_1", "name": "wait", "input": {}}]


@pytest.mark.parametrize("pieces", [(THOUGHT, TEXT, CALL, OTHER), (THOUGHT,), (TEXT,), (CALL,), (TEXT, CALL), ()])
def test_the_stream_adds_up_to_the_whole(pieces):
    message = whole(*pieces)
    assert gathered(streamed(*pieces)) == message["content"]
    assert message["content"] == [ALL[(THOUGHT, TEXT, CALL, OTHER).index(piece)] for piece in pieces] or not pieces


def test_pieces_of_one_kind_are_one_block():
    assert gathered(streamed(THOUGHT, THOUGHT, TEXT, TEXT)) == [
        {"type": "thinking", "thinking": "Hm.Hm.", "signature": ""}, {"type": "text", "text": "So.So."}]


def test_text_after_a_call_is_a_block_of_its_own():
    assert [block["type"] for block in gathered(streamed(TEXT, CALL, TEXT))] == ["text", "tool_use", "text"]


def test_arguments_may_come_in_pieces():
    first, rest = CallPiece(0, "a", "look", '{"at":'), CallPiece(0, arguments='"it"}')
    pieces = [Tokens("1", 0, [], "", calls=[first]), Tokens("1", 1, [], "", calls=[rest])]
    assert gathered(streamed(*pieces)) == whole(*pieces)["content"]


def test_an_answer_without_a_word_has_one_empty_text():
    assert whole()["content"] == gathered(streamed()) == [{"type": "text", "text": ""}]


def test_an_event_that_says_nothing_is_nothing():
    assert make_face().tokens(said(""), AT) == b""


@pytest.mark.parametrize(("pieces", "facts", "reason", "stop"), [
    ((TEXT,), {}, "end_turn", None), ((TEXT,), {"finish_reason": "length"}, "max_tokens", None),
    ((TEXT,), {"stop": "END"}, "stop_sequence", "END"), ((CALL,), {}, "tool_use", None),
    ((TEXT, CALL), {"stop": "END"}, "tool_use", None), ((CALL,), {"finish_reason": "length"}, "max_tokens", None)])
def test_why_it_ended(pieces, facts, reason, stop):
    found = whole(*pieces, **facts)
    assert (found["stop_reason"], found["stop_sequence"]) == (reason, stop)
    assert streamed(*pieces, **facts)[-2]["delta"] == {"stop_reason": reason, "stop_sequence": stop}


def test_cached_tokens_are_counted_beside_the_others():
    usage = Usage(100, 7, cached_tokens=90, thinking_tokens=3)
    wanted = {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0, "output_tokens": 7,
              "output_tokens_details": {"thinking_tokens": 3}}
    assert whole(TEXT, usage=usage)["usage"] == wanted | {"service_tier": "standard"}
    assert streamed(TEXT, usage=usage)[-2]["usage"] == wanted


def test_a_sign_of_life_says_why_to_people_and_ping_to_programs():
    progress = Progress("1", 3, "loading", 12.0, 0.25, "waits for a:\nit answers")
    assert make_face().waiting(progress, AT).decode() == (
        ": queued position=3 reason=loading estimate_s=12 load_progress=0.25 detail=waits for a: it answers\n\n"
        'event: ping\ndata: {"type":"ping"}\n\n')
    assert make_face().waiting(None, AT).startswith(b": waiting\n\n")
    started = make_face().routed(Started("1", "m", "mlx>ollama", "down", 2, 0.0, 0.0), AT)
    assert started == b": model=m route=mlx>ollama reason=down\n\n"


def test_an_error_is_no_end():
    [found] = events(make_face().error("queue_full", "full"))
    assert found == {"type": "error", "request_id": "r.1", "error": {
        "type": "overloaded_error", "message": "full", "details": {"error_code": "queue_full"}}}


@pytest.mark.parametrize("text", ["a", '"quoted"\n', "\x00\u2028 \U0001f600", "%b %d"])
def test_text_by_hand_looks_as_any_other_piece(text):
    face = AnthropicFace("m", "r")
    said = face.tokens(Tokens("1", 0, [1], text), "")
    assert said.endswith(face._delta({"type": "text_delta", "text": text}))
