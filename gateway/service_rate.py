"""How fast places become free, measured; and from it, when a caller should come back.

Theory
------
Each end is charged the time since the end before it or since its own start, whichever is later. Under load that is
the time between ends; when jobs come one by one it is how long each ran; a quiet hour is charged to nobody.

    rate = (ends in the window + 1) / (charges in the window + silence + GUESS_S)

* The window is the last `WINDOW_ENDS` ends, none older than `EVIDENCE_MAX_S`: what ran long ago was another load.
* Silence is the time since the last end. From here nobody can tell whether it is idleness or a stall, so it counts,
  but only up to `SILENCE_MAX_S`: the rate decays, and a quiet night does not make the server look dead.
* The added one end in `GUESS_S` is what is assumed before anything was measured (five places, an answer of about ten
  seconds: an end every two seconds). Later it weighs no more than one end and keeps the rate above zero.
* A charge is at most `CHARGE_MAX_S`: more cannot change a clamped answer, and a machine that slept would spoil it.

Measured at the concurrency there was: after a time of single requests the rate reads too low (the caller waits too
long, never too short) until a few ends have come under load.

Refuses: to promise. The answer is clamped to 1..120 s, because clients give up on a Retry-After above 120 s and hammer
on one of 0. Pure: `now` is an argument, in seconds.
"""

from collections import deque

WINDOW_ENDS = 64
EVIDENCE_MAX_S = 600.0
SILENCE_MAX_S = 30.0
CHARGE_MAX_S = 120.0
GUESS_S = 2.0
RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 120.0


class ServiceRate:
    """Ends per second over a bounded window."""

    __slots__ = ("_ends", "_last_end")

    def __init__(self) -> None:
        self._ends: deque[tuple[float, float]] = deque(maxlen=WINDOW_ENDS)  # (when, charged seconds)
        self._last_end: float | None = None

    def on_finish(self, now: float, started: float | None = None) -> None:
        """A job ended and its place is free. `started`: when it took the place; None: unknown, since the last end."""
        begins = [moment for moment in (started, self._last_end) if moment is not None]
        charge_s = now - max(begins, default=now)
        self._ends.append((now, min(CHARGE_MAX_S, max(0.0, charge_s))))
        self._last_end = now

    def per_second(self, now: float) -> float:
        """Ends per second, always above 0; 1 / GUESS_S before anything was measured."""
        while self._ends and now - self._ends[0][0] > EVIDENCE_MAX_S:
            self._ends.popleft()
        if not self._ends:
            return 1 / GUESS_S
        silence_s = min(SILENCE_MAX_S, max(0.0, now - self._ends[-1][0]))
        charged_s = sum(charge_s for _, charge_s in self._ends)
        return (len(self._ends) + 1) / (charged_s + silence_s + GUESS_S)

    def retry_after_s(self, queue_ahead: int, load_remaining_s: float, now: float) -> float:
        """Seconds until a request behind `queue_ahead` others should have its place, within 1..120.

        `load_remaining_s`: what is left of the load of its model, 0 if it is loaded.
        """
        wait_s = load_remaining_s + (queue_ahead + 1) / self.per_second(now)
        return min(RETRY_AFTER_MAX_S, max(RETRY_AFTER_MIN_S, wait_s))
