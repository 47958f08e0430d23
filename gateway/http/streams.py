"""How an answer looks in each dialect: as a stream of NDJSON lines or SSE events, or whole. Values in, bytes out.

A *face* is made per request and knows the names and times that its objects repeat. `at` is the wall clock as text
(RFC 3339), given by the caller, since this is pure. What clients rely on and this keeps:

* NDJSON: never a blank line; a sign of life is an object with empty content and `done: false`; the last one has
  `done: true` with nanosecond durations.
* SSE: a sign of life is a comment line; the usage chunk has no choices; `[DONE]` comes after a good end only.
* An error in mid-stream is the dialect's error object as the last line or event.
"""

from typing import Protocol

import msgspec

from gateway.http.heard import Heard
from gateway.protocol import Done, Note, Progress, Started, Tokens

NS_PER_MS = 1_000_000
SSE_DONE = b"data: [DONE]\n\n"
encode = msgspec.json.Encoder().encode


class Face(Protocol):
    """A face that can show a load has `loaded` too. Dialects that have no place for what an agent does say nothing."""

    media_type: str
    model: str  # as the caller wrote it, else set to the resolved name as soon as that is known

    def started(self, event: Started) -> bytes:
        """A backend has it; said again when another one takes over."""
        return b""

    def routed(self, event: Started, at: str) -> bytes:
        """The same in the body, if the headers that tell it have left already."""
        return b""

    def note(self, note: Note) -> bytes:
        """What an agent does meanwhile."""
        return b""

    def tokens(self, event: Tokens, at: str) -> bytes:
        """Something of the answer: text, reasoning, calls, chances. Not called for an event that has none of them."""

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        """A sign of life; `progress` None if the answer has begun or nothing is known."""

    def done(self, done: Done, at: str) -> bytes: ...

    def error(self, code: str, message: str, param: str | None = None) -> bytes:
        """`param`: the field at fault, for dialects that have a place for it."""

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        """The answer that is not streamed."""


def sse(value: dict[str, object]) -> bytes:
    return b"data: " + encode(value) + b"\n\n"


def waiting_comment(progress: Progress | None) -> bytes:
    """A sign of life of SSE, for people who look at a stream; parsers pass over it."""
    if progress is None:
        return b": waiting\n\n"
    detail = " ".join(progress.detail.split())  # a line break would end the comment
    return (f": queued position={progress.position} reason={progress.reason} estimate_s={progress.estimate_s:g} "
            f"load_progress={progress.load_progress:g}{detail and f' detail={detail}'}\n\n").encode()
