"""`warden ask`: one question, its answer streamed to stdout as it comes; over ZeroMQ, or with --http over HTTP.

What happens meanwhile (waiting, loading, another backend or class than asked for) goes to stderr, so that a pipe gets
the answer and nothing else. Ctrl-C cancels the request. Exit code 2 if the request itself was at fault, 1 if it failed
for another reason.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.options import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from control.config import Config
    from control.home import Home

HTTP_SILENCE_TIMEOUT_S = 900.0  # a queue deadline and a load, both at their defaults
ERROR_BODY_MAX_BYTES = 64 * 1024
CALLER_ERRORS = set(range(400, 500)) - {408, 409, 429}  # which may go well another time


def ask(
    question: str,
    model: Annotated[str, typer.Option(help="Name or alias; by default the default model.")] = "",
    http: Annotated[bool, typer.Option("--http", help="Ask over HTTP instead of ZeroMQ.")] = False,
    priority: Annotated[Literal["high", "medium", "low"], typer.Option(help="Class of the request.")] = "medium",
    max_tokens: Annotated[int, typer.Option(min=0, help="Longest answer; 0: the model's own limit.")] = 0,
    key: Key = "",
) -> None:
    """Ask a model and stream the answer."""
    from gateway.cli.settings import read_config, read_home

    config = read_config()
    if http:
        pieces = ask_over_http(config, question, model, priority, max_tokens, key)
    else:
        pieces = ask_over_zeromq(read_home(), question, model, priority, max_tokens, key)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def ask_over_zeromq(home: "Home", question: str, model: str, priority: str, max_tokens: int,
                    key: str = "") -> "Iterator[str]":
    """The pieces of the answer. Raises CommandFailed."""
    from gateway.cli.connection import connected
    from gateway.protocol import HANDED_ON, Accepted, Message, Options, Progress, Started, Tokens

    fields = {
        "model": model,
        "messages": [Message("user", question)],
        "priority": priority,
        "options": Options(max_tokens=max_tokens or None),
    }
    with connected(home, key=key) as client:
        told = ("", "")
        for event in client.generate(**fields):
            if isinstance(event, Tokens):
                yield event.text
            elif isinstance(event, Progress) and (event.reason, event.detail) != told and event.reason != HANDED_ON:
                told = (event.reason, event.detail)
                detail = f": {event.detail}" if event.detail not in ("", event.reason) else ""
                about = "" if event.reason == "memory" else f", about {event.estimate_s:.0f} s"  # nobody can know that
                print(f"[{event.reason}{about}{detail}]", file=sys.stderr)
            elif isinstance(event, Accepted) and event.clamped:
                print(f"[class {event.priority}: this key does not allow {event.clamped}]", file=sys.stderr)
            elif isinstance(event, Started) and event.reason:
                print(f"[{event.route}: {event.reason}]", file=sys.stderr)


def ask_over_http(config: "Config", question: str, model: str, priority: str, max_tokens: int,
                  key: str = "") -> "Iterator[str]":
    """The pieces of the answer from `/api/chat`. Raises CommandFailed."""
    import http.client
    import json

    default = config.find("")
    body = {
        "model": model or (default.name if default else ""),
        "messages": [{"role": "user", "content": question}],
        "options": {"num_predict": max_tokens} if max_tokens else {},
    }
    headers = {"Content-Type": "application/json", "X-Request-Priority": priority}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection(config.host, config.port, timeout=HTTP_SILENCE_TIMEOUT_S)
    try:
        connection.request("POST", "/api/chat", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise _refused(response.status, response.read(ERROR_BODY_MAX_BYTES), response.getheader("Retry-After"))
        done = False
        while line := response.readline():
            event = json.loads(line)
            if "error" in event:
                raise CommandFailed(str(event["error"]))
            done = event.get("done", False)
            yield event["message"]["content"]
        if not done:
            raise CommandFailed("the answer broke off")
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(f"no answer from http://{config.host}:{config.port}: {error}; is the stack up?") from None
    finally:
        connection.close()


def _refused(status: int, body: bytes, retry_after: str | None) -> CommandFailed:
    import json

    from gateway.cli.connection import with_retry

    try:
        message = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP status {status}"
    retry_after_s = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    return CommandFailed(with_retry(message, retry_after_s), USAGE if status in CALLER_ERRORS else FAILED)
