"""Fair tags between the callers of one class: start-time fair queueing, reduced to what `gateway.queue` needs.

Theory
------
Each ticket that begins to wait gets a *tag*; the smallest tag goes first, ties by arrival.

    tag          = max(virtual time, last tag of the caller + 1)
    virtual time = max(virtual time + step, tag of the ticket just taken)

So a caller with many tickets has them spread over many rounds, one in each, and a newcomer enters the round that is
being served: it is not behind another's forty. One caller alone is plain FIFO.

The small `step` is what makes waiting bounded. Without it, callers seen for the first time would all enter the current
round, which would never end while new ones keep coming, and the second ticket of a regular caller would starve. With
`step = 1 / queue limit` a round lasts at most as many tickets as can wait. It never runs ahead of a fair round, because
there are never more callers waiting than tickets.

Tickets that leave without being taken are not charged: the last tag goes back by one if it was the youngest, and a
caller with nothing waiting is charged only for what was taken.

Memory: a waiting caller has a record; an idle one only while it is not behind virtual time (then the record says
nothing), and at most `IDLE_CALLERS_MAX` of those. The record of an idle caller is worth one round at most (its last
taken tag is never above virtual time), so forgetting one early gives that caller one place, no more.

Pure: no clock; virtual time moves when a ticket is taken.
"""

from collections import OrderedDict
from math import inf

IDLE_CALLERS_MAX = 1024


class _Caller:
    __slots__ = ("last", "taken", "waiting")

    def __init__(self, taken: float) -> None:
        self.waiting = 0
        self.last = taken  # never below the tag of any waiting ticket
        self.taken = taken  # the highest tag taken so far


class FairOrder:
    """Virtual time of one class and the last tags of its callers."""

    __slots__ = ("_idle", "_step", "_waiting", "virtual_time")

    def __init__(self, step: float) -> None:
        self.virtual_time = 0.0
        self._step = step
        self._waiting: dict[str, _Caller] = {}
        self._idle: OrderedDict[str, float] = OrderedDict()  # caller -> highest tag taken, longest idle first

    @property
    def callers_waiting(self) -> int:
        return len(self._waiting)

    @property
    def records(self) -> int:
        """How many callers are remembered, for the memory bound."""
        return len(self._waiting) + len(self._idle)

    def enter(self, caller: str) -> float:
        """The tag of a ticket of `caller` that begins to wait; above all tags this caller has waiting."""
        record = self._waiting.get(caller)
        if record is None:
            record = self._waiting[caller] = _Caller(self._idle.pop(caller, -inf))
        record.last = max(self.virtual_time, record.last + 1)
        record.waiting += 1
        return record.last

    def take(self, caller: str, tag: float) -> None:
        """The ticket with `tag` was chosen to run: virtual time moves on."""
        self.virtual_time = max(self.virtual_time + self._step, tag)
        record = self._waiting[caller]
        record.taken = max(record.taken, tag)
        self._gone(caller, record)

    def leave(self, caller: str, tag: float) -> None:
        """The ticket with `tag` left without running (cancelled, expired, displaced, moved to another class)."""
        record = self._waiting[caller]
        if tag == record.last:
            record.last -= 1
        self._gone(caller, record)

    def _gone(self, caller: str, record: _Caller) -> None:
        record.waiting -= 1
        if record.waiting:
            return
        del self._waiting[caller]
        if not self._is_behind(record.taken):
            self._idle[caller] = record.taken
        while self._idle and (len(self._idle) > IDLE_CALLERS_MAX or self._is_behind(next(iter(self._idle.values())))):
            self._idle.popitem(last=False)

    def _is_behind(self, taken: float) -> bool:
        """A caller whose next tag would be virtual time anyway: its record says nothing."""
        return taken + 1 <= self.virtual_time
