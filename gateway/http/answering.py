"""From the events of one request to the bytes of one response, streamed or whole.

1. Nothing is sent before the first token, end or error, so that a refusal has its real status code; but a caller
   that waits longer than WAIT_BEFORE_HEADERS_S gets headers and a sign of life, and another every SIGN_EVERY_S. Who
   asks with TELL_AT_ONCE hears each news of the queue when it comes, and gets the headers with the first.
2. A caller that goes away has its request cancelled in the same turn of the loop.
3. After the first byte an error is the last line or event of the stream, in the dialect's shape, never a clean end.
4. All that is there to be sent leaves together, in one send; no task and no timer is made for a token. The one timer
   of a stream looks at the time of its next sign of life, and begins again if that has moved on.

A whole answer can show no sign of life: JSON has no place for one. Its headers say everything instead.
"""

import asyncio
import time
from functools import lru_cache

from msgspec.structs import replace

from gateway.client import Answer, GatewayError
from gateway.http.call import Call
from gateway.http.errors import rate_headers
from gateway.http.heard import ANSWER_MAX_CHARS, Heard
from gateway.http.streams import Face
from gateway.http.wrong_fields import problem_of
from gateway.protocol import Accepted, Done, Note, Progress, Result, Started, Timings, Tokens, Vectors, decode_model

WAIT_BEFORE_HEADERS_S = 10.0
SIGN_EVERY_S = 10.0
TELL_AT_ONCE = "x-warden-progress"  # a header, of any value
NS_PER_S, NS_PER_US = 1_000_000_000, 1_000


def wall_clock() -> str:
    """Now, as Ollama writes it (RFC 3339, UTC)."""
    seconds, ns = divmod(time.time_ns(), NS_PER_S)
    return f"{second_of(seconds)}.{ns // NS_PER_US:06d}Z"


@lru_cache(2)  # tokens come many in a second: 0.7 us instead of 4 for each
def second_of(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


async def stream_answer(call: Call, face: Face, answer: Answer, stream: "type[Stream] | None" = None) -> None:
    """Raises: GatewayError if the request failed before anything was sent."""
    try:
        with call.watching(answer.leave):
            await (stream or Stream)(call, face, answer).run()
    finally:
        answer.leave()


async def whole_answer(call: Call, face: Face, answer: Answer, heard: Heard | None = None) -> None:
    """`heard`: what collects the answer, if it is more than one. Raises: GatewayError."""
    heard, told = heard or Heard(), {}
    named = bool(call.model)
    try:
        with call.watching(answer.leave):
            async for event in answer:
                if isinstance(event, Tokens | Vectors):
                    heard.add(event)
                    if heard.chars > ANSWER_MAX_CHARS:
                        raise GatewayError("internal", f"the answer has more than {ANSWER_MAX_CHARS} characters; "
                                           "ask for it as a stream")
                elif isinstance(event, Accepted):
                    call.model = face_model(face, event.model)
                    told = call.told = caller_headers(event)
                elif isinstance(event, Progress):
                    call.elsewhere.see(event)
                elif isinstance(event, Started):
                    on_started(call, face, event, told, named=named)
                elif isinstance(event, Done):
                    check_end(event)
                    call.done = event
                    await call.reply(face.whole(heard, event, wall_clock()),
                                     headers=told | headers_of(event))
                elif isinstance(event, Result):
                    headers = {"x-warden-model": loaded_model(face, event)}
                    await call.reply(face.loaded(wall_clock()), headers=headers)
    finally:
        answer.leave()


class Stream:
    def __init__(self, call: Call, face: Face, answer: Answer) -> None:
        self.call = call
        self.face = face
        self.answer = answer
        self.headers: dict[str, str] = {"cache-control": "no-cache"}
        self.progress: Progress | None = None
        self.over = False
        self.named = bool(call.model)
        self.told: dict[str, str] = {}  # of the caller
        self.times = self.ttft = ""  # for `server-timing`: how long it waited, and its first token took
        self._loop = asyncio.get_running_loop()
        self._sign_at = self._loop.time() + WAIT_BEFORE_HEADERS_S
        self._sign_is_due = False
        self._timer = self._loop.call_at(self._sign_at, self._on_time)

    async def run(self) -> None:
        try:
            while not self.over:
                await self.turn()
        except GatewayError as error:
            if not self.call.started:
                raise
            self.call.failed(error.status, error.code)
            found = problem_of(error.code, self.call.hidden(error.message), self.call.names)
            await self.call.body(self.face.error(found.code, found.message, found.param), more=False)
        finally:
            self._timer.cancel()

    async def turn(self) -> None:
        """Wait for an event or for the time of a sign of life; send that and all that is there by then.

        Raises: GatewayError, after what came before it was sent.
        """
        event = await self.answer.next()
        is_due, self._sign_is_due = self._sign_is_due, False
        if event is None and not is_due:
            self.over = self.answer.ended  # the caller went away (2)
            return
        shown = [self.take(event)]
        failure = None
        while self.answer.events and not self.over:
            try:
                shown.append(self.take(self.answer.take()))
            except GatewayError as error:
                failure = error
                break
        if any(shown):
            if not self.call.started:
                await self.call.start(200, self.face.media_type, self.head())
            await self.call.body(b"".join(shown), more=not self.over)
        if failure is not None:
            raise failure

    def _on_time(self) -> None:
        now = self._loop.time()
        if now >= self._sign_at:
            self._sign_is_due, self._sign_at = True, now + SIGN_EVERY_S
            self.answer.wake()
        self._timer = self._loop.call_at(self._sign_at, self._on_time)

    def take(self, event: object) -> bytes:
        """What the caller gets for this event; b"" for nothing."""
        match event:
            case Tokens():
                return self.on_tokens(event)
            case None:
                return self.face.waiting(self.progress, wall_clock())
            case Accepted():
                self.call.model = self.headers["x-warden-model"] = face_model(self.face, event.model)
                self.call.told = self.told = caller_headers(event)
            case Progress():
                self.call.elsewhere.see(event)
                self.progress = replace(event, detail=self.call.hidden(event.detail))
                return self.face.waiting(self.progress, wall_clock()) if TELL_AT_ONCE in self.call.headers else b""
            case Note():
                return self.face.note(event)
            case Started():
                on_started(self.call, self.face, event, self.told, named=self.named)
                self.times = f"queue;dur={event.queue_ms:.1f}, load;dur={event.load_ms:.1f}"
                late = self.face.routed(event, wall_clock()) if self.call.started else b""
                return late + self.face.started(event)
            case Done():
                check_end(event)
                self.call.done = event
                self.over = True
                return self.face.done(event, wall_clock())
            case Result():
                self.headers["x-warden-model"] = loaded_model(self.face, event)
                self.over = True
                return self.face.loaded(wall_clock())
        return b""

    def head(self) -> dict[str, str]:
        """The headers, when the first byte leaves: what is known by then."""
        done, times = self.call.done, [self.times, self.ttft]
        ended = route_headers(done) if done else {}
        if done:
            times[0] = server_timing(done.timings)
        told = ", ".join(filter(None, times))
        return self.headers | self.call.told | ended | ({"server-timing": told} if told else {})

    def on_tokens(self, event: Tokens) -> bytes:
        now = self._loop.time()
        self.progress = None
        if not self.ttft:
            self.ttft = f"ttft;dur={(now - self.call.began_at) * 1000:.1f}"
        shown = self.face.tokens(event, wall_clock())
        if shown:  # a call that is still being written shows nothing, for however long
            self._sign_at = now + SIGN_EVERY_S
        return shown


def face_model(face: Face, model: str) -> str:
    """The resolved name, which is given back; for faces that do not repeat what the caller wrote."""
    face.model = face.model or model
    return model


def loaded_model(face: Face, result: Result) -> str:
    """The name in the answer to a load."""
    model = decode_model(result.value).name
    face_model(face, model)
    return model


def check_end(done: Done) -> None:
    """Raises: GatewayError if the request was cancelled by somebody else than its caller."""
    if done.finish_reason == "cancelled":
        raise GatewayError("internal", "the request was cancelled before its answer was complete; ask again")


def caller_headers(event: Accepted) -> dict[str, str]:
    """What is left of the caller's rate, and the class that its key allows if it asked for a higher one."""
    told = rate_headers(event.rate)
    return told | {"x-warden-priority": f"{event.priority} (not {event.clamped})"} if event.clamped else told


def route_headers(event: Started | Done) -> dict[str, str]:
    """Who answers, and why it is not the first of the chain if it is not."""
    headers = {"x-warden-model": event.model, "x-warden-route": event.route}
    return headers | ({"x-warden-reason": event.reason} if event.reason else {})


def on_started(call: Call, face: Face, event: Started, told: dict[str, str], *, named: bool) -> None:
    """Who answers a question that named no model gives the answer its name. An error that follows says who failed, and
    whether a library may do it again. `told`: of the caller.
    """
    if not named:
        call.model = face.model = event.model
    call.elsewhere.see(event)
    call.told = told | route_headers(event)


def headers_of(done: Done) -> dict[str, str]:
    """What happened, for a response whose headers are not sent yet."""
    return route_headers(done) | {"server-timing": server_timing(done.timings)}


def server_timing(times: Timings) -> str:
    facts = {"queue": times.queue_ms, "load": times.load_ms, "prompt": times.prompt_ms, "decode": times.decode_ms,
             "total": times.total_ms}
    return ", ".join(f"{name};dur={ms:.1f}" for name, ms in facts.items())
