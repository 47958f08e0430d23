"""Control's loop: the ROUTER on `control.ipc`, supervisord's thread, the table's header and row words.

One thread decides; nothing in it blocks. supervisord is talked to by a thread of its own, so that a slow answer
delays orders and nothing else.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
import zmq

from control import messages
from control.config import Config
from control.home import Home
from control.process_facts import is_alive
from control.reconciler import Reconciler
from control.rows import RowState
from control.sockets import open_router
from control.states import is_fresh
from control.supervisord import SupervisordThread
from control.table import ROWS, ControlWords, GatewayWords, RowControl, RowGateway, RowWorker, Table, TableRefused

TICK_S = 0.1
FRAMES_PER_TURN_MAX = 256
NS = 1_000_000_000


class TableLost(Exception):
    """The table was deleted or cut short under us."""


class Loop:
    """Implements `reconciler.Effects`."""

    def __init__(self, config: Config, home: Home, note: Callable[..., None]) -> None:
        self.note = note
        self.stopping = False
        self._table, adopted = take_table(home, {model.slug for model in config.models}, note)
        rows = name_rows(self._table, [model.slug for model in config.models])
        self._header = self._table.writer(ControlWords)
        self._rows = {slug: self._table.writer(RowControl, index) for slug, index in rows.items()}
        epoch = max(self._header.get("epoch") + 1, int(time.time()))
        self._header.set(epoch=epoch, pid=os.getpid())
        self._socket = open_router(zmq.Context.instance(), home.endpoint("control"), messages.FRAME_MAX_BYTES)
        self._bell, self._bell_push = socket.socketpair()
        self._bell.setblocking(False)
        self._bell_push.setblocking(False)
        self.reconciler = Reconciler(config, self, epoch, self._table.boot_id, rows, int(time.time()))
        if adopted:
            self.reconciler.adopt(self._table.snapshot(), time.monotonic())
        for row in self.reconciler.rows.values():
            self.write_row(row)
        self._beat(time.monotonic())
        self._supervisord = SupervisordThread(home, self._ring)

    # -- effects ---------------------------------------------------------------------------------------------

    def to_peer(self, identity: bytes, message: msgspec.Struct) -> bool:
        try:
            self._socket.send_multipart((identity, messages.encode(message)), zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        return True

    def order(self, verb: str, name: str, *args: str) -> None:
        self._supervisord.order(verb, name, *args)

    def write_row(self, row: RowState) -> None:
        writer = self._rows[row.slug]
        writer.set(**row.words())
        writer.flush()

    def read_gateway(self, index: int) -> RowGateway | None:
        gateway, words = self._table.read(GatewayWords), self._table.read(RowGateway, index)
        if gateway is None or words is None or words.epoch != gateway.epoch:
            return None
        return words if is_fresh(gateway.heartbeat_ns, time.monotonic_ns()) else None

    def read_worker(self, index: int) -> RowWorker | None:
        return self._table.read(RowWorker, index)

    def is_alive(self, pid: int, start_time_us: int) -> bool:
        return is_alive(pid, start_time_us)

    # -- turns -----------------------------------------------------------------------------------------------

    def _ring(self) -> None:
        """Called by supervisord's thread: there is something to take."""
        with suppress(BlockingIOError):
            self._bell_push.send(b"\0")

    def _beat(self, now: float) -> None:
        self._header.set(heartbeat_ns=int(now * NS), supervisord_at_ns=int(self.reconciler.processes.read_at * NS))
        self._header.flush()

    def run(self) -> None:
        """Until TERM. Raises: TableLost."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        next_tick = 0.0
        while not self.stopping:
            poller.poll(int(TICK_S * 1000))
            now = time.monotonic()
            self._read_frames(now)
            with suppress(BlockingIOError):
                self._bell.recv(4096)
            for value in self._supervisord.take():
                self.reconciler.processes.on_supervisord(value, now)
            if now >= next_tick:
                next_tick = now + TICK_S
                if self._table.replaced():
                    raise TableLost  # supervisord starts another control process, and that one makes another table
                self._beat(now)
                self.reconciler.on_tick(now)

    def _read_frames(self, now: float) -> None:
        for _ in range(FRAMES_PER_TURN_MAX):
            try:
                parts = self._socket.recv_multipart(zmq.DONTWAIT)
                message = messages.decode_from_peer(parts[-1])
            except zmq.Again:
                return
            except messages.MALFORMED as problem:
                self.note("malformed_frame", problem=str(problem))
                continue
            if len(parts) == 2:
                self.reconciler.on_frame(parts[0], message, now)

    def close(self) -> None:
        self._supervisord.close()
        self._socket.close()


def take_table(home: Home, slugs: set[str], note: Callable[..., None]) -> tuple[Table, bool]:
    """The table of an earlier control process if it is sound and has room, else a new one. (table, adopted)"""
    try:
        table = Table.open(home.table)
        if len(slugs | {row.name for row in table.snapshot().rows}) <= ROWS:
            return table, True
        reason = "rows of models that were removed fill the old one"
    except TableRefused as refused:
        reason = str(refused)
    note("table_created", reason=reason)
    return Table.create(home.table, secrets.randbits(62) + 1), False


def name_rows(table: Table, slugs: list[str]) -> dict[str, int]:
    """Give every slug a row; one that has a row keeps it."""
    standing = table.snapshot().rows  # a row whose name is damaged is listed too: it is not free
    taken = {row.name: row.index for row in standing}
    free = iter(sorted(set(range(ROWS)) - {row.index for row in standing}))
    rows = {}
    for slug in slugs:
        rows[slug] = taken.get(slug)
        if rows[slug] is None:
            rows[slug] = next(free)
            table.name_row(rows[slug], slug)
    return rows
