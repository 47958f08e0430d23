"""The gateway process around the real Dispatcher, in the order of `gateway/loop.py`.

Between the phases of a turn other processes go on in reality; `between` lets the machine put a turn of control there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from control import messages
from control.table import ControlWords, GatewayWords, RowControl, RowWorker
from gateway import protocol
from gateway.counters import Publisher
from gateway.dispatcher import Dispatcher
from gateway.fanout import Fanout, Sent
from tests.model.real_wire import Process
from workers import protocol as jobs

if TYPE_CHECKING:
    from tests.model.real_world import RealWorld

TICK_S = 0.05
GREET_EVERY_S = 0.25
CLOCK_GAP_S = 5.0
AFTER_GATES, BEFORE_WORDS = "after the gates were worked out", "before its words are published"


def nothing(moment: str) -> None:
    pass


class GatewayProcess(Process):
    """Implements `dispatcher.Effects`."""

    def __init__(self, world: RealWorld) -> None:
        super().__init__(world, f"gateway.{next(world.numbers)}")
        self.fanout = Fanout(self._send_client)
        words = world.table.read(GatewayWords)
        epoch = max(words.epoch + 1 if words is not None else 1, int(world.wall_s * 1000))
        self.dispatcher = d = Dispatcher(world.config, epoch, self.fanout, self, lambda: 5)
        d.second_key = world.variant.second_key(d)
        self._take_table()
        self._control_heard = 0
        self._greet_at = self._next_tick = 0.0
        self._last = world.now

    def _take_table(self) -> None:
        self.table = self.world.table
        self.dispatcher.boot_id = self.table.boot_id
        self._publisher = Publisher(self.table, self.dispatcher, 2)

    def rank(self, sender: Process) -> int:
        return 2 if sender.identity.startswith(b"control") else 1 if sender is self.world.client else 0

    # -- effects ---------------------------------------------------------------------------------------------

    def _send_client(self, identity: bytes, frame: bytes) -> Sent:
        self.effect()
        self.world.client.hear(protocol.decode_event(frame))
        return Sent.OK

    def to_worker(self, identity: bytes, message: object) -> bool:
        sent = self.send(identity, jobs.encode(message))
        if sent and isinstance(message, jobs.Job):
            self.world.watch.on_job_sent(self, message)
        return sent

    def to_control(self, message: object) -> bool:
        self.effect()
        if isinstance(message, messages.Fenced):
            self.world.watch.on_fenced(self, message)
        if self.world.control is None:
            return False
        self.world.wire.put(self, self.world.control, message)
        return True

    def read_row(self, slug: str) -> RowControl | None:
        return self.table.read(RowControl, self.world.slugs.index(slug))

    def read_worker(self, slug: str) -> RowWorker | None:
        return self.table.read(RowWorker, self.world.slugs.index(slug))

    def read_control(self) -> ControlWords | None:
        return self.table.read(ControlWords)

    control_of_turn = read_control

    def read_reason(self, slug: str) -> str:
        return ""

    def note(self, event: str, **facts: object) -> None:
        self.world.note(self, event, facts)

    # -- turns -----------------------------------------------------------------------------------------------

    def turn(self, picks: list[int] | None, between: Callable[[str], None] = nothing) -> None:
        now, d = self.world.now, self.dispatcher
        if now - self._last > CLOCK_GAP_S:
            d.admission.extend_deadlines(now - self._last)
        self._last = now
        d.start_turn(now)
        self.world.watch.on_gates(self)
        between(AFTER_GATES)
        for sender, message in self.read(picks):
            self._hear(sender, message, now)
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            if self.world.table not in (self.table, None):
                self._control_heard = 0
                self._take_table()
            self._greet_control(now)
            d.on_tick(now)
        d.pump(now)
        for identity, how in self.fanout.flush(now):
            d.on_client_lost(identity, how, now)
        between(BEFORE_WORDS)
        self.effect()
        self._publisher.publish(now)

    def _hear(self, sender: Process, message: object, now: float) -> None:
        if self.rank(sender) == 0:
            self.dispatcher.worker_side.on_frame(sender.identity, message, now)
        elif self.rank(sender) == 1:
            self.dispatcher.on_client(sender.identity, message, now)
        else:
            if isinstance(message, messages.ModelState):
                self._control_heard = message.control_epoch
            self.dispatcher.on_control(message, now)

    def _greet_control(self, now: float) -> None:
        words = self.read_control()
        if words is None or words.epoch == self._control_heard or now < self._greet_at:
            return
        self._greet_at = now + GREET_EVERY_S
        self.to_control(messages.GatewayHello(messages.VERSION, self.table.boot_id, self.dispatcher.epoch))
