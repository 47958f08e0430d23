"""A scripted Victoria agent: POST /stream as server-sent events, and GET /health.

`python -m tests.support.scripted_victoria --port N --behaviour FILE`; see tests/support/scripted_server.py. `steps` of
the behaviour come as events of their own before the words: "step: text" or "progress: text".
"""

import json
import sys

from tests.support.scripted_server import Behaviour, Request, Script, main

EVENT_ENDS = b"\n"  # with the end of the line itself the blank line that ends an event


class VictoriaScript(Script):
    content_type = "text/event-stream"

    def probe(self, path: str, behaviour: Behaviour) -> bytes | None:
        return b'{"status": "healthy"}' if path == "/health" else None

    def is_work(self, request: Request) -> bool:
        return request.path == "/stream"

    def before(self, request: Request, behaviour: Behaviour) -> list[bytes]:
        steps = [step.partition(": ") for step in behaviour.steps]
        return [b": a comment", _event("start", request.body["goal"]), *(_event(kind, text) for kind, _, text in steps)]

    def word(self, request: Request, text: str) -> bytes:
        return _event("chunk", text)

    def end(self, request: Request, behaviour: Behaviour) -> bytes:
        return _event("end", {"status": "done", "correlation_id": request.headers.get("x-correlation-id")})

    def error(self, problem: str) -> bytes:
        return _event("error", problem)


def _event(kind: str, content: object) -> bytes:
    return b"data: " + json.dumps({"type": kind, "content": content}).encode() + EVENT_ENDS


if __name__ == "__main__":
    sys.exit(main(VictoriaScript()))
