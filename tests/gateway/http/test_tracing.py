"""Traces: what a collector gets over OTLP, what other servers are told, and that nobody's words are in it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.http import tracing
from gateway.http.tracing import MISSING, PassedOn, Spans, make_tracing, operation_of, traceparent_of
from gateway.protocol import Done, Started, Submit, Timings, Usage
from tests.support.fake_gateway import accepted, error, tokens
from tests.support.http_stack import HttpStack

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
TIMES = Timings(2.0, 3.0, 4.0, 5.0, 14.0)
SOON_S, HANGS_S = 0.1, 10.0
SECRET = "a very private question"
ASKED = {"model": "small:1b", "stream": False, "messages": [{"role": "user", "content": SECRET}]}


class Collector(ThreadingHTTPServer):
    """Takes spans over OTLP/HTTP, as a real one does; `spans` by name, `raw` as they came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TakesSpans)
        self.raw = b""
        self.spans: dict[str, dict] = {}
        self.resource: dict[str, str] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class TakesSpans(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.raw += body
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.resource = values(group.resource.attributes)
            for scope in group.scope_spans:
                self.server.spans |= {span.name: {"span": span, **values(span.attributes)} for span in scope.spans}
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def values(attributes) -> dict:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def collector(monkeypatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector
        collector.shutdown()


def answer(submit: Submit) -> list:
    return [accepted(submit.id, 1), Started(submit.id, "tiny", "mlx>ollama", "down", 1, 2.0, 3.0),
            tokens(submit.id, 0, SECRET),
            Done(submit.id, "stop", "tiny", Usage(7, 3), TIMES, "medium", "mlx>ollama", "down")]


def test_a_request_is_a_span_below_its_callers_with_usage_and_route_and_no_words(collector, tmp_path):
    with HttpStack(tmp_path, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as stack:
        stack.gateway.on[Submit] = answer
        reply = stack.client.post("/v1/chat/completions", json=ASKED, headers={
            "traceparent": TRACEPARENT, "x-request-id": "mine"})
        assert reply.status_code == 200
        told = stack.gateway.wait_for(Submit).traceparent
        stack.gateway.on[Submit] = lambda s: [accepted(s.id, 1), error(s.id, "worker_crashed")]
        assert stack.client.post("/api/generate", json={"model": "tiny", "prompt": SECRET}).status_code == 500
        stack.client.get("/api/tags")
    assert sorted(collector.spans) == ["chat tiny", "text_completion tiny"]  # whoever is stopped sends what it has
    found = collector.spans["chat tiny"]
    span = found.pop("span")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert told == f"00-{TRACE}-{span.span_id.hex()}-01"  # other servers stand below this span
    assert found["gen_ai.operation.name"] == "chat" and found["gen_ai.provider.name"] == "ollama"
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == ("small:1b", "tiny")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (7, 3)
    assert (found["warden.request_id"], found["warden.route"], found["warden.reason"]) == ("mine", "mlx>ollama", "down")
    failed = collector.spans["text_completion tiny"]
    assert failed["error.type"] == "worker_crashed" and failed["http.response.status_code"] == 500
    assert failed["span"].status.code == 2  # ERROR
    assert collector.resource["service.name"] == "mlx-warden"
    assert SECRET.encode() not in collector.raw and b"very private" not in collector.raw


def test_a_collector_that_is_away_costs_no_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with HttpStack(tmp_path, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as stack:
        stack.gateway.on[Submit] = answer
        assert stack.client.post("/v1/chat/completions", json=ASKED).status_code == 200


def test_without_a_collector_the_callers_traceparent_goes_on_as_it_came(tmp_path):
    with HttpStack(tmp_path) as stack:
        stack.client.post("/api/chat", json=ASKED, headers={"traceparent": TRACEPARENT})
        assert stack.gateway.wait_for(Submit).traceparent == TRACEPARENT
        assert stack.client.post("/api/chat", json=ASKED, headers={"traceparent": "nonsense"}).status_code == 200
        assert stack.gateway.wait_for(Submit, 2).traceparent == ""


class Hangs:
    """An exporter whose collector takes a batch and says nothing."""

    def __init__(self) -> None:
        self.began, self.answered, self.ended = (threading.Event() for _ in range(3))

    def export(self, spans) -> None:
        self.began.set()
        self.answered.wait(HANGS_S)
        self.ended.set()

    def shutdown(self) -> None: ...


def test_who_stops_does_not_wait_for_a_collector_that_hangs(monkeypatch):
    monkeypatch.setattr(tracing, "SHUTDOWN_WITHIN_S", SOON_S)
    exporter = Hangs()
    spans = Spans(exporter)
    spans._tracer.start_span("chat").end()
    spans.close()
    assert exporter.began.wait(HANGS_S) and not exporter.ended.is_set()
    exporter.answered.set()


@pytest.mark.parametrize("given", ["", "x", TRACEPARENT.upper(), TRACEPARENT + "\n x", TRACEPARENT + "-more",
                                   "ff" + TRACEPARENT[2:], TRACEPARENT.replace(TRACE, "0" * 32),
                                   TRACEPARENT.replace(PARENT, "0" * 16)])
def test_what_is_no_traceparent_counts_as_none(given):
    assert traceparent_of({"traceparent": given}) == "" and traceparent_of({}) == ""


@pytest.mark.parametrize("env", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
                                 {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"},
                                 {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "TRUE"}])
def test_nobody_traces_who_was_not_asked_to(env):
    assert isinstance(make_tracing(env, None), PassedOn)


def test_a_missing_package_is_told_once_and_harms_nobody(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    notes = []
    made = make_tracing({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, lambda event, **facts: notes.append(
        (event, facts["reason"])))
    assert isinstance(made, PassedOn) and notes == [("tracing_off", MISSING)]
    assert json.dumps(notes)


def test_a_wrong_variable_is_told_and_harms_nobody(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    notes = []
    made = make_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, lambda event, **facts: notes.append(
        (event, facts["reason"])))
    assert isinstance(made, PassedOn) and notes[0][0] == "tracing_off" and "max_queue_size" in notes[0][1]


@pytest.mark.parametrize(("path", "operation"), [
    ("/api/chat", "chat"), ("/v1/chat/completions", "chat"), ("/v1/messages", "chat"), ("/v1/responses", "chat"),
    ("/chat/stream", "chat"), ("/api/generate", "text_completion"), ("/v1/completions", "text_completion"),
    ("/api/embed", "embeddings"), ("/v1/embeddings", "embeddings")])
def test_operations_have_the_names_of_the_conventions(path, operation):
    assert operation_of(path) == operation
