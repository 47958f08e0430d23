"""The chat endpoints of a chat front end with an agent behind it: /chat/stream, /chat/send, /status, /models.

    POST /chat/stream  {content, use_victoria = true, model?, session_id?, mode?, chat_history?}; events: `chat_face`
    POST /chat/send    the same, answered whole

With `use_victoria` the Victoria agent answers, or MLX if she does not; without it MLX, or a clear error. Ollama is in
neither chain as they are configured by default. A chat is of class high unless the header says otherwise. `mode` is a
category: it chooses a model where none is named. Nothing of a session is kept here: Victoria keeps hers, and for MLX
the front end sends `chat_history` along.
"""

from typing import Annotated, Literal

import msgspec

from gateway import VERSION, protocol
from gateway.client import Answer
from gateway.http.answering import stream_answer, whole_answer
from gateway.http.asking import how_asked, may_see_all, who_asks
from gateway.http.call import Call
from gateway.http.chat_face import ChatFace
from gateway.http.errors import Problem
from gateway.http.fields import Asks
from gateway.http.health import SERVICE, relay_states, why_not_ready

Name = Annotated[str, msgspec.Meta(max_length=256)]


class Said(msgspec.Struct):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatAsked(msgspec.Struct):
    content: str = ""
    use_victoria: bool | None = None  # not said: yes
    model: Name | None = None
    session_id: Name | None = None
    mode: Name | None = None
    chat_history: Annotated[list[Said], msgspec.Meta(max_length=protocol.MESSAGES_MAX - 1)] | None = None
    max_steps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None


async def stream(call: Call) -> None:
    asked = await read(call)
    await stream_answer(call, ChatFace(session_of(call, asked)), submit(call, asked))


async def send(call: Call) -> None:
    asked = await read(call)
    await whole_answer(call, ChatFace(session_of(call, asked)), submit(call, asked))


async def read(call: Call) -> ChatAsked:
    """Raises: Problem."""
    asked = await call.read_json(ChatAsked)
    call.model = asked.model or ""
    if not asked.content.strip():
        raise Problem("invalid_request", "content: is required; it is what the person says", "content")
    return asked


def session_of(call: Call, asked: ChatAsked) -> str:
    """A conversation that the front end has not named gets a name, which the answer tells and Victoria is told too."""
    return asked.session_id or call.request_id


def submit(call: Call, asked: ChatAsked) -> Answer:
    messages = [protocol.Message(said.role, said.content) for said in asked.chat_history or ()]
    return call.services.client.ask(
        model=asked.model or "", messages=[*messages, protocol.Message("user", asked.content)],
        victoria=asked.use_victoria is not False, session=session_of(call, asked), max_steps=asked.max_steps or 0,
        **{"category": asked.mode or "", **how_asked(call, kind="chat", priority="high")})


async def status(call: Call) -> None:
    """Who could answer a chat now. Reads the table and asks nobody. `asking` says who sees the reasons."""
    services = call.services
    table = services.table.snapshot()
    down = why_not_ready(table, call.now_ns)
    backends = {"mlx": {"healthy": not down, "reason": "; ".join(down)},
                **relay_states(table, services.config, call.now_ns)}
    chain = [name for name in services.config.chain_chat_victoria if name in backends]
    answers = next((name for name in chain if backends[name]["healthy"]), None)
    word = "ok" if answers else "degraded"
    if may_see_all(call):
        await call.reply_json({"status": word, "backend": answers, "backends": backends})
    else:
        healthy = {name: {"healthy": backend["healthy"]} for name, backend in backends.items()}
        await call.reply_json({"status": word, "service": SERVICE, "version": VERSION, "backends": healthy})


async def models(call: Call) -> None:
    listed = await call.services.client.list_models(**who_asks(call))
    states = relay_states(call.services.table.snapshot(), call.services.config, call.now_ns)
    found = [{"name": info.name, "backend": "mlx", "state": info.state, "available": info.state != "quarantined"}
             for info in listed]
    if "victoria" in states:
        found.insert(0, {"name": "victoria", "backend": "victoria", "state": states["victoria"]["state"],
                         "available": states["victoria"]["healthy"]})
    await call.reply_json({"models": found})


SAYS = {"content": "hi"}
ASKS = (
    Asks("chat", "/chat/stream", ChatAsked, SAYS, parts={"chat_history[]": Said},
         notes={"use_victoria": "absent: true", "mode": "a category, which chooses a model where none is named",
                "session_id": "told to Victoria, and told again", "max_steps": "of an agent",
                "chat_history": "for models, which keep nothing"},
         examples={"chat_history": [{"role": "user", "content": "hi"}]}),
    Asks("chat", "/chat/send", ChatAsked, SAYS, same_as="/chat/stream"),
)
