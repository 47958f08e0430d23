"""Much work for one gateway: how many requests are on their way, which goes next, which is asked again and when.

Theory
------
At most `concurrency` items are outstanding; the rest waits here and not in the gateway's queue, which others share. An
item whose request was refused for want of room (503), for the caller's rate (429) or after waiting too long (504) with
a Retry-After is asked again after that time, in front of those not yet asked. Where the refusal is about the caller or
the whole stack (PAUSES_ALL), nothing else is sent meanwhile either: it would be refused as well.

Guarantees
1. Each item ends in one `Outcome`: a whole answer, or the error that ended it. A bad item does not end the rest.
2. Outcomes are handed back in the order of the items, whatever the order in which they ended.
3. Waiting is bounded: an item is asked again for at most `patience_s` after its first refusal (of those in PAUSES_ALL:
   after the last answer that anyone got), then its error is final. If that error is that there is no gateway, the
   items not yet asked get it too, for they would wait as long.
4. What was given to another server (by a relay) is not asked again: it may have had effects.

`gateway.tasks` drives it. No clock and no socket: `now` is an argument.
"""

import heapq
from typing import NamedTuple

from gateway.exchange import goes_elsewhere
from gateway.inbox import GatewayError
from gateway.protocol import ERRORS, Done, Tokens

CONCURRENCY = 8
PATIENCE_S = 900.0
PAUSES_ALL = ("rate_limited", "queue_full", "memory_pressure", "gateway_unavailable")


class Outcome(NamedTuple):
    """What became of item `index`: `done` and the whole text, or `error` and what had come until then.

    `asked`: how often; 0 for an item that was given up before (guarantee 3).
    """

    index: int
    text: str
    done: Done | None
    error: GatewayError | None
    asked: int


class Tally(NamedTuple):
    """How far it is. `pause_s`: nothing is sent for so long because `reason`; 0 if that is not so.

    It is the pause of all (PAUSES_ALL), or what is left of the wait of the next item if all that are left wait.
    """

    total: int
    answered: int
    failed: int
    running: int
    pause_s: float = 0.0
    reason: str = ""


def may_ask_again(error: GatewayError) -> bool:
    """The gateway has said when, and the request was not wrong in itself."""
    fault = ERRORS[error.code].fault if error.code in ERRORS else "server"
    return error.retry_after_s > 0 and (fault == "capacity" or error.code in ("rate_limited", "slow_reader"))


class Piece:
    """The answer of one item as far as it has come."""

    __slots__ = ("done", "is_relayed", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.done: Done | None = None
        self.is_relayed = False

    def take(self, event: object) -> None:
        """Raises: GatewayError, for an answer that was cut short by somebody else."""
        self.is_relayed |= goes_elsewhere(event)
        if isinstance(event, Tokens):
            self.texts.append(event.text)
        elif isinstance(event, Done):
            if event.finish_reason == "cancelled":
                raise GatewayError("internal", "the request was cancelled, and not by this client")
            self.done = event


class Schedule:
    """`next` until it says None, then wait until `wake_at` or an end; `ended` says when there is no more to do."""

    def __init__(self, total: int, concurrency: int = CONCURRENCY, patience_s: float = PATIENCE_S) -> None:
        """Raises: ValueError for a concurrency below 1."""
        if concurrency < 1:
            raise ValueError(f"concurrency: {concurrency}; at least 1 request must be on its way")
        self.outcomes: list[Outcome | None] = [None] * total
        self.running: set[int] = set()
        self.answered = self.failed = 0
        self._concurrency, self._patience_s = concurrency, patience_s
        self._fresh = 0
        self._again: list[tuple[float, int, str]] = []  # when, item, why
        self._asked = [0] * total
        self._refused_at: dict[int, float] = {}
        self._answered_at = float("-inf")
        self._paused_until, self._reason = 0.0, ""
        self._gone: GatewayError | None = None

    @property
    def ended(self) -> bool:
        return self.answered + self.failed == len(self.outcomes)

    def tally(self, now: float) -> Tally:
        until, reason = self._paused_until, self._reason
        if (wake_at := self.wake_at()) is not None and wake_at > until:
            until, reason = wake_at, self._again[0][2]
        pause_s = max(0.0, until - now)
        return Tally(len(self.outcomes), self.answered, self.failed, len(self.running), pause_s,
                     reason if pause_s else "")

    def next(self, now: float) -> int | None:
        """The item to ask now; it counts as asked."""
        if len(self.running) >= self._concurrency or now < self._paused_until:
            return None
        if self._again and self._again[0][0] <= now:
            index = heapq.heappop(self._again)[1]
        elif self._fresh < len(self.outcomes) and self._gone is None:
            index, self._fresh = self._fresh, self._fresh + 1
        else:
            return None
        self.running.add(index)
        self._asked[index] += 1
        return index

    def wake_at(self) -> float | None:
        """When `next` may have something without an end before; None: only an end can change that."""
        if len(self.running) >= self._concurrency:
            return None
        if self._fresh < len(self.outcomes) and self._gone is None:
            return self._paused_until
        return max(self._paused_until, self._again[0][0]) if self._again else None

    def on_answer(self, index: int, piece: Piece, now: float) -> Outcome:
        self.answered += 1
        self._answered_at = now
        return self._end(Outcome(index, "".join(piece.texts), piece.done, None, self._asked[index]))

    def on_error(self, index: int, piece: Piece, error: GatewayError, now: float) -> list[Outcome]:
        """The outcomes that are final by this; none if it will be asked again."""
        since, again_at = self._refused_at.setdefault(index, now), now + error.retry_after_s
        if error.code in PAUSES_ALL:
            since = max(since, self._answered_at)
        may_go_on = may_ask_again(error) and not piece.is_relayed
        if may_go_on and again_at - since <= self._patience_s and self._gone is None:
            self.running.discard(index)
            heapq.heappush(self._again, (again_at, index, error.message))
            if error.code in PAUSES_ALL and again_at > self._paused_until:
                self._paused_until, self._reason = again_at, error.message
            return []
        self.failed += 1
        ended = [self._end(Outcome(index, "".join(piece.texts), None, error, self._asked[index]))]
        if error.code == "gateway_unavailable" and may_go_on:
            self._gone = error
            ended += self._give_up_the_rest(error)
        return ended

    def _give_up_the_rest(self, error: GatewayError) -> list[Outcome]:
        waiting = [*(index for _, index, _ in self._again), *range(self._fresh, len(self.outcomes))]
        self._again.clear()
        self._fresh = len(self.outcomes)
        self.failed += len(waiting)
        return [self._end(Outcome(index, "", None, error, self._asked[index])) for index in sorted(waiting)]

    def _end(self, outcome: Outcome) -> Outcome:
        self.running.discard(outcome.index)
        self._refused_at.pop(outcome.index, None)
        self.outcomes[outcome.index] = outcome
        return outcome
