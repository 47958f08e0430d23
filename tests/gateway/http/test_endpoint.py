"""What the journal says of a request, how a server that stops has the last word, and the shortest way to a handler."""

import asyncio

import httpx
import msgspec

from control.config import Config
from gateway.http.call import Services
from gateway.http.endpoint import Endpoint, Straight
from gateway.http.openai_chat import chat_completions
from gateway.protocol import ListModels, Started, Submit
from tests.support.fake_gateway import accepted, done, error, tokens
from tests.support.raw_http import RawHttp
from tests.support.supervisor_home import wait_until

HI = b'{"messages": [{"role": "user", "content": "hi"}]}'
CHAT, COMPLETIONS = "/api/chat", "/v1/chat/completions"


def test_a_failure_of_ours_is_one_line_of_the_journal_without_a_word_of_the_question(stack, http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), error(s.id, "queue_full", "50 waiting")]
    http.post(CHAT, content=HI, headers={"content-type": "application/json", "x-request-id": "mine"})
    [(event, facts)] = stack.notes
    assert event == "request_failed" and facts.pop("ms") >= 0
    assert facts == {"request_id": "mine", "path": CHAT, "model": "tiny", "status": 503, "code": "queue_full"}


def test_a_failure_in_mid_stream_is_noted_with_the_status_it_could_not_have(stack, http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a"), error(s.id, "worker_crashed")]
    assert http.post(CHAT, content=HI, headers={"content-type": "application/json"}).status_code == 200
    [(_, facts)] = wait_until("the note", lambda: list(stack.notes))
    assert (facts["model"], facts["status"], facts["code"]) == ("tiny", 500, "worker_crashed")


def test_an_exception_nobody_expected_is_noted_with_its_request(stack, gateway):
    gateway.on[ListModels] = lambda m: [gateway._result(m.id, "not a list of models")]
    with httpx.Client(base_url=stack.url) as http:
        request_id = http.get("/api/tags").headers["x-request-id"]
    [(_, facts)] = stack.notes
    assert (facts["request_id"], facts["status"], facts["code"]) == (request_id, 500, "internal")


def test_a_caller_that_leaves_while_it_waits_is_noted_as_499(stack, gateway):
    gateway.on[Submit] = gateway.hold
    with RawHttp(stack.port) as raw:
        raw.post(CHAT, HI.replace(b"{", b'{"model": "small:1b", ', 1))
        gateway.wait_for(Submit)
    [(_, facts)] = wait_until("the note", lambda: list(stack.notes))
    assert (facts["status"], facts["code"]) == (499, "caller_left")
    assert facts["model"] in ("small:1b", "tiny")  # as asked for, or as resolved if that came in time


def test_an_answer_is_one_line_with_the_id_the_caller_knows_and_no_word_of_it(stack, http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), Started(s.id, "tiny", "mlx>ollama", "down", 1, 0.0, 0.0),
                                    tokens(s.id, 0, "secret words"), done(s.id)]
    answer = http.post(CHAT, content=HI, headers={"content-type": "application/json", "x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    [(event, facts)] = wait_until("the note", lambda: list(stack.notes))
    assert event == "request_ended" and facts.pop("ms") >= 0
    assert facts == {"request_id": "mine", "path": CHAT, "model": "tiny", "status": 200, "route": "mlx>ollama"}
    assert gateway.wait_for(Submit).trace == "mine"


def test_a_fault_of_the_caller_is_noted_by_its_code_and_lists_are_not(stack, http):
    assert http.post(CHAT, content=b"[]", headers={"content-type": "application/json"}).status_code == 400
    [(event, facts)] = wait_until("the note", lambda: list(stack.notes))
    assert (event, facts["status"], facts["code"]) == ("request_refused", 400, "invalid_request")
    assert http.get(CHAT).status_code == 405 and http.get("/api/tags").status_code == 200
    assert len(stack.notes) == 1


def test_a_server_that_stops_answers_even_who_still_sends_its_body():
    async def stop_in_mid_body() -> tuple[list[dict], list[tuple]]:
        sent, notes, reading = [], [], asyncio.Event()

        async def receive() -> None:
            reading.set()
            await asyncio.Event().wait()

        async def send(message: dict) -> None:
            sent.append(message)

        services = Services(Config(source="", models=()), None, None, lambda event, **facts: notes.append(facts),
                            None)
        scope = {"method": "POST", "path": COMPLETIONS, "request_id": "1",
                 "headers": [(b"content-type", b"application/json")]}
        task = asyncio.create_task(Endpoint(services, "openai", POST=chat_completions)(scope, receive, send))
        await reading.wait()
        task.cancel()
        await task  # the cancellation ends here: uvicorn would answer it with a plain text 500
        return sent, notes

    (start, body), [note] = asyncio.run(stop_in_mid_body())
    assert start["status"] == 503 and (b"retry-after", b"1") in start["headers"]
    assert msgspec.json.decode(body["body"])["error"]["code"] == "gateway_unavailable"
    assert (note["status"], note["code"]) == (503, "gateway_unavailable")


def test_a_path_without_a_parameter_goes_straight_and_all_else_through_the_routes():
    came: list[tuple[str, str]] = []

    def named(name: str):
        async def app(scope: dict, receive: object, send: object) -> None:
            came.append((name, scope["type"]))

        return app

    routes = named("routes")
    straight = Straight(routes, {"/a": named("a"), "/b/{name}": named("b")})
    scopes = [{"type": "http", "path": path} for path in ("/a", "/b/x", "/b/{name}", "/a/")] + [{"type": "lifespan"}]
    for scope in scopes:
        asyncio.run(straight(scope, None, None))
    assert came == [("a", "http"), *[("routes", "http")] * 3, ("routes", "lifespan")]
    assert scopes[0]["app"] is routes and "endpoint" not in scopes[1]
