"""Pulls: who asked for which model, the downloader at work on it, and what it says handed on.

1. One downloader for a source; who asks for the same meanwhile hears the same, under whatever name each wants it: every
   name is put into the library. PULLS_MAX at once.
2. When nobody is left who asked, it is killed. What it has fetched stays, and the next pull goes on from there.
3. A model that is configured is not fetched: success at once, unless the files of a pulled one are gone.
4. What was fetched is put into the library (`gateway.library_orders`), and who asked hears when it may be used.
5. `pull_from` says what may be fetched from the hub, and a key with limits of its own changes no library. A directory
   is taken from who gives no key: http sees to it that they are on this machine.
6. Snapshots that nobody refers to any more are deleted by the same program; no pull of that source begins meanwhile.

Lines are read at each tick; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os.path import isfile, join
from typing import TYPE_CHECKING, NamedTuple

from control.config import canonical
from control.library import Dropped, Fetched
from gateway import protocol
from gateway.pull_names import Wanted, check_allowed, read_wanted
from gateway.refusal import Refusal
from workers import fetch_lines

if TYPE_CHECKING:
    from control.config import ModelConfig
    from gateway.callers import Caller
    from gateway.dispatcher import Dispatcher
    from gateway.fetcher import Fetch

PULLS_MAX = 2
LISTENERS_MAX = 100
SAY_AGAIN_S = 5.0  # while a disk or a network is slow
BUSY_S = 30.0
ENDED = "the downloader ended without a word; the log of the gateway may say why; pull again"


class Listener(NamedTuple):
    """`name`: what this one wants the model to be called."""

    client: bytes
    id: str
    name: str


@dataclass(slots=True)
class Pull:
    """One downloader. `wanted`: by who came first. `last`: what it said last, as everybody who comes later hears it."""

    wanted: Wanted
    fetch: Fetch
    listeners: list[Listener] = field(default_factory=list)
    last: fetch_lines.Progress = fetch_lines.Progress(fetch_lines.MANIFEST)
    said_at: float = 0.0


class Pulls:
    def __init__(self, dispatcher: Dispatcher, start: Callable[..., Fetch]) -> None:
        self.d = dispatcher
        self._start = start
        self._pulls: dict[tuple[str, str], Pull] = {}  # by the words of the downloader
        self._drops: dict[Dropped, tuple[Fetch, Callable[[str, int], None]]] = {}
        self._killed: list[Fetch] = []  # until their end was seen

    # -- asked -----------------------------------------------------------------------------------------------

    def on_pull(self, client: bytes, question: protocol.Pull, caller: Caller, now: float) -> None:
        """Raises: Refusal."""
        known = self.d.config.find(question.model)
        if known is not None:
            if (refusal := None if caller.is_operator else caller.why_not(known)) is not None:
                raise refusal
            if not known.pulled or isfile(join(known.path, "config.json")):
                self._say_there(client, question.id, known)  # 3
                return
        wanted = read_wanted(question.model, question.source)
        if (refusal := caller.why_no_change()) is not None:
            raise refusal
        if wanted.directory and caller.name:
            raise Refusal("invalid_request", "model: a directory can be given only on the machine itself and without "
                          "a key")
        check_allowed(wanted, self.d.config.pull_from)
        self.d.library.check_new(wanted.name)
        pull = self._pulls.get(wanted.words) or self._begin(wanted)
        if len(pull.listeners) >= LISTENERS_MAX:
            raise Refusal("queue_full", f"{LISTENERS_MAX} callers wait for this pull already", BUSY_S)
        pull.listeners.append(Listener(client, question.id, wanted.name))
        self._say(pull, pull.listeners[-1:], now)

    def _say_there(self, client: bytes, request_id: str, model: ModelConfig) -> None:
        self.d.fanout.say(client, protocol.Fetching(request_id, fetch_lines.MANIFEST))
        self.d.desk.answer(client, request_id, protocol.PullDone(model.name, model.path, 0, "it is configured already"))

    def _begin(self, wanted: Wanted) -> Pull:
        if any(drop.source == wanted.repository for drop in self._drops):  # 6
            raise Refusal("queue_full", f"{wanted.repository} is being deleted; ask again", 1.0)
        if len(self._pulls) >= PULLS_MAX:
            raise Refusal("queue_full", f"{PULLS_MAX} models are fetched already; ask again when one is there", BUSY_S)
        try:
            pull = Pull(wanted, self._start(*wanted.words))
        except OSError as problem:
            raise Refusal("internal", f"the downloader cannot be started: {problem.strerror}") from None
        self._pulls[wanted.words] = pull
        self.d.effects.note("pull", model=wanted.name, pid=pull.fetch.pid)
        return pull

    def forget_client(self, client: bytes) -> None:
        for words in list(self._pulls):
            self._forget(words, lambda listener: listener.client == client)

    def cancel(self, client: bytes, request_id: str) -> None:
        for words in list(self._pulls):
            self._forget(words, lambda listener: listener[:2] == (client, request_id))

    def _forget(self, words: tuple[str, str], is_gone: Callable[[Listener], bool]) -> None:
        pull = self._pulls[words]
        pull.listeners = [listener for listener in pull.listeners if not is_gone(listener)]
        if not pull.listeners:  # 2
            self._kill(self._pulls.pop(words).fetch)
            self.d.effects.note("pull_left", model=pull.wanted.name)

    def _kill(self, fetch: Fetch) -> None:
        fetch.kill()
        self._killed.append(fetch)

    # -- the downloaders -------------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        self._killed = [fetch for fetch in self._killed if not fetch.ended]
        for words, pull in list(self._pulls.items()):
            ended = pull.fetch.ended  # before its last lines are read
            end = self._read(pull, now)
            if end is None and ended:
                end = fetch_lines.Failed("internal", ENDED)
            if end is not None:
                del self._pulls[words]
                self._end(pull, end, now)
            elif now - pull.said_at >= SAY_AGAIN_S:
                self._say(pull, pull.listeners, now)
        for drop, (fetch, done) in list(self._drops.items()):
            ended = fetch.ended
            end = next((line for line in fetch.read() if not isinstance(line, fetch_lines.Progress)), None)
            if end is not None or ended:
                del self._drops[drop]
                self._killed.append(fetch)
                done("" if isinstance(end, fetch_lines.Done) else end.message if end else ENDED,
                     end.bytes if isinstance(end, fetch_lines.Done) else 0)

    def _read(self, pull: Pull, now: float) -> fetch_lines.Done | fetch_lines.Failed | None:
        for line in pull.fetch.read():
            if not isinstance(line, fetch_lines.Progress):
                return line
            pull.last = line
            self._say(pull, pull.listeners, now)
        return None

    def _say(self, pull: Pull, listeners: list[Listener], now: float) -> None:
        pull.said_at, last = now, pull.last
        for client, request_id, _ in listeners:
            self.d.fanout.say(client, protocol.Fetching(request_id, last.status, last.file, last.digest, last.total,
                                                        last.completed))

    def _end(self, pull: Pull, end: fetch_lines.Done | fetch_lines.Failed, now: float) -> None:
        self._killed.append(pull.fetch)
        if isinstance(end, fetch_lines.Failed):
            self.d.effects.note("pull_failed", model=pull.wanted.name, reason=end.message)
            code = end.code if end.code in protocol.ERRORS else "internal"
            for client, request_id, _ in pull.listeners:
                self.d.say_error(client, request_id, Refusal(code, end.message))
            return
        by_name: dict[str, list[Listener]] = {}
        for listener in pull.listeners:
            by_name.setdefault(canonical(listener.name), []).append(listener)
        for listeners in by_name.values():
            self._add(pull, end, listeners, now)

    def _add(self, pull: Pull, end: fetch_lines.Done, listeners: list[Listener], now: float) -> None:
        """`listeners`: all that want it under the same name."""
        entry = Fetched(listeners[0].name, end.path, pull.wanted.repository, end.revision, end.by_us, end.bytes)

        def done(code: str, text: str) -> None:
            for client, request_id, _ in listeners:
                if code:
                    self.d.say_error(client, request_id, Refusal(code, text, 1.0 if code == "queue_full" else 0.0))
                else:
                    self.d.desk.answer(client, request_id, protocol.PullDone(entry.name, end.path, end.bytes, text))

        self.d.library.add(entry, done, now)

    # -- deleting --------------------------------------------------------------------------------------------

    def drop(self, drop: Dropped, done: Callable[[str, int], None]) -> None:
        """Delete a snapshot; `done` hears why it could not be, "" if it is gone or another home's, and how many
        bytes that were.
        """
        if drop in self._drops:
            return
        try:
            self._drops[drop] = (self._start("drop", drop.source, drop.revision), done)
        except OSError as problem:
            done(f"the downloader cannot be started: {problem.strerror}", 0)

    def stop(self) -> None:
        """The gateway leaves. A deletion goes on at the next start."""
        for fetch in (*(pull.fetch for pull in self._pulls.values()), *(fetch for fetch, _ in self._drops.values())):
            fetch.kill()
        for pull in self._pulls.values():
            for client, request_id, _ in pull.listeners:
                self.d.say_error(client, request_id, Refusal(
                    "gateway_unavailable", "the gateway is stopping; pull again, it goes on where it was", 1.0))
        self._pulls.clear()
        self._drops.clear()
