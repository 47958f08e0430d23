"""The reference for the path of one request over HTTP: uvicorn, and an ASGI function that answers one token.

Bare: uvloop and httptools as in our face, no framework, no gateway behind it. The body is read and decoded as JSON, and
the answer is a stream of Server-Sent Events as our face writes them, so that the same load generator reads both.

    python -m uvicorn bench.ref_echo:app

`uvicorn_echo` starts it. Refused: a body that is not JSON (400), and one larger than BODY_MAX_BYTES (413).
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.load import Target
from bench.program import Program, free_port, python_module

NAME = "uvicorn-echo"
MODEL = "echo"
BODY_MAX_BYTES = 1024 * 1024
READY_WITHIN_S = 30.0
CHUNK = b'data: {"id":"1","object":"chat.completion.chunk","created":0,"model":"echo","choices":[%s]%s}\n\n'
USAGE = b',"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}'
FIRST = CHUNK % (b'{"index":0,"delta":{"role":"assistant","content":"t0"},"finish_reason":null}', b"")
LAST = CHUNK % (b'{"index":0,"delta":{},"finish_reason":"length"}', b"") + CHUNK % (b"", USAGE) + b"data: [DONE]\n\n"
EVENTS = [(b"content-type", b"text/event-stream")]
TEXT = [(b"content-type", b"text/plain")]

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]

decode = msgspec.json.Decoder().decode


async def app(scope: dict, receive: Receive, send: Send) -> None:
    """Any path; a request without a body gets a token, too (the load generator opens its connections with GET)."""
    if scope["type"] != "http":
        return
    body = await read_body(receive)
    if len(body) > BODY_MAX_BYTES:
        await answer_error(send, 413)
        return
    try:
        decode(body or b"{}")
    except msgspec.DecodeError:
        await answer_error(send, 400)
        return
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    await send({"type": "http.response.body", "body": FIRST, "more_body": True})
    await send({"type": "http.response.body", "body": LAST})


async def read_body(receive: Receive) -> bytes:
    """All of it, or a little more than BODY_MAX_BYTES of it."""
    body, more = b"", True
    while more and len(body) <= BODY_MAX_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer_error(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": TEXT})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def uvicorn_echo(folder: Path) -> Iterator[tuple[Target, Program]]:
    """Serve it while the block runs. Raises: BenchFailed."""
    port = free_port()
    command = python_module(
        "uvicorn", "bench.ref_echo:app", "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--lifespan", "off", "--no-access-log", "--log-level", "warning")
    with Program(NAME, command, folder) as program:
        program.wait_listening(port, READY_WITHIN_S)
        yield Target(NAME, "http", f"http://127.0.0.1:{port}", MODEL), program
