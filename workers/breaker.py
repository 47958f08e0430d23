"""Does a relay's server get any work? A breaker that opens on failures and closes when the server answers a probe.

    CLOSED     --a probe fails, or FAILURES_MAX requests fail within WINDOW_S-->  OPEN
    OPEN       --after `probe_every_s`-->  HALF_OPEN: one probe is on its way, no request
    HALF_OPEN  --the probe succeeds-->  CLOSED, and what failed before is forgotten
               --it fails-->  OPEN again

A probe that fails is definite: it asks for nothing but a sign of life. A request may fail for its own sake (a model
that does not fit there), so several of them have to. While CLOSED a probe goes out every `probe_every_s`, and at once
after a request failed: whether the server is gone is known within that probe, not at the next. Pure: `now` in seconds.
"""

from collections import deque

from control.states import Breaker as State

FAILURES_MAX = 5
WINDOW_S = 30.0


class Breaker:
    def __init__(self, probe_every_s: float) -> None:
        self.state = State.CLOSED
        self.why = ""  # the last failure, for people
        self._probe_every_s = probe_every_s
        self._failures: deque[float] = deque()
        self._probe_at = 0.0

    def probe_in_s(self, now: float) -> float:
        """How long until the next probe goes out; 0 now. What comes of it is told to `on_probe`."""
        return max(0.0, self._probe_at - now)

    def on_probe_begun(self, now: float) -> None:
        self._probe_at = now + self._probe_every_s
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN

    def on_probe(self, problem: str, now: float) -> None:
        """`problem` "": the server answered."""
        self._probe_at = now + self._probe_every_s
        if problem:
            self.state, self.why = State.OPEN, problem
        elif self.state is State.HALF_OPEN:
            self.state, self.why = State.CLOSED, ""
            self._failures.clear()

    def on_failure(self, problem: str, now: float) -> None:
        """A request failed, and not by its caller's fault."""
        self._failures.append(now)
        while self._failures[0] <= now - WINDOW_S:
            self._failures.popleft()
        if self.state is not State.CLOSED:
            return
        self.why = problem
        if len(self._failures) >= FAILURES_MAX:
            self.state, self._probe_at = State.OPEN, now + self._probe_every_s
        else:
            self._probe_at = now
