"""What a relay is: the interface between `workers/relay_thread.py` and the server that answers instead of a model.

A `Server` speaks one API: `workers/relay_ollama.py`, `workers/relay_victoria.py`. It is used by one event loop, keeps
nothing between two requests, and never asks twice: an agent's work may have effects. Both pass the conformance suite of
backends, `tests/conformance/test_backends.py`, as the worker of a model does.

Promises of an implementation:
1. `answer` yields what comes, as it comes: `Piece` and `Aside` in any order, then one `End`, and nothing after it.
2. It raises `UpstreamFailed` for whatever goes wrong, with a code of the closed list and words that name the server. An
   answer that breaks off never looks like one that ended.
3. Closed before its end (a cancel), it closes the connection, which tells the server to stop.
4. Redirects are not followed: a key and a prompt go nowhere but to the address that is configured.
"""

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple, Protocol

from workers.engine import EngineJob
from workers.job_parts import More
from workers.protocol import End, NoteKind

HOP_HEADER = "X-Warden-Hop"  # how often a request was handed on
PRIORITY_HEADER = "X-Request-Priority"  # its class: who calls back sends both on
LINE_MAX_BYTES = 1024 * 1024
PIECE_MAX_CHARS = 32 * 1024  # far below protocol.FRAME_MAX_BYTES, whatever the text
PROBLEM_MAX_CHARS = 500


class Piece(NamedTuple):
    """A part of the answer: text, or `more` than that (reasoning, calls, chances), or both."""

    text: str
    more: More | None = None


class Aside(NamedTuple):
    """What the server does meanwhile, for people; no part of the answer."""

    kind: NoteKind
    text: str


class UpstreamFailed(Exception):
    """`is_its_fault`: the server's, and not that of the request; such failures open the breaker."""

    def __init__(self, code: Literal["upstream_failed", "upstream_timeout", "invalid_request", "model_not_found",
                                     "context_length_exceeded", "loop_detected", "not_offered"], message: str, *,
                 is_its_fault: bool = True) -> None:
        super().__init__(message)
        self.code, self.is_its_fault = code, is_its_fault
        self.message = message[:PROBLEM_MAX_CHARS].encode(errors="replace").decode()  # half a surrogate fits no frame


def not_offered(server: str, field: str, why: str = "") -> UpstreamFailed:
    """What its API, or its model, has no word for, named as the client protocol does; another backend may do it."""
    return UpstreamFailed("not_offered", f"{field}: {why or f'{server} does not offer this'}", is_its_fault=False)


class Limits(NamedTuple):
    """Seconds: to reach the server, until it begins to answer, and between two pieces."""

    connect_s: float
    first_byte_s: float
    idle_s: float


class Server(Protocol):
    name: str  # "ollama"
    url: str  # for operators, and not for callers

    async def open(self) -> None:
        """Before anything else, in the event loop that will use it."""

    async def probe(self) -> list[str]:
        """A sign of life, and the names of the models it has ([] if it names none). Raises: UpstreamFailed."""

    def answer(self, job: EngineJob) -> AsyncIterator[Piece | Aside | End]: ...

    async def close(self) -> None: ...
