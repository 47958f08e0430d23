"""What a client got, word for word: one answer read in the background, and callers who ask again and again.

What is asserted of an answer is asserted of its transcript, because that is what people see: every token of the echo
engine is there (`t0 t1 t2 ..`, ids 0, 1, 2 ..), in order, and one terminal event ends it.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from gateway.client import GatewayError
from gateway.protocol import TERMINAL, Accepted, Done, Tokens
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until

END_WITHIN_S = 60.0
T = TypeVar("T")


def in_background(call: Callable[[], T]) -> Future[T]:
    """Begun at once; `result(seconds)` waits for what it gives, or raises what it raised."""
    pool = ThreadPoolExecutor(1)
    called = pool.submit(call)
    pool.shutdown(wait=False)
    return called


def order(stack: LiveStack, verb: str, model: str) -> Future[str]:
    """`evict`, `unload` .. asked in the background; gives control's sentence. Raises: GatewayError."""
    def ask() -> str:
        with stack.client() as client:
            return getattr(client, verb)(model).text

    return in_background(ask)


class Transcript:
    """One request, asked at once in a thread of its own. `fields` are those of `BlockingClient.generate`."""

    def __init__(self, stack: LiveStack, model: str, prompt: str, **fields: object) -> None:
        self.events: list = []
        self.error: GatewayError | None = None
        self._stack, self._fields = stack, {"model": model, "prompt": prompt, **fields}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            with self._stack.client() as client:
                for event in client.generate(**self._fields):
                    self.events.append(event)
        except GatewayError as error:
            self.error = error

    def of(self, kind: type) -> list:
        return [event for event in list(self.events) if isinstance(event, kind)]

    @property
    def ids(self) -> list[int]:
        return [number for event in self.of(Tokens) for number in event.ids]

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait_accepted(self) -> "Transcript":
        wait_until("the request to be accepted", lambda: self.of(Accepted) or self.ended)
        return self

    def wait_tokens(self, count: int = 1) -> "Transcript":
        """Until so many tokens came; fails if the answer ends before."""
        wait_until(f"{count} tokens", lambda: len(self.ids) >= count or self.ended, END_WITHIN_S)
        assert len(self.ids) >= count, f"it ended after {len(self.ids)} tokens: {self.error}"
        return self

    def wait_end(self) -> "Transcript":
        self._thread.join(END_WITHIN_S)
        assert self.ended, f"no end after {len(self.ids)} tokens{self._stack.logs()}"
        return self

    def check_whole(self, count: int) -> Done:
        """It ends with all of its `count` tokens. Returns its terminal event."""
        self.wait_end()
        assert self.error is None, f"{self.error!r}{self._stack.logs()}"
        return check_whole(self.events, count)

    def check_error(self, *codes: str) -> GatewayError:
        """It ends with one of these errors, and what came before it is the beginning of the answer."""
        self.wait_end()
        assert self.error is not None and self.error.code in codes, f"{self.error!r}{self._stack.logs()}"
        assert not self.of(Done) and self.ids == list(range(len(self.ids)))
        return self.error


def check_whole(events: list, count: int) -> Done:
    """The tokens 0 .. count-1 of the echo engine, each once and in order, then the one terminal event."""
    tokens = [event for event in events if isinstance(event, Tokens)]
    ids = [number for event in tokens for number in event.ids]
    assert ids == list(range(count)), f"{count} tokens were asked for: {ids}"
    assert [event.position for event in tokens if event.ids] == [event.ids[0] for event in tokens if event.ids]
    assert "".join(event.text for event in tokens) == " ".join(f"t{number}" for number in range(count))
    assert [event for event in events if isinstance(event, TERMINAL)] == events[-1:], "one end, and nothing after it"
    assert isinstance(events[-1], Done) and events[-1].usage.completion_tokens == count
    return events[-1]


class Caller(threading.Thread):
    """Asks the `models` in turn, again and again until told to stop; keeps every answer.

    `fields` are those of `BlockingClient.generate`; the echo engine is asked for `count` tokens.
    """

    def __init__(self, stack: LiveStack, models: tuple[str, ...], count: int = 20, rate_per_s: int = 0) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[str, list]] = []
        self.error: GatewayError | None = None
        self.stopping = threading.Event()
        self.count = count
        self.fields: dict[str, object] = {"prompt": f"#tokens={count} #rate={rate_per_s}"}
        self._stack, self._models = stack, models

    def run(self) -> None:
        try:
            with self._stack.client() as client:
                while not self.stopping.is_set():
                    for model in self._models:
                        self.answers.append((model, list(client.generate(model=model, **self.fields))))
        except GatewayError as error:
            self.error = error

    def answered(self, model: str) -> int:
        assert self.error is None, f"{self.error!r}{self._stack.logs()}"
        return sum(name == model for name, _ in list(self.answers))

    def check_answer(self, events: list) -> None:
        check_whole(events, self.count)

    def check(self) -> None:
        """Everything that was asked was answered as it should."""
        self.join(END_WITHIN_S)
        assert not self.is_alive() and self.error is None, f"{self.error!r}{self._stack.logs()}"
        for _, events in self.answers:
            self.check_answer(events)


@contextmanager
def calling(*callers: Caller) -> Iterator[tuple[Caller, ...]]:
    """They ask meanwhile; then each of their answers is looked at."""
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.stopping.set()
    for caller in callers:
        caller.check()
