"""The chat endpoints over a real socket: what is asked of the gateway, what comes back, and who could answer now."""

import json
import time
from collections.abc import Iterator

import pytest

from control.relays import STOPPED
from control.states import Breaker, Phase
from control.table import ControlWords, GatewayWords, RowControl, RowReason, RowWorker, text_words
from gateway.protocol import Message, Note, Started, Submit
from tests.support.fake_gateway import accepted, done, error, model_info, tokens
from tests.support.http_stack import TOML, HttpStack
from tests.support.raw_http import RawHttp

RELAYS = '[relays]\nollama_url = "http://127.0.0.1:9"\nvictoria_url = "http://127.0.0.1:9"\n'
ASKED = {"content": "hi"}


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory) -> Iterator[HttpStack]:
    with HttpStack(tmp_path_factory.mktemp("h"), TOML + RELAYS) as stack:
        yield stack


def events(text: str) -> list[dict]:
    return [json.loads(part.removeprefix("data: ")) for part in text.split("\n\n") if part.startswith("data: ")]


def agent(submit: Submit) -> list:
    """Victoria, with steps."""
    return [accepted(submit.id, 1), Started(submit.id, "victoria", "victoria", "", 1, 0.0, 0.0),
            Note(submit.id, "start", ""), Note(submit.id, "step", "think"), tokens(submit.id, 0, "It "),
            tokens(submit.id, 1, "is."), done(submit.id, route="victoria")]


# -- asking --------------------------------------------------------------------------------------------------------


def test_a_stream_has_the_events_of_the_chat_front_ends(http, gateway):
    gateway.on[Submit] = agent
    response = http.post("/chat/stream", json=ASKED | {"session_id": "s1"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-warden-route"] == "victoria" and response.headers["cache-control"] == "no-cache"
    told = events(response.text)
    assert [(each["type"], each["content"]) for each in told] == [
        ("start", ""), ("step", "think"), ("chunk", "It "), ("chunk", "is."), ("end", "")]
    assert {told[0]["session_id"], told[-1]["session_id"]} == {"s1"}


def test_a_whole_answer_has_chunks_alone(http, gateway):
    gateway.on[Submit] = agent
    response = http.post("/chat/send", json=ASKED)
    body = response.json()
    assert (body["status"], body["content"], body["backend"], body["model"]) == ("ok", "It is.", "victoria", "tiny")
    assert body["session_id"] == response.headers["x-request-id"], "one that the next question can name"
    assert response.headers["x-warden-route"] == "victoria"


@pytest.mark.parametrize("path", ["/chat/stream", "/chat/send"])
def test_what_is_asked_of_the_gateway(http, gateway, path):
    response = http.post(path, json=ASKED)
    http.post(path, json={"content": "and now?", "use_victoria": False, "model": "tiny", "session_id": "s1",
                          "mode": "coding", "max_steps": 7, "made_up": [1],
                          "chat_history": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]})
    plain, full = gateway.all(Submit)
    assert (plain.kind, plain.priority, plain.victoria, plain.model, plain.category, plain.max_steps) == (
        "chat", "high", True, "", "", 0)
    assert plain.session == response.headers["x-request-id"]
    assert plain.messages == [Message("user", "hi")] and plain.caller == "127.0.0.1"
    assert (full.kind, full.victoria, full.model, full.session, full.category, full.max_steps) == (
        "chat", False, "tiny", "s1", "coding", 7)
    assert full.messages == [Message("user", "hi"), Message("assistant", "ho"), Message("user", "and now?")]


def test_null_is_absent(http, gateway):
    names = ("model", "session_id", "mode", "chat_history", "max_steps", "use_victoria")
    for name in names:
        assert http.post("/chat/send", json=ASKED | {name: None}).status_code == 200, name
    assert all(submit.victoria for submit in gateway.all(Submit))


@pytest.mark.parametrize(("body", "field"), [
    ({}, "content: "), ({"content": " \n"}, "content: "), ({"content": 5}, "content: "),
    (ASKED | {"use_victoria": "yes"}, "use_victoria: "), (ASKED | {"max_steps": -1}, "max_steps: "),
    (ASKED | {"session_id": "s" * 257}, "session_id: "), (ASKED | {"model": 3}, "model: "),
    (ASKED | {"chat_history": [{"role": "wizard", "content": ""}]}, "chat_history[0].role: "),
    (ASKED | {"chat_history": "hi"}, "chat_history: ")])
@pytest.mark.parametrize("path", ["/chat/stream", "/chat/send"])
def test_wrong_values_are_400_and_name_the_field(http, gateway, path, body, field):
    response = http.post(path, json=body)
    assert response.status_code == 400 and response.json()["error"].startswith(field), response.text
    assert not gateway.all(Submit)


def test_nobody_who_could_answer_is_said_clearly(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "model_unavailable", "tiny crashed three times; `warden load tiny`")]
    for path in ("/chat/stream", "/chat/send"):
        response = http.post(path, json=ASKED | {"use_victoria": False})
        assert response.status_code == 503 and response.json() == {
            "error": "tiny crashed three times; `warden load tiny`"}
        assert response.headers["x-should-retry"] == "false"


def test_a_failure_in_mid_stream_is_an_error_event_and_no_end(http, gateway):
    gateway.on[Submit] = lambda s: [*agent(s)[:-1], error(s.id, "upstream_failed", "victoria broke off")]
    told = events(http.post("/chat/stream", json=ASKED).text)
    assert [each["type"] for each in told] == ["start", "step", "chunk", "chunk", "error"]
    assert (told[-1]["content"], told[-1]["code"]) == ("victoria broke off", "upstream_failed")


def test_a_caller_that_leaves_while_the_agent_works_is_cancelled(stack, gateway):
    gateway.on[Submit] = lambda s: agent(s)[:4]
    with RawHttp(stack.port) as raw:
        raw.post("/chat/stream", json.dumps(ASKED).encode())
        raw.read_until(b'"think"')
        submit = gateway.wait_for(Submit)
    gateway.wait_for_cancel(submit.id)


# -- who could answer ----------------------------------------------------------------------------------------------


@pytest.fixture
def table(stack):
    table = stack.make_table()
    yield table
    table.close()
    stack.table_path.unlink()


def beat(table) -> None:
    for kind in (ControlWords, GatewayWords):
        writer = table.writer(kind)
        writer.set(epoch=1, heartbeat_ns=time.monotonic_ns())
        writer.flush()


def serve(table, index: int, slug: str, breaker: Breaker = Breaker.CLOSED) -> None:
    """The row of a relay that is ready."""
    table.name_row(index, slug)
    writer = table.writer(RowControl, index)
    writer.set(incarnation=1, phase=Phase.ALIVE, pid=4711)
    writer.flush()
    writer = table.writer(RowWorker, index)
    writer.set(incarnation=1, phase=Phase.READY, heartbeat_ns=time.monotonic_ns(), breaker=breaker)
    writer.flush()


def test_status_without_a_table_is_degraded(http, gateway):
    gateway.kill()
    try:
        found = http.get("/status").json()
    finally:
        gateway.revive(gateway.epoch + 1)
    assert (found["status"], found["backend"]) == ("degraded", None)
    assert "no table" in found["backends"]["mlx"]["reason"]


def test_status_names_who_would_answer_a_chat(http, table):
    beat(table)
    found = http.get("/status").json()
    assert (found["status"], found["backend"]) == ("ok", "mlx") and not found["backends"]["victoria"]["healthy"]
    serve(table, 0, "relay-victoria")
    beat(table)
    found = http.get("/status").json()
    assert found["backend"] == "victoria" and found["backends"]["mlx"]["healthy"]
    serve(table, 0, "relay-victoria", Breaker.OPEN)
    beat(table)
    assert http.get("/status").json()["backend"] == "mlx"


def test_a_relay_that_an_operator_stopped_is_stopped(http, table):
    beat(table)
    table.name_row(0, "relay-victoria")
    for kind, words in ((RowControl, {"phase": Phase.DOWN}),
                        (RowReason, text_words(RowReason, STOPPED.format(slug="relay-victoria"))._asdict())):
        writer = table.writer(kind, 0)
        writer.set(**words)
        writer.flush()
    assert http.get("/status").json()["backends"]["victoria"] == {
        "healthy": False, "state": "stopped",
        "reason": "an operator stopped it; `warden ctl start relay-victoria` brings it back"}


def test_models_are_those_of_the_caller_and_the_agent(http, gateway, table):
    gateway.models = [model_info("tiny"), model_info("broken", state="quarantined")]
    beat(table)
    serve(table, 0, "relay-victoria")
    found = http.get("/models").json()["models"]
    assert [(each["name"], each["backend"], each["available"]) for each in found] == [
        ("victoria", "victoria", True), ("tiny", "mlx", True), ("broken", "mlx", False)]
