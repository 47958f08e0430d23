"""`warden ask`: one question, its answer streamed to stdout as it comes; over ZeroMQ, or with --http over HTTP.

How it is shown is `one_answer`'s. Ctrl-C cancels the request. Exit code 2 if the request itself was at fault, 1 if it
failed for another reason.
"""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.options import Json, Key, ModelOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from control.config import Config
    from control.home import Home
    from gateway.protocol import Event

HTTP_SILENCE_TIMEOUT_S = 900.0  # a queue deadline and a load, both at their defaults
ERROR_BODY_MAX_BYTES = 64 * 1024
CALLER_ERRORS = set(range(400, 500)) - {408, 409, 429}  # which may go well another time


def ask(
    question: str,
    model: ModelOption = "",
    http: Annotated[bool, typer.Option("--http", help="Ask over HTTP instead of ZeroMQ.")] = False,
    priority: Annotated[Literal["high", "medium", "low"], typer.Option(help="Class of the request.")] = "medium",
    max_tokens: Annotated[int, typer.Option(min=0, help="Longest answer; 0: the model's own limit.")] = 0,
    as_json: Json = False,
    key: Key = "",
) -> None:
    """Ask a model and stream the answer."""
    from gateway.cli.one_answer import show_answer
    from gateway.cli.settings import read_config, read_home

    config = read_config()
    if http:
        events = ask_over_http(config, question, model, priority, max_tokens, key)
    else:
        events = ask_over_zeromq(read_home(), question, model, priority, max_tokens, key)
    show_answer(events, as_json=as_json)


def ask_over_zeromq(home: "Home", question: str, model: str, priority: str, max_tokens: int,
                    key: str = "") -> "Iterator[Event]":
    """Raises: CommandFailed."""
    from gateway.cli.connection import connected
    from gateway.protocol import Message, Options

    with connected(home, key=key) as client:
        yield from client.generate(model=model, messages=[Message("user", question)], priority=priority,
                                   options=Options(max_tokens=max_tokens or None))


def ask_over_http(config: "Config", question: str, model: str, priority: str, max_tokens: int,
                  key: str = "") -> "Iterator[Event]":
    """What `/api/chat` says, in the words of the client protocol. Raises: CommandFailed."""
    import http.client
    import json

    from gateway.protocol import Tokens

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
            said = event["message"]
            yield Tokens("", 0, [], said["content"], said.get("thinking", ""))
            if done:
                yield done_of(event, priority)
        if not done:
            raise CommandFailed("the answer broke off")
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(f"no answer from http://{config.host}:{config.port}: {error}; is the stack up?") from None
    finally:
        connection.close()


def done_of(event: dict, priority: str) -> "Event":
    """The last line of `/api/chat`, whose times are in nanoseconds."""
    from gateway.protocol import Done, Timings, Usage

    names = ("queue", "load_duration", "prompt_eval_duration", "eval_duration", "total_duration")
    usage = Usage(event.get("prompt_eval_count", 0), event.get("eval_count", 0))
    reason = "length" if event.get("done_reason") == "length" else "stop"
    return Done("", reason, event.get("model", ""), usage, Timings(*(event.get(name, 0) / 1e6 for name in names)),
                priority)


def _refused(status: int, body: bytes, retry_after: str | None) -> CommandFailed:
    import json

    from gateway.cli.connection import with_retry

    try:
        message = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP status {status}"
    retry_after_s = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    return CommandFailed(with_retry(message, retry_after_s), USAGE if status in CALLER_ERRORS else FAILED)
