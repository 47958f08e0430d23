"""The gateway's loop: sockets in, decisions asked, sockets and table words out.

One thread, one poll, no timers. A turn is: read what has come, work the gates out anew, let the dispatcher decide,
flush what clients get, publish the counters. The order matters: nothing is dispatched on facts older than the turn.
"""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Literal

import msgspec
import zmq

from control import messages
from control.config import Config
from control.failpoints import DIRECTORY, failpoint
from control.home import Home, read_http_secret
from control.library import library_path, read_library
from control.library_file import write_library
from control.sockets import open_dealer, open_router
from control.table import (
    ControlWords,
    GatewayWords,
    RowControl,
    RowReason,
    RowWorker,
    Table,
    TableRefused,
    record_text,
)
from gateway.counters import Publisher
from gateway.dispatcher import Dispatcher
from gateway.fanout import HOLD_S, Fanout, Sent
from gateway.fetcher import Fetch
from gateway.key_file import KeyFile, key_path
from gateway.library_orders import Store
from gateway.worker_side import CLOCK_GAP_S
from workers import protocol as jobs

TICK_S = 0.05
HOLD_MS = max(1, round(HOLD_S * 1000))
PUBLISH_EVERY_S = HOLD_S  # of 60 us that a busy turn costs, publishing is 15
FRAMES_PER_TURN_MAX = 256
CLIENT_FRAMES_MAX = 64  # frames inside ZeroMQ per client; the rest waits in Fanout, where it is counted
FRAME_OVERHEAD_BYTES = 64 * 1024
LAST_WORDS_MS = 1000
READ_LAST_WORDS_S = 0.3
GREET_EVERY_S = 0.25
WAKE_EVERY_S = 0.05  # for each model: hundreds of requests may wait for one that is being loaded
PEER_GONE = (zmq.EHOSTUNREACH,)
NOW, NOW_AND_MORE, MORE = map(int, (zmq.DONTWAIT, zmq.DONTWAIT | zmq.SNDMORE, zmq.RCVMORE))  # enums cost 1 us each


class Loop:
    """Owns the sockets and the table words; implements `dispatcher.Effects`."""

    def __init__(self, config: Config, home: Home, table: Table, note: Callable[..., None]) -> None:
        self._home, self._note = home, note
        context = zmq.Context.instance()
        self._clients = open_router(context, home.endpoint("clients"), config.body_max_bytes + FRAME_OVERHEAD_BYTES,
                                    CLIENT_FRAMES_MAX)
        self._workers = open_router(context, home.endpoint("workers"), jobs.FRAME_MAX_BYTES)
        self._control = open_dealer(context, home.endpoint("control"), messages.FRAME_MAX_BYTES,
                                    b"gateway." + secrets.token_hex(4).encode())
        self._poller = zmq.Poller()
        for socket in (self._clients, self._workers, self._control):
            self._poller.register(socket, zmq.POLLIN)
        self.stopping = False
        self.fanout = Fanout(self._send_client)
        self._take_table(table)
        draw = Random(secrets.randbits(128)).getrandbits  # seeds are no secrets, and spare a system call each
        self.dispatcher = Dispatcher(config, next_epoch(table), self.fanout, self, lambda: draw(63),
                                     read_http_secret(home), store_of(home))
        self._config = config
        self._key_file = KeyFile(key_path(home), note)
        self.dispatcher.callers.set_keys(self._key_file.keys)
        self._publisher = self._make_publisher()
        self._control_heard = 0  # the epoch of the control process that told us about the rows
        self._greet_at, self._published_at, self._words_wait = 0.0, float("-inf"), False
        self._control_of_turn: ControlWords | None | Literal[False] = False  # not read in this turn
        self._woken: dict[tuple[type, str], float] = {}  # when control was last woken for what
        self._wakes: list[messages.Want | messages.Idle] = []  # of this turn

    # -- the table -------------------------------------------------------------------------------------------

    def _take_table(self, table: Table) -> None:
        self._table = table
        self._rows: dict[str, int] = {row.name: row.index for row in table.snapshot().rows}

    def _make_publisher(self) -> Publisher:
        self.dispatcher.boot_id = self._table.boot_id
        return Publisher(self._table, self.dispatcher, os.getpid())

    def _follow_table(self) -> None:
        """Another table may have taken this one's place (control made it anew); rows may have got their names."""
        if self._table.replaced():
            with suppress(TableRefused):  # control is at work on it; look again at the next tick
                table = Table.open(self._home.table)
                self._control_heard = 0
                self.dispatcher.second_key.forget_control()
                self._table.close()
                self._take_table(table)
                self._publisher = self._make_publisher()
                self._note("table_reopened", boot_id=table.boot_id)
        elif self._config is not self.dispatcher.config or not (
                self._rows.keys() >= self.dispatcher.counters.rows.keys()):
            known, self._config = (self._rows, self._config), self.dispatcher.config
            self._take_table(self._table)
            if (self._rows, self._config) != known:
                self._publisher = self._make_publisher()

    def read_row(self, slug: str) -> RowControl | None:
        row = self._rows.get(slug)
        return self._table.read(RowControl, row) if row is not None else None

    def read_worker(self, slug: str) -> RowWorker | None:
        row = self._rows.get(slug)
        return self._table.read(RowWorker, row) if row is not None else None

    def read_reason(self, slug: str) -> str:
        row = self._rows.get(slug)
        return record_text(self._table.read(RowReason, row)) if row is not None else ""

    # -- sending ---------------------------------------------------------------------------------------------

    def _send_client(self, identity: bytes, frame: bytes) -> Sent:
        try:
            self._clients.send(identity, NOW_AND_MORE)
            self._clients.send(frame, NOW, copy=len(frame) < 65_536)
        except zmq.ZMQError as problem:
            return Sent.GONE if problem.errno in PEER_GONE else Sent.FULL
        return Sent.OK

    def to_worker(self, identity: bytes, message: msgspec.Struct) -> bool:
        at_send(message, "before")
        try:
            self._workers.send(identity, NOW_AND_MORE)
            self._workers.send(jobs.encode(message), NOW)
        except zmq.ZMQError:
            return False
        at_send(message, "after")
        return True

    def to_control(self, message: msgspec.Struct) -> bool:
        """False: control is away. What only wakes it follows the words that this turn publishes: control would find
        nobody there who waits, and look again a tick later."""
        if isinstance(message, messages.Want | messages.Idle):
            self._wakes += [message] if self._is_news(message) else []
            return True
        return self._send_control(message)

    def _send_control(self, message: msgspec.Struct) -> bool:
        at_send(message, "before")
        try:
            self._control.send(messages.encode(message), zmq.DONTWAIT)
        except zmq.Again:
            return False
        at_send(message, "after")
        return True

    def _is_news(self, message: messages.Want | messages.Idle) -> bool:
        """A wake-up says nothing that the table does not; control was woken a moment ago, and looks by itself too."""
        key, now = (type(message), message.slug), time.monotonic()
        if now - self._woken.get(key, float("-inf")) < WAKE_EVERY_S:
            return False
        self._woken[key] = now
        return True

    def note(self, event: str, **facts: object) -> None:
        self._note(event, **facts)

    # -- turns -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        last = next_tick = time.monotonic()
        while not self.stopping:
            ready = dict(self._poller.poll(self._timeout_ms(next_tick)))
            now = time.monotonic()
            if now - last > CLOCK_GAP_S:
                self.dispatcher.admission.extend_deadlines(now - last)
                self._note("clock_gap", seconds=round(now - last, 1))
            last = now
            self._control_of_turn = False
            self.dispatcher.start_turn(now)
            self._read(ready, now)
            if now >= next_tick:
                next_tick = now + TICK_S
                self._follow_table()
                self._greet_control(now)
                if self._key_file.changed(now):
                    self.dispatcher.callers.set_keys(self._key_file.keys)
                self.dispatcher.on_tick(now)
            self.dispatcher.pump(now)
            for identity, how in self.fanout.flush(now):
                self.dispatcher.on_client_lost(identity, how, now)
            self._publish(now)

    def _publish(self, now: float) -> None:
        """Words are advice, so they may be PUBLISH_EVERY_S old: of many turns within it the last one's will do."""
        self._words_wait = now - self._published_at < PUBLISH_EVERY_S and not (self._wakes or self.stopping)
        if self._words_wait:
            return
        self._published_at = now
        failpoint("gateway.words.before")
        with suppress(TableRefused):  # cut short by somebody: control makes another, and we follow at a tick
            self._publisher.publish(now)
        failpoint("gateway.words.after")
        for message in self._wakes:
            self._send_control(message)  # control is away: it reads our words when it is back
        self._wakes.clear()

    def _timeout_ms(self, next_tick: float) -> int:
        soon = self.fanout.holds or self._words_wait
        return HOLD_MS if soon else max(1, round((next_tick - time.monotonic()) * 1000))

    def _read(self, ready: dict[zmq.Socket, int], now: float) -> None:
        if self._workers in ready:
            self._read_router(self._workers, self.dispatcher.worker_side.on_frame, now)
        if self._clients in ready:
            self._read_router(self._clients, self.dispatcher.on_client, now)
        if self._control in ready:
            self._read_control(now)

    def _read_router(self, socket: zmq.Socket, on_frame: Callable[[bytes, bytes, float], None], now: float) -> None:
        for _ in range(FRAMES_PER_TURN_MAX):
            try:
                identity, frame = socket.recv(NOW), socket.recv(NOW)  # it comes whole, in two parts or more
            except zmq.Again:
                return
            if not socket.get(MORE):
                on_frame(identity, frame, now)
                continue
            self.dispatcher.counters.dropped_frames += 1
            while socket.get(MORE):
                socket.recv(NOW)

    def _read_control(self, now: float) -> None:
        for _ in range(FRAMES_PER_TURN_MAX):
            try:
                message = messages.decode_from_control(self._control.recv(zmq.DONTWAIT))
            except zmq.Again:
                return
            except messages.MALFORMED:
                self.dispatcher.counters.dropped_frames += 1
                continue
            if isinstance(message, messages.ModelState):
                self._control_heard = message.control_epoch
            self.dispatcher.on_control(message, now)

    def _greet_control(self, now: float) -> None:
        """Say hello to each new control process until it tells us the state of the rows: a hello may be lost."""
        words = self.read_control()
        if words is None or words.epoch == self._control_heard or now < self._greet_at:
            return
        self._greet_at = now + GREET_EVERY_S
        self.to_control(messages.GatewayHello(messages.VERSION, self._table.boot_id, self.dispatcher.epoch))

    def read_control(self) -> ControlWords | None:
        return self._table.read(ControlWords)

    def control_of_turn(self) -> ControlWords | None:
        if self._control_of_turn is False:
            self._control_of_turn = self.read_control()
        return self._control_of_turn

    def close(self) -> None:
        """Everybody who waits gets an error, and time to read it.

        Linger is not enough: a peer that asked for it (IMMEDIATE) drops what it has not read when we disconnect.
        """
        self.dispatcher.stop(time.monotonic())
        self.fanout.flush(time.monotonic())
        time.sleep(READ_LAST_WORDS_S)
        self._publish(time.monotonic())
        self._clients.close(linger=LAST_WORDS_MS)
        self._workers.close()
        self._control.close()
        zmq.Context.instance().term()


def store_of(home: Home) -> Store:
    path = library_path(home.root)
    return Store(partial(read_library, path), partial(write_library, path), Fetch)


def at_send(message: msgspec.Struct, moment: str) -> None:
    """Failpoints gateway.send.TAG.before and .after."""
    if DIRECTORY:
        failpoint(f"gateway.send.{message.__struct_config__.tag}.{moment}")


def next_epoch(table: Table) -> int:
    """Newer than every gateway before, also across a table made anew: the wall clock in ms, or the old one plus 1."""
    words = table.read(GatewayWords)
    return max(words.epoch + 1 if words is not None else 1, time.time_ns() // 1_000_000)
