"""How an answer looks to the chat front ends: server-sent events with a type and a content. Values in, bytes out.

    data: {"type": "start" | "step" | "progress" | "chunk" | "error" | "end", "content": ..., ...}

`start` comes once, before anything else, and says who answers ("" while that is not known); `step` and `progress` are
what an agent does meanwhile, why the request waits, or that another backend answers now; the chunks together are the
answer; `end` says how it ended, `error` why it did not. After `end` or `error` nothing comes. Pure.
"""

from gateway.http.heard import Heard
from gateway.http.streams import Face, encode, sse
from gateway.protocol import Done, Note, Progress, Started, Tokens, backend_of


class ChatFace(Face):
    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, session_id: str) -> None:
        self.model = ""
        self.session_id = session_id
        self._route = ""
        self._begun = False

    def started(self, event: Started) -> bytes:
        """One that fails before its first piece is followed by another; who was told of the first hears of that."""
        before, self.model, self._route = self._route, event.model, event.route
        if not self._begun or before == event.route:
            return b""
        backend = backend_of(event.route)
        return self._event("progress", f"{backend} answers", backend=backend, model=event.model, route=event.route,
                           reason=event.reason)

    def tokens(self, event: Tokens, at: str) -> bytes:
        thought = self._event("progress", event.thinking) if event.thinking else b""
        return self._start() + thought + (self._event("chunk", event.text) if event.text else b"")

    def note(self, note: Note) -> bytes:
        return self._start() if note.kind == "start" else self._start() + self._event(note.kind, note.text)

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        if progress is None:
            return b": still at work\n\n"
        return self._start() + self._event("progress", progress.detail or progress.reason, position=progress.position,
                                           estimate_s=progress.estimate_s)

    def done(self, done: Done, at: str) -> bytes:
        return self._start() + self._event(
            "end", "", finish_reason=done.finish_reason, backend=backend_of(done.route), model=done.model,
            session_id=self.session_id, route=done.route, reason=done.reason)

    def error(self, code: str, message: str, param: str | None = None) -> bytes:
        return self._start() + self._event("error", message, code=code)

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        return encode({"status": "ok", "content": heard.text, "response": heard.text, "session_id": self.session_id,
                       "backend": backend_of(done.route), "model": done.model, "route": done.route,
                       "reason": done.reason, "finish_reason": done.finish_reason})

    def _start(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._event("start", "", backend=backend_of(self._route), model=self.model, session_id=self.session_id)

    @staticmethod
    def _event(kind: str, content: str, **facts: object) -> bytes:
        return sse({"type": kind, "content": content, **facts})
