"""How many requests for an answer a caller may make in a window of time, and when the next one is free.

A sliding window: of the last `window_s` seconds at most `limit` requests count. Only what was let through counts, so
whoever is refused and waits as long as it is told is let through. `limit` 0 is no limit.

Memory: a caller's times are kept while they count, so at most `limit` of them; callers that made none within the
window are forgotten, a few at each call. More than CALLERS_MAX are not remembered: the one that asked longest ago is
forgotten, so whoever invents callers gains nothing but what he had already. Each call costs O(1), amortised. Pure:
`now` is monotonic seconds.
"""

from collections import OrderedDict, deque
from typing import NamedTuple

FORGET_PER_CALL = 4
CALLERS_MAX = 65_536


class Allowance(NamedTuple):
    """`remaining` after this request. `reset_s`: until all are free again. `retry_s`: until one is, 0 if one is now."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float
    retry_s: float = 0.0


class RateLimit:
    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._times: OrderedDict[str, deque[float]] = OrderedDict()  # the caller that was seen longest ago first

    def ask(self, caller: str, limit: int, now: float) -> Allowance | None:
        """May this caller make one more request? If so, it counts. None: there is no limit."""
        if not limit:
            return None
        times = self._recent(caller, now)
        if allowed := len(times) < limit:
            times.append(now)
        self._times[caller] = times
        self._times.move_to_end(caller)
        self._forget(now)
        return self._allowance(times, limit, now, allowed=allowed)

    def look(self, caller: str, limit: int, now: float) -> Allowance | None:
        """The same without asking for anything."""
        times = self._recent(caller, now)
        return self._allowance(times, limit, now, allowed=len(times) < limit) if limit else None

    @property
    def callers(self) -> int:
        """How many are remembered, for the memory bound."""
        return len(self._times)

    def _recent(self, caller: str, now: float) -> deque[float]:
        times = self._times.get(caller) or deque()
        while times and times[0] <= now - self.window_s:
            times.popleft()
        return times

    def _forget(self, now: float) -> None:
        for _ in range(FORGET_PER_CALL):
            oldest = next(iter(self._times), None)
            if oldest is None or (len(self._times) <= CALLERS_MAX and self._counts(self._times[oldest], now)):
                return
            del self._times[oldest]

    def _counts(self, times: deque[float], now: float) -> bool:
        return bool(times) and times[-1] > now - self.window_s

    def _allowance(self, times: deque[float], limit: int, now: float, *, allowed: bool) -> Allowance:
        remaining = max(0, limit - len(times))
        retry_s = 0.0 if remaining else max(0.0, times[len(times) - limit] + self.window_s - now)
        reset_s = max(0.0, times[-1] + self.window_s - now) if times else 0.0
        return Allowance(allowed, limit, remaining, reset_s, retry_s)
