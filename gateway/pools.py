"""One admission for MLX and one for each relay: their limits, queues and rates do not touch each other.

Five answers run on MLX, whatever the relays do: else "all slots are busy" could not be a reason to hand work on, and an
agent that calls back would wait for the very slots it holds itself. A ticket belongs to the pool of its target.

Everything that `gateway.admission.Admission` promises holds in each pool. Where a number is asked of "the" queue
(`running`, `queued`), it is MLX's. Pure: `now` is monotonic seconds.
"""

from typing import Literal

from control.config import Config
from gateway.admission import Admission, Counts, Limits, Queued, QueuedDisplacing, QueueFull, Ticket
from gateway.service_rate import ServiceRate


class Pools:
    def __init__(self, config: Config) -> None:
        shared = (config.aging_s, config.queue_deadline_s)
        self.mlx = Admission(Limits(config.max_running, config.max_queued, config.reserved_high, *shared))
        self.relays = {slug: Admission(Limits(getattr(config, f"{name}_max_running"), config.max_queued, 0, *shared))
                       for name, slug in config.relays.items()}
        self._all = (self.mlx, *self.relays.values())
        self._pools: dict[int, Admission] = {}  # of each ticket that waits or runs

    def of(self, target: str) -> Admission:
        return self.relays.get(target, self.mlx)

    # -- tickets ---------------------------------------------------------------------------------------------

    def submit(self, ticket: Ticket, now: float) -> Queued | QueuedDisplacing | QueueFull:
        pool = self.of(ticket.target)
        outcome = pool.submit(ticket, now)
        if isinstance(outcome, QueuedDisplacing):
            del self._pools[outcome.victim.id]
        if not isinstance(outcome, QueueFull):
            self._pools[ticket.id] = pool
        return outcome

    def requeue(self, ticket: Ticket, now: float) -> None:
        self._pools[ticket.id].requeue(ticket, now)

    def next(self, now: float) -> Ticket | None:
        for pool in self._all:
            if (ticket := pool.next(now)) is not None:
                return ticket
        return None

    def pause(self, ticket_id: int, now: float, *, last: bool = False) -> None:
        self._pools[ticket_id].pause(ticket_id, now, last=last)

    def finish(self, ticket_id: int) -> None:
        self._pools[ticket_id].finish(ticket_id)
        del self._pools[ticket_id]

    def cancel(self, ticket_id: int) -> Literal["queued", "running", "paused"] | None:
        pool = self._pools.get(ticket_id)
        outcome = pool.cancel(ticket_id) if pool is not None else None
        if outcome == "queued":
            del self._pools[ticket_id]
        return outcome

    def expire(self, now: float) -> list[Ticket]:
        expired = [ticket for pool in self._all for ticket in pool.expire(now)]
        for ticket in expired:
            del self._pools[ticket.id]
        return expired

    def position(self, ticket_id: int) -> int:
        return self._pools[ticket_id].position(ticket_id)

    # -- places and classes ----------------------------------------------------------------------------------

    def set_places(self, target: str, places: int, resume_places: int | None = None) -> None:
        self.of(target).set_places(target, places, resume_places)

    def set_closed(self, bits: int) -> None:
        """Memory is short here: that closes nothing of a relay."""
        self.mlx.set_closed(bits)

    def extend_deadlines(self, seconds: float) -> None:
        for pool in self._all:
            pool.extend_deadlines(seconds)

    # -- read side -------------------------------------------------------------------------------------------

    def rate_of(self, target: str) -> ServiceRate:
        return self.of(target).rate

    def queued_before(self, target: str) -> int:
        """How many wait in the pool of this target."""
        return self.of(target).queued_total

    @property
    def running(self) -> Counts:
        return self.mlx.running

    @property
    def paused(self) -> Counts:
        return self.mlx.paused

    @property
    def queued(self) -> Counts:
        return self.mlx.queued

    @property
    def running_total(self) -> int:
        return self.mlx.running_total

    @property
    def queued_total(self) -> int:
        return self.mlx.queued_total

    @property
    def relayed(self) -> tuple[int, int]:
        """Running and queued at all relays together."""
        return (sum(pool.running_total for pool in self.relays.values()),
                sum(pool.queued_total for pool in self.relays.values()))

    def running_on(self, target: str) -> int:
        return self.of(target).running_on(target)

    def unfinished_on(self, target: str) -> int:
        """Running and paused."""
        pool = self.of(target)
        return pool.running_on(target) + pool.paused_on(target)

    def waiting(self, target: str) -> Counts:
        return self.of(target).waiting(target)

    def waiting_since(self, target: str) -> tuple[float | None, float | None, float | None]:
        return self.of(target).waiting_since(target)
