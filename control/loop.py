"""Control's loop: the ROUTER on `control.ipc`, supervisord's thread, the table's header and row words.

One thread decides; nothing in it blocks. supervisord is talked to by a thread of its own, so that a slow answer
delays orders and nothing else.
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import TypeVar

import msgspec
import zmq

from control import messages
from control.adoption import adopt
from control.budget import ModelFacts, Profile
from control.config import Config, ConfigError
from control.disk import Disk, remove_kept
from control.failpoints import failpoint
from control.header import header_words, warning
from control.home import Home
from control.library import Library, library_path, read_library
from control.pressure import PressureReader
from control.process_facts import is_alive
from control.programs import write_programs
from control.reconciler import Reconciler
from control.rows import RowState
from control.sockets import open_router
from control.states import is_fresh
from control.supervisord import SupervisordThread
from control.table import (
    ControlWarning,
    ControlWords,
    GatewayWords,
    RecordWriter,
    RowControl,
    RowGateway,
    RowName,
    RowReason,
    RowWorker,
    Table,
    TableRefused,
    text_words,
)
from control.table_rows import name_rows, row_for, take_table

TICK_S = 0.1
ENDING_TICK_S = 0.01  # while a process is on its way out: somebody waits for its memory
MEND_EVERY_S = 1.0
FLOOR_STEP_NS = 1_000_000  # epochs, incarnations and fences begin at the wall clock in ms, which no stack can outrun
FRAMES_PER_TURN_MAX = 256
NS = 1_000_000_000
K = TypeVar("K")


class TableLost(Exception):
    """The table was deleted, cut short or damaged under us, so that nobody could open it any more."""


class Loop:
    """Implements `reconciler.Effects`."""

    def __init__(self, config: Config, home: Home, note: Callable[..., None]) -> None:
        self.note = note
        self.stopping = False
        slugs = [*(model.slug for model in config.models), *config.relays.values()]
        self._table, adopted = take_table(home, set(slugs), note)
        rows = name_rows(self._table, slugs)
        self._header, self._warning = self._table.writer(ControlWords), self._table.writer(ControlWarning)
        self._rows = {slug: self._row_writers(index) for slug, index in rows.items()}
        self._home = home
        self._mend_at = 0.0
        epoch = max(self._header.get("epoch") + 1, time.time_ns() // FLOOR_STEP_NS)
        self._header.set(epoch=epoch, pid=os.getpid())
        self._socket = open_router(zmq.Context.instance(), home.endpoint("control"), messages.FRAME_MAX_BYTES)
        self._bell, self._bell_push = socket.socketpair()
        self._bell.setblocking(False)
        self._bell_push.setblocking(False)
        self._read: dict[tuple[type, int | None], object] = {}
        self._reasons: dict[str, RowReason] = {}
        self._warned: ControlWarning | None = None
        self._disk = Disk(config, home.profiles, note)
        self._pressure_trouble = ""
        if trouble := self.write_programs(config):
            note("programs_not_written", reason=trouble)
        self.reconciler = Reconciler(config, self, epoch, self._table.boot_id, rows, time.time_ns() // FLOOR_STEP_NS)
        self._pressure = PressureReader(os.environ, self.reconciler.books.thresholds)
        if adopted:
            adopt(self.reconciler, self._table.snapshot(), time.monotonic())
        self._read_memory(time.monotonic())
        for row in (*self.reconciler.rows.values(), *self.reconciler.relays.rows.values()):
            self.write_row(row)
        self._beat(time.monotonic())
        self._supervisord = SupervisordThread(home, self._ring)

    # -- effects ---------------------------------------------------------------------------------------------

    def to_peer(self, identity: bytes, message: msgspec.Struct) -> bool:
        tag = message.__struct_config__.tag
        failpoint(f"control.send.{tag}.before")
        try:
            self._socket.send_multipart((identity, messages.encode(message)), zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        failpoint(f"control.send.{tag}.after")
        return True

    def order(self, verb: str, name: str, *args: str) -> None:
        self._supervisord.order(verb, name, *args)

    def write_row(self, row: RowState) -> None:
        """Failpoints: control.row.PHASE and, with a fence that stands, control.fence.PHASE, before and after."""
        writer, reason, _ = self._rows[row.slug]
        name = f"control.{'fence' if row.is_fenced else 'row'}.{row.phase.name}"
        failpoint(f"{name}.before")
        writer.set(**row.words())
        writer.flush()
        failpoint(f"{name}.after")
        text = text_words(RowReason, row.reason)
        if text != self._reasons.get(row.slug):
            self._reasons[row.slug] = text
            reason.set(**text._asdict())
            reason.flush()

    def _row_writers(self, index: int) -> tuple[RecordWriter, RecordWriter, RecordWriter]:
        return tuple(self._table.writer(kind, index) for kind in (RowControl, RowReason, RowName))

    def add_row(self, row: RowState) -> bool:
        """Its words first, so that nobody reads those of another model under its name."""
        index = row_for(self._table, row.slug)
        if index is None:
            return False
        row.index = index
        writer, reason, _ = self._row_writers(index)
        writer.set(**row.words())
        reason.set(**text_words(RowReason, row.reason)._asdict())
        writer.flush()
        reason.flush()
        self._table.name_row(index, row.slug)
        self._rows[row.slug] = self._row_writers(index)
        self._reasons.pop(row.slug, None)
        self._read.clear()
        return True

    def drop_row(self, row: RowState) -> None:
        del self._rows[row.slug]
        self._table.unname_row(row.index)
        remove_kept(self._home.cache, row.slug)

    def take_models(self, config: Config) -> None:
        self._disk.take_models(config)

    def read_library(self) -> Library | str:
        try:
            return read_library(library_path(self._home.root))
        except ConfigError as problem:
            return str(problem)

    def write_programs(self, config: Config) -> str:
        return write_programs(config, self._home)

    def read_gateway_words(self) -> GatewayWords | None:
        words = self._read_once(GatewayWords)
        return words if words is not None and is_fresh(words.heartbeat_ns, time.monotonic_ns()) else None

    def read_gateway(self, index: int) -> RowGateway | None:
        gateway, words = self.read_gateway_words(), self._read_once(RowGateway, index)
        return words if gateway is not None and words is not None and words.epoch == gateway.epoch else None

    def read_worker(self, index: int) -> RowWorker | None:
        return self._read_once(RowWorker, index)

    def _read_once(self, kind: type[K], index: int | None = None) -> K | None:
        """A record is read once for each frame and each tick: several parts look at it in that same moment."""
        if (kind, index) not in self._read:
            self._read[kind, index] = self._table.read(kind, index)
        return self._read[kind, index]

    def is_alive(self, pid: int, start_time_us: int) -> bool:
        alive = is_alive(pid, start_time_us)
        if not alive:
            self._read.clear()  # its last words (that it leaves) may be newer than what was read in this moment
        return alive

    def read_facts(self, slug: str) -> ModelFacts | str:
        return self._disk.read_facts(slug)

    def read_profile(self, slug: str) -> Profile | None:
        return self._disk.read_profile(slug)

    def save_profile(self, slug: str, profile: Profile) -> None:
        self._disk.save_profile(slug, profile)

    # -- turns -----------------------------------------------------------------------------------------------

    def _ring(self) -> None:
        """Called by supervisord's thread: there is something to take."""
        with suppress(BlockingIOError):
            self._bell_push.send(b"\0")

    def _beat(self, now: float) -> None:
        self._header.set(heartbeat_ns=int(now * NS), supervisord_at_ns=int(self.reconciler.processes.read_at * NS),
                         **header_words(self.reconciler))
        self._header.flush()
        words = text_words(ControlWarning, warning(self.reconciler, now))
        if words != self._warned:
            self._warned = words
            self._warning.set(**words._asdict())
            self._warning.flush()

    def _mend(self, now: float) -> None:
        """Put right what somebody damaged: every flush stores every word, and most rows change seldom.

        Raises: TableLost, for a header by which nobody could open the table any more.
        """
        if now < self._mend_at:
            return
        self._mend_at = now + MEND_EVERY_S
        try:
            Table.open(self._table.path).close()
        except TableRefused:
            raise TableLost from None
        for writer in (self._warning, *chain.from_iterable(self._rows.values())):
            writer.flush()

    def _read_memory(self, now: float) -> None:
        self.reconciler.books.on_reading(self._pressure.read(now))
        if self._pressure.trouble != self._pressure_trouble:
            self._pressure_trouble = self._pressure.trouble
            self.note("pressure_source", trouble=self._pressure_trouble or "over")

    def run(self) -> None:
        """Until TERM. Raises: TableLost."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        next_tick = 0.0
        while not self.stopping:
            poller.poll(int((ENDING_TICK_S if self.reconciler.somebody_leaves else TICK_S) * 1000))
            now = time.monotonic()
            self._read_frames(now)
            self._read.clear()
            with suppress(BlockingIOError):
                self._bell.recv(4096)
            for value in self._supervisord.take():
                self.reconciler.processes.on_supervisord(value, now)
            if now >= next_tick or self.reconciler.somebody_leaves:
                next_tick = now + TICK_S
                if self._table.replaced():
                    raise TableLost  # supervisord starts another control process, and that one makes another table
                self._mend(now)
                self._read_memory(now)
                self.reconciler.on_tick(now)
                self._beat(now)

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
                self._read.clear()  # what a frame reports was written before
                self.reconciler.on_frame(parts[0], message, now)

    def close(self) -> None:
        self._supervisord.close()
        self._socket.close()
