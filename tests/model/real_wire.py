"""What lies between the real classes: messages on their way, a table in memory, and the processes that use both.

A channel goes from one process to one other and keeps its order; when anything arrives is for the machine to choose.
Who dies loses what was on its way to it. What it had said itself may still arrive, at any time or never.
A process may die before any effect that it has on the world (`effects_left`), so also in the middle of a turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from control.table import Row, Snapshot

if TYPE_CHECKING:
    from tests.model.real_world import RealWorld

ALL = None  # of what has come: read everything


class Killed(Exception):
    """The process ends here; whatever it had in mind is lost."""


class Process:
    """`identity` is its name on every socket. `rank`: in which order a turn reads its sockets, by the sender."""

    def __init__(self, world: RealWorld, identity: str) -> None:
        self.world = world
        self.identity = identity.encode()
        self.alive = True
        self.died_at = 0.0
        self.effects_left: int | None = None
        world.peers[self.identity] = self

    def __repr__(self) -> str:
        return self.identity.decode()

    @property
    def kind(self) -> str:
        """"control", "gateway", "client", or a worker's slug."""
        return repr(self).partition(".")[0]

    def rank(self, sender: Process) -> int:
        return 0

    def effect(self) -> None:
        """To be called before each effect on the world."""
        if self.effects_left == 0:
            raise Killed
        if self.effects_left is not None:
            self.effects_left -= 1

    def send(self, identity: bytes, message: object) -> bool:
        """As a ROUTER does: False if that peer is known to be gone. One that died just now is not known to be."""
        self.effect()
        peer = self.world.peers.get(identity)
        if peer is None or not peer.alive and peer.died_at < self.world.now:
            return False
        if peer is not self.world.client:
            self.world.wire.put(self, peer, message)
        return True

    def read(self, picks: list[int] | None) -> list[tuple[Process, object]]:
        """What this turn reads: everything that has come (`ALL`), or the next message of some senders."""
        wire, taken = self.world.wire, []
        rounds = iter(picks) if picks is not ALL else iter(lambda: 0, 1)
        for pick in rounds:
            senders = wire.senders(self)
            if not senders:
                break
            sender = senders[pick % len(senders)]
            taken.append((sender, wire.take(sender, self)))
        return sorted(taken, key=lambda each: self.rank(each[0]))


class Wire:
    def __init__(self) -> None:
        self._channels: dict[tuple[Process, Process], deque] = {}

    def put(self, sender: Process, receiver: Process, message: object) -> None:
        if receiver.alive:
            self._channels.setdefault((sender, receiver), deque()).append(message)

    def senders(self, receiver: Process) -> list[Process]:
        """Of whom something has come."""
        return [sender for sender, to in self._channels if to is receiver]

    def take(self, sender: Process, receiver: Process) -> object:
        channel = self._channels[sender, receiver]
        message = channel.popleft()
        if not channel:
            del self._channels[sender, receiver]
        return message

    def is_quiet(self, but: str) -> bool:
        """Has everything arrived, but what processes of one kind have not read?"""
        return all(receiver.kind == but for _, receiver in self._channels)

    def break_between(self, one: Process, other: Process) -> None:
        for pair in ((one, other), (other, one)):
            self._channels.pop(pair, None)

    def bury(self, dead: Process) -> None:
        self._channels = {pair: channel for pair, channel in self._channels.items() if pair[1] is not dead}

    def forget_the_dead(self) -> None:
        """What they had said never arrives."""
        self._channels = {pair: channel for pair, channel in self._channels.items() if pair[0].alive}


class FakeTable:
    """The shared table as values. It survives everybody; one that was lost is still there for who has it open."""

    def __init__(self, boot_id: int, slugs: list[str]) -> None:
        self.boot_id = boot_id
        self.slugs = slugs
        self._records: dict[tuple[type, int | None], tuple] = {}

    def read(self, kind: type, row: int | None = None) -> tuple | None:
        return self._records.get((kind, row))

    def writer(self, kind: type, row: int | None = None) -> FakeWriter:
        return FakeWriter(self._records, kind, row)

    def snapshot(self) -> Snapshot:
        from control.table import ControlWords, GatewayWords, RowControl, RowGateway, RowWorker
        rows = tuple(Row(index, slug, *(self.read(kind, index) for kind in (RowControl, RowGateway, RowWorker)))
                     for index, slug in enumerate(self.slugs))
        return Snapshot(self.boot_id, self.read(ControlWords), self.read(GatewayWords), rows)


class FakeWriter:
    """`control.table_writer.RecordWriter` without bytes: a local copy that goes on from what stands, and `flush`."""

    def __init__(self, records: dict, kind: type, row: int | None) -> None:
        self._records, self._kind, self._row = records, kind, row
        standing = records.get((kind, row))
        self._words = dict.fromkeys(kind._fields, 0) if standing is None else standing._asdict()

    def set(self, **words: int) -> None:
        assert words.keys() <= self._words.keys(), words.keys() - self._words.keys()
        self._words |= words

    def put(self, record: tuple[int, ...]) -> None:
        self.set(**record._asdict())

    def get(self, word: str) -> int:
        return self._words[word]

    def flush(self) -> None:
        self._records[self._kind, self._row] = self._kind(**self._words)
