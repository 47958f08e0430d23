"""The events of the chat endpoints: their order, who answers, and that nothing comes after the end."""

import json

from msgspec.structs import replace

from gateway.http.chat_face import ChatFace
from gateway.protocol import Note, Progress, Started
from tests.support.fake_gateway import done, heard, said

AT = "2026-01-01T00:00:00Z"


def events(*parts: bytes) -> list[dict]:
    found = []
    for event in b"".join(parts).split(b"\n\n"):
        assert not event or event.startswith((b"data: ", b": ")), event
        if event.startswith(b"data: "):
            found.append(json.loads(event.removeprefix(b"data: ")))
    return found


def started(model: str, route: str, reason: str = "", attempt: int = 1) -> Started:
    return Started("1", model, route, reason, attempt, 0.0, 0.0)


def test_an_answer_of_the_agent_from_start_to_end():
    face = ChatFace("s1")
    assert face.started(started("victoria", "victoria")) == b"", "nothing is told before there is something to tell"
    told = events(face.note(Note("1", "start", "")), face.note(Note("1", "step", "look it up")),
                  face.note(Note("1", "progress", "half")), face.tokens(said("It"), AT), face.tokens(said(" is."), AT),
                  face.done(done("1", route="victoria"), AT))
    assert [(each["type"], each["content"]) for each in told] == [
        ("start", ""), ("step", "look it up"), ("progress", "half"), ("chunk", "It"), ("chunk", " is."), ("end", "")]
    assert (told[0]["backend"], told[0]["model"], told[0]["session_id"]) == ("victoria", "victoria", "s1")
    assert (told[-1]["backend"], told[-1]["finish_reason"], told[-1]["session_id"]) == ("victoria", "stop", "s1")


def test_start_comes_first_and_once_whatever_comes_first():
    for first in (lambda f: f.tokens(said("a"), AT), lambda f: f.note(Note("1", "step", "x")),
                  lambda f: f.waiting(Progress("1", 3, "loading", 4.0), AT), lambda f: f.error("internal", "no"),
                  lambda f: f.done(done("1"), AT)):
        face = ChatFace("s")
        told = events(first(face), face.tokens(said("b"), AT))
        assert [each["type"] for each in told].count("start") == 1 and told[0]["type"] == "start"


def test_who_waits_hears_why_and_then_who_answers():
    face = ChatFace("s")
    told = events(face.waiting(None, AT), face.waiting(Progress("1", 3, "loading", 4.0), AT),
                  face.waiting(Progress("1", 2, "loading", 3.0, detail="half is read"), AT),
                  face.started(started("tiny", "mlx")), face.tokens(said("a"), AT))
    assert [(each["type"], each["content"]) for each in told] == [
        ("start", ""), ("progress", "loading"), ("progress", "half is read"), ("progress", "mlx answers"),
        ("chunk", "a")]
    assert told[0]["backend"] == "" and (told[1]["position"], told[1]["estimate_s"]) == (3, 4.0)
    assert (told[3]["backend"], told[3]["model"]) == ("mlx", "tiny")


def test_another_backend_after_steps_is_told_and_the_end_says_it_too():
    face = ChatFace("s")
    face.started(started("victoria", "victoria"))
    told = events(face.note(Note("1", "step", "x")), face.started(started("victoria", "victoria", attempt=2)),
                  face.started(started("tiny", "victoria>mlx", "failed")), face.tokens(said("a"), AT),
                  face.done(replace(done("1", route="victoria>mlx"), reason="failed"), AT))
    assert [each["type"] for each in told] == ["start", "step", "progress", "chunk", "end"]
    assert (told[2]["content"], told[2]["backend"], told[2]["reason"]) == ("mlx answers", "mlx", "failed")
    assert (told[-1]["backend"], told[-1]["route"], told[-1]["reason"]) == ("mlx", "victoria>mlx", "failed")


def test_text_cannot_end_an_event():
    [_, chunk] = events(ChatFace("s").tokens(said("a\n\ndata: {}\n\n"), AT))
    assert chunk["content"] == "a\n\ndata: {}\n\n"


def test_the_whole_answer():
    ended = replace(done("1", route="victoria>mlx"), reason="down")
    found = json.loads(ChatFace("s").whole(heard("It is."), ended, AT))
    assert found == {"status": "ok", "content": "It is.", "response": "It is.", "session_id": "s", "backend": "mlx",
                     "model": "tiny", "route": "victoria>mlx", "reason": "down", "finish_reason": "stop"}
