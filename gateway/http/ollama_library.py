"""The Ollama dialect about which models there are: /api/pull, /api/copy, /api/delete.

A pull is told as Ollama tells it: `pulling manifest`, for each large file `pulling <12 hex digits>` with digest, total
and completed (by which its command draws bars), `verifying sha256 digest`, `writing manifest`, `success`. A small file
has no SHA-256 on the hub, so it is told by its name and without one. Whoever leaves stops the download; the next pull
goes on from there. A line comes every few seconds at least, whatever the network does.

A directory of this machine may be given by who is on this machine, by an absolute path; it is called by its last part.
Who comes by a proxy that says so is not on this machine; the gateway refuses who gives a key.
"""

import msgspec

from gateway.client import GatewayError
from gateway.http.asking import is_here, who_asks
from gateway.http.call import JSON, Call
from gateway.http.errors import Problem, error_body
from gateway.http.fields import Asks
from gateway.protocol import Fetching, PullDone, Result, decode_pull

NDJSON = "application/x-ndjson"
PULLING = "pulling"
DIGITS = 12
BY_A_PROXY = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class NameRequest(msgspec.Struct):
    """`name` is how older clients say `model`."""

    model: str | None = None
    name: str | None = None


class PullRequest(NameRequest):
    stream: bool | None = None
    insecure: bool | None = None


class CopyRequest(msgspec.Struct):
    source: str | None = None
    destination: str | None = None


OLD = {"name": "older clients say so"}
ASKS = (
    Asks("ollama", "/api/pull", PullRequest, {"model": "guide"}, answer={"status": "success"},
         notes={**OLD, "model": "a repository of the Hugging Face hub, or an absolute directory"},
         ignored={"insecure": "the hub is asked as HF_ENDPOINT says"}),
    Asks("ollama", "/api/copy", CopyRequest, {"source": "guide", "destination": "guide-copy"},
         notes={"destination": "a further name, which lasts; the weights are not copied"}),
    Asks("ollama", "/api/delete", NameRequest, {"model": "guide-copy"}, method="DELETE", notes=OLD),
)


async def pull(call: Call) -> None:
    asked = await call.read_json(PullRequest)
    name = model_of(asked)
    if name.startswith(("/", "~", ".")) and (
            not is_here(call.caller) or any(name in call.headers for name in BY_A_PROXY)):
        raise Problem("invalid_request", "model: a directory can be given only on the machine itself", "model")
    call.model = name
    answer = call.services.client.ask_pull(name, **who_asks(call))
    streamed = asked.stream is None or asked.stream
    try:
        with call.watching(answer.leave):
            async for event in answer:
                if isinstance(event, Fetching) and streamed:
                    await say(call, line(event))
                elif isinstance(event, Result):
                    await end(call, decode_pull(event.value), streamed=streamed)
    except GatewayError as error:
        if not call.started:
            raise
        call.failed(error.status, error.code)
        await call.body(msgspec.json.encode(error_body(call.dialect, error.code, error.message)) + b"\n", more=False)
    finally:
        answer.leave()


async def say(call: Call, value: dict[str, object], *, more: bool = True) -> None:
    if not call.started:
        await call.start(200, NDJSON, {"cache-control": "no-cache"})
    await call.body(msgspec.json.encode(value) + b"\n", more=more)


async def end(call: Call, done: PullDone, *, streamed: bool) -> None:
    success = {"status": "success"}
    if not streamed:
        await call.reply_json(success, headers={"x-warden-model": done.model})
        return
    if done.text:
        await say(call, {"status": f"{done.model}: {done.text}"})
    await say(call, success, more=False)


def line(event: Fetching) -> dict[str, object]:
    """As Ollama says it. A field that would be empty is not there."""
    if event.status != PULLING:
        return {"status": event.status}
    about = event.digest[:DIGITS] or event.file
    told: dict[str, object] = {"status": f"{PULLING} {about}"}
    if event.digest:
        told |= {"digest": f"sha256:{event.digest}", "total": event.total_bytes}
        told |= {"completed": event.completed_bytes} if event.completed_bytes else {}
    return told


async def copy(call: Call) -> None:
    asked = await call.read_json(CopyRequest)
    for field in ("source", "destination"):
        if not getattr(asked, field):
            raise Problem("invalid_request", f"{field}: is required", field)
    call.model = asked.source
    await call.services.client.copy(asked.source, asked.destination, **who_asks(call))
    await call.reply(b"", JSON)


async def delete(call: Call) -> None:
    call.model = model_of(await call.read_json(NameRequest))
    await call.services.client.delete(call.model, **who_asks(call))
    await call.reply(b"", JSON)


def model_of(asked: NameRequest) -> str:
    """Raises: Problem."""
    name = asked.model or asked.name
    if not name:
        raise Problem("invalid_request", "model: is required", "model")
    return name
