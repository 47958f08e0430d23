"""Is MLX overloaded? For each kind of work one answer, steady enough to act on.

Overloaded is, by the counters that the gateway writes into the table:

1. for tasks: more wait than `spill_after_queued`;
2. for the other kinds: all slots are busy, or anybody waits behind others. Who waits for a model to be loaded does not
   count: else nobody would ever stay to have it loaded;
3. for every kind: memory is critical.

It begins at once and ends when it has not been so for STAYS_S (hysteresis): else the first task that leaves the queue
would bring the next one back into it. Counters of a gateway that is silent say nothing: then only (3) counts.
Pure: facts and `now` (monotonic seconds) come in.
"""

from control.pressure_level import Level
from control.routing import Kind
from control.table_records import GatewayWords

STAYS_S = 2.0


class Spill:
    """`bits` is the table's word `spill`: the kinds that MLX is overloaded for (`Kind.bit`)."""

    def __init__(self, max_running: int, spill_after_queued: int) -> None:
        self.max_running, self.spill_after_queued = max_running, spill_after_queued
        self.bits = 0
        self._last_seen: dict[Kind, float] = {}

    def see(self, words: GatewayWords | None, level: Level, now: float, for_loads: int = 0) -> int:
        """The bits as of now. `words` None: the gateway is silent. `for_loads`: how many wait for models to load."""
        for kind in Kind:
            if self._is_overloaded(kind, words, level, for_loads):
                self._last_seen[kind] = now
        self.bits = sum(kind.bit for kind, at in self._last_seen.items() if now - at < STAYS_S)
        return self.bits

    def _is_overloaded(self, kind: Kind, words: GatewayWords | None, level: Level, for_loads: int) -> bool:
        if level >= Level.CRITICAL:
            return True  # 3
        if words is None:
            return False
        queued = words.queued_high + words.queued_medium + words.queued_low
        if kind is Kind.TASK:
            return queued > self.spill_after_queued  # 1
        running = words.running_high + words.running_medium + words.running_low
        return running >= self.max_running or queued > for_loads  # 2
