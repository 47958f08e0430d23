"""The I/O thread of a worker: sockets, the table row, signals. It carries out what `Runtime` decides.

It never blocks for longer than TICK_S, so heartbeats, ACCEPT and cancel keep their times while the engine computes.
What the gateway does not read is kept here, in order, up to OUTBOX_FRAMES_MAX frames; beyond it the engine's posts
are left where they are, and the engine pauses. Nothing is lost and nothing grows without bound.

Failpoints (`control/failpoints.py`): `worker.send.<tag>.before` and `.after` around each message to control and to the
gateway, at the moment it is handed to ZeroMQ; `worker.words.before` and `.after` around each writing of the row.
"""

import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
import zmq

from control import messages
from control.config import ModelConfig
from control.failpoints import failpoint
from control.home import Home
from control.process_facts import footprint_self_bytes
from control.sockets import open_dealer
from control.table import ControlWords, GatewayWords, RowWorker, Table, TableRefused
from workers import protocol as jobs
from workers.counting import Counter
from workers.engine_thread import EngineThread
from workers.held_accepts import HOLD_S, HeldAccepts
from workers.row_words import row_words
from workers.runtime import Runtime
from workers.stop_signals import StopSignals
from workers.third_key import ThirdKey
from workers.token_rate import TokenRate

TICK_S = 0.1
TICK_MS, HOLD_MS = round(TICK_S * 1000), max(1, round(HOLD_S * 1000))
NOW = int(zmq.DONTWAIT)
OUTBOX_FRAMES_MAX = 256
FOOTPRINT_EVERY_S = 1.0
LAST_WORDS_MS = 1000  # how long a leaving worker waits for its last frames to be taken
JOB_FRAME_MAX_BYTES = 64 * 1024 * 1024
MakeThread = Callable[[Callable[[], None]], EngineThread]  # from what wakes the I/O thread; a relay's is like it


class Wake:
    """A byte in a socket pair wakes the poll from another thread or a signal handler.

    At most one byte is on its way. Whoever calls has put what the poll is woken for in its place before; whoever was
    woken calls `clear` before it looks there. So nothing is missed, whatever comes between two of these lines.
    """

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        self._called = False

    def __call__(self) -> None:
        if not self._called:
            self._called = True
            with suppress(BlockingIOError):  # full: it is awake already
                self.writer.send(b"\0")

    def clear(self) -> None:
        """For who was woken: the reader has a byte."""
        with suppress(BlockingIOError):
            self.reader.recv(4096)
        self._called = False


class Loop:
    """Implements `effects.Effects`. `find_model` gives the model of a slug, also of others than its own."""

    def __init__(self, slug: str, home: Home, table: Table, batch_max: int, make_thread: MakeThread,
                 start_time_us: int, parent: int, note: Callable[..., None], stop: StopSignals,
                 third_key: ThirdKey, find_model: Callable[[str], ModelConfig | None]) -> None:
        self._slug, self._home, self._table, self.note = slug, home, table, note
        self._context = zmq.Context()
        self._wake = Wake()
        self._outbox: deque[tuple[str, bytes]] = deque()  # the tag of a frame, for its failpoints, and the frame
        self._accepts = HeldAccepts()
        self._waits_for_room = False
        self._nonce = secrets.token_hex(4)
        self._control = open_dealer(self._context, home.endpoint("control"), messages.FRAME_MAX_BYTES,
                                    f"{slug}.{self._nonce}".encode())
        self._gateway: zmq.Socket | None = None
        self._poller = zmq.Poller()
        self._poller.register(self._control, zmq.POLLIN)
        self._poller.register(self._wake.reader, zmq.POLLIN)
        self._engine = make_thread(self._wake)
        self._counter = Counter(find_model, self._wake)
        self._runtime = Runtime(slug, os.getpid(), start_time_us, batch_max, self._engine, self, third_key)
        self._runtime.boot_id = table.boot_id
        self._writer = None
        self._parent = parent
        self._footprint, self._footprint_at = 0, 0.0
        self._rate = TokenRate()
        self._stop = stop
        stop.wake = self._wake

    # -- effects ---------------------------------------------------------------------------------------------

    def to_control(self, message: msgspec.Struct) -> None:
        with suppress(zmq.Again):  # control is away: hello is repeated, and the table says the phase
            _send(self._control, _tag(message), messages.encode(message))

    def to_gateway(self, message: msgspec.Struct) -> None:
        """In order. A heartbeat is not worth keeping while the gateway takes nothing."""
        if self._gateway is not None and not (self._outbox and isinstance(message, jobs.Beat)):
            self._put(self._accepts.say(message, time.monotonic()))

    def _put(self, messages_: Iterable[msgspec.Struct]) -> None:
        self._outbox.extend((_tag(message), jobs.encode(message)) for message in messages_)

    def drop_unsent(self) -> None:
        self._outbox.clear()
        self._accepts.release()
        self._counter.forget()

    def ask_count(self, count: jobs.Count) -> None:
        self._counter.ask(count)

    def meet_gateway(self, incarnation: int) -> None:
        self._gateway = open_dealer(self._context, self._home.endpoint("workers"), JOB_FRAME_MAX_BYTES,
                                    f"{self._slug}.{incarnation}.{self._nonce}".encode())
        self._poller.register(self._gateway, zmq.POLLIN)

    # -- the life --------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Live until the runtime names an exit code; returns it."""
        self._engine.start()
        self._control.poll(int(TICK_S * 1000), zmq.POLLOUT)  # once connected, the hello goes at once
        self._tick(time.monotonic())
        next_tick = 0.0
        while self._runtime.exit_code is None:
            self._turn()
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK_S
                self._tick(now)
        self._say_last_words()
        if self._runtime.exit_code == 0:
            self._engine.tidy()
        return self._runtime.exit_code

    def _turn(self) -> None:
        ready = dict(self._poller.poll(HOLD_MS if self._accepts else TICK_MS))
        now = time.monotonic()
        if self._wake.reader.fileno() in ready:
            self._wake.clear()
        if self._stop.asked:
            self._runtime.drain("TERM", now)
        if self._control in ready:
            self._read(self._control, messages.decode_from_control, self._runtime.on_control, now)
        if self._gateway is not None and self._gateway in ready:
            self._read(self._gateway, jobs.decode_to_worker, self._runtime.on_gateway, now)
        if len(self._outbox) < OUTBOX_FRAMES_MAX or self._engine.ended:
            for post in self._engine.take():
                self._runtime.on_engine(post, now)
            for done in self._counter.take():
                self._runtime.on_counted(done)
        if self._accepts:
            self._put(self._accepts.due(now))
        self._flush()

    def _read(self, sock: zmq.Socket, decode: Callable, handle: Callable, now: float) -> None:
        while True:
            try:
                message = decode(sock.recv(NOW))
            except zmq.Again:
                return
            except messages.MALFORMED as problem:
                self.note("malformed_frame", problem=str(problem))
                continue
            handle(message, now)

    def _flush(self) -> None:
        """Send what the gateway takes. While frames are left, the poll also waits for room."""
        if self._gateway is None:
            return
        with suppress(zmq.Again):
            while self._outbox:
                _send(self._gateway, *self._outbox[0])
                self._outbox.popleft()
        if self._waits_for_room != bool(self._outbox):
            self._waits_for_room = not self._waits_for_room
            self._poller.modify(self._gateway, zmq.POLLIN | (zmq.POLLOUT if self._outbox else 0))

    def _tick(self, now: float) -> None:
        if os.getppid() != self._parent:
            self._runtime.drain("supervisord is gone", now)
        if self._table.replaced():
            self._reopen_table()
        control, gateway = self._table.read(ControlWords), self._table.read(GatewayWords)
        self._runtime.on_tick(now, control.epoch if control else 0, gateway.epoch if gateway else 0,
                              control.pressure_level if control else 0)
        if control and control.pressure_level:
            self._counter.trim()
        self.write_row(now)
        self._flush()

    def _reopen_table(self) -> None:
        with suppress(TableRefused):  # control is at work on it; the next tick looks again
            table = Table.open(self._home.table)
            self._table.close()
            self._table, self._writer = table, None
            self._runtime.boot_id = table.boot_id
            self._runtime.control_epoch = 0

    def write_row(self, now: float) -> None:
        """Nothing before the welcome, nor while the table has no row for this model."""
        if not self._runtime.incarnation:
            return
        if self._writer is None:
            row = self._table.find_row(self._slug)
            if row is None:
                return
            self._writer = self._table.writer(RowWorker, row)
        if now - self._footprint_at > FOOTPRINT_EVERY_S:
            self._footprint, self._footprint_at = footprint_self_bytes(), now
        self._writer.set(**row_words(self._runtime, now, self._footprint,
                                      self._rate.take(self._runtime.hand.tokens_out, now)))
        failpoint("worker.words.before")
        with suppress(TableRefused):  # cut short by somebody: control makes another, and we follow at a tick
            self._writer.flush()
        failpoint("worker.words.after")

    def _say_last_words(self) -> None:
        self.write_row(time.monotonic())
        self._put(self._accepts.release())
        deadline = time.monotonic() + LAST_WORDS_MS / 1000
        while self._outbox and time.monotonic() < deadline and self._gateway is not None:
            self._gateway.poll(TICK_MS, zmq.POLLOUT)
            self._flush()
        for sock in (self._control, self._gateway):
            if sock is not None:
                sock.close(linger=LAST_WORDS_MS)
        self._context.term()


def _tag(message: msgspec.Struct) -> str:
    return str(message.__struct_config__.tag)


def _send(sock: zmq.Socket, tag: str, frame: bytes) -> None:
    """Raises: zmq.Again when the peer takes nothing now."""
    failpoint(f"worker.send.{tag}.before")
    sock.send(frame, NOW)
    failpoint(f"worker.send.{tag}.after")
