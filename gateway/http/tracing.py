"""Distributed traces (OpenTelemetry), if somebody asks for them; else only the caller's `traceparent` is passed on.

Asked for by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) says where spans go,
OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER=none, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES mean what they always mean.
The packages are the extra `mlx-warden[otel]`; without them a line of the journal says so, and nothing else changes.

A request for an answer is one span, named after what is done and the model, with the names of the GenAI semantic
conventions (source: OpenTelemetry semantic conventions, registry attributes gen-ai) and ours (`warden.*`) for route,
reason, class and waits. Other servers that work is handed to are told the span as their parent. No prompt, no answer
and no key is in a span. Spans leave in batches from a thread of their own: no request waits for a collector.
"""

import re
from collections.abc import Callable, Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gateway.http.call import Call

SERVICE = "mlx-warden"
TRACEPARENT = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MISSING = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed"
REMEDY = "pip install 'mlx-warden[otel]', or unset it"
SHUTDOWN_WITHIN_S = 2.0
FAILED_FROM = 500  # of the status codes: those that are our fault
OPERATIONS = (("embed", "embeddings"), ("/chat", "chat"), ("/v1/messages", "chat"), ("/v1/responses", "chat"))


class Tracing(Protocol):
    def begin(self, call: "Call") -> str:
        """The `traceparent` that goes on with the request; "" for none."""

    def end(self, call: "Call", status: int, code: str) -> None:
        """The request is over. `code`: of its error, "" if there was none."""

    def close(self) -> None:
        """What is not sent yet is sent; waits for SHUTDOWN_WITHIN_S at most."""


class PassedOn:
    """Nobody collects spans here."""

    def begin(self, call: "Call") -> str:
        return traceparent_of(call.headers)

    def end(self, call: "Call", status: int, code: str) -> None: ...

    def close(self) -> None: ...


def traceparent_of(headers: Mapping[str, str]) -> str:
    """The caller's; one that is not well formed counts as none, as the standard has it."""
    given = headers.get("traceparent", "").strip()
    return given if TRACEPARENT.fullmatch(given) else ""


def make_tracing(env: Mapping[str, str], note: Callable[..., None]) -> Tracing:
    """As the variables say. Never raises for what is missing or wrong: `note` writes it into the journal."""
    wanted = any(env.get(name) for name in ENDPOINTS) and env.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    if not wanted or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return PassedOn()
    try:
        return Spans(_exporter())
    except ImportError:
        note("tracing_off", reason=MISSING, remedy=REMEDY)
        return PassedOn()
    except ValueError as problem:
        note("tracing_off", reason=f"OpenTelemetry refuses its variables: {problem}", remedy="mend or unset OTEL_*")
        return PassedOn()


def _exporter() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


class Spans:
    """`exporter`: an OpenTelemetry SpanExporter."""

    def __init__(self, exporter: Any) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create()
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": SERVICE}))
        self._processor = BatchSpanProcessor(exporter)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer(SERVICE)
        self._propagator = TraceContextTextMapPropagator()
        self._server, self._error = SpanKind.SERVER, Status(StatusCode.ERROR)

    def begin(self, call: "Call") -> str:
        from opentelemetry.trace import set_span_in_context

        call.asked_model = call.model
        context = self._propagator.extract(call.headers)
        call.span = self._tracer.start_span(operation_of(call.scope["path"]), context, self._server)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(call.span))
        return carrier.get("traceparent", "")

    def end(self, call: "Call", status: int, code: str) -> None:
        span = call.span
        if span is None:
            return
        operation = operation_of(call.scope["path"])
        span.update_name(f"{operation} {call.model}".rstrip())
        span.set_attributes(attributes_of(call, operation, status, code))
        if status >= FAILED_FROM:
            span.set_status(self._error)
        span.end()
        call.span = None

    def close(self) -> None:
        """The packages wait for a collector that hangs, batch after batch, and know no limit: they are left to it."""
        closing = Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(SHUTDOWN_WITHIN_S)


def operation_of(path: str) -> str:
    """What is done, as the conventions name it."""
    return next((name for part, name in OPERATIONS if part in path), "text_completion")


def attributes_of(call: "Call", operation: str, status: int, code: str) -> dict[str, Any]:
    """What a span says. No text of anybody."""
    route, done = call.told.get("x-warden-route", ""), call.done
    said: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": (done.route if done else route).rpartition(">")[2] or "mlx",
        "gen_ai.request.model": call.asked_model,
        "http.request.method": call.scope["method"], "url.path": call.scope["path"],
        "http.response.status_code": status,
        "error.type": code,
        "warden.request_id": call.request_id, "warden.route": route,
        "warden.reason": call.told.get("x-warden-reason", ""),
    }
    if done is not None:
        usage, times = done.usage, done.timings
        said |= {
            "gen_ai.response.model": done.model,
            "gen_ai.response.finish_reasons": (done.finish_reason,),
            "gen_ai.usage.input_tokens": usage.prompt_tokens, "gen_ai.usage.output_tokens": usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "warden.priority": done.priority, "warden.queue_ms": times.queue_ms, "warden.load_ms": times.load_ms,
            "warden.prompt_ms": times.prompt_ms, "warden.decode_ms": times.decode_ms,
        }
    return {name: value for name, value in said.items() if value not in ("", ())}
