"""How many admission decisions a second the gateway's own `Admission` makes, with few and with very many queued.

A decision is all that one request costs there: a running one finishes, the next is taken, a new one is submitted; so
the queue keeps its length. Time moves by a millisecond with each, and the queue was filled at that pace, so that
tickets age as they would. Python looks for garbage as seldom as in the gateway. Counted in CPU time of this process:
nothing here waits, and other processes take none of it.
"""

import time
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from control.states import Priority
from gateway.garbage import settle_garbage
from gateway.admission import Admission, Limits, Ticket

RUNNING = 5
TARGETS = 4
CALLERS_MAX = 64
STEP_S = 0.001
DEADLINE_S = 86_400.0
MIX = {Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 7}


class Decisions(NamedTuple):
    """`taken`: how many of the decisions gave a place, by class, the highest first."""

    queued: int
    per_s: float
    taken: list[int]


class Load:
    """Tickets of a seed; `now` is that of the next one."""

    def __init__(self, random: Random, callers: int) -> None:
        self.now = 0.0
        self._random, self._callers, self._number = random, callers, 0
        self._kinds, self._weights = list(MIX), list(MIX.values())

    def ticket(self) -> Ticket:
        self.now += STEP_S
        self._number += 1
        [kind] = self._random.choices(self._kinds, self._weights)
        return Ticket(self._number, kind, f"model {self._number % TARGETS}",
                      f"caller {self._random.randrange(self._callers)}", self.now, self.now + DEADLINE_S)


def decisions_per_s(queued: int, decisions: int, seed: str) -> Decisions:
    load = Load(Random(f"{seed}/{queued}"), min(CALLERS_MAX, max(1, queued)))
    admission = Admission(Limits(max_running=RUNNING, max_queued=queued + RUNNING, queue_deadline_s=DEADLINE_S))
    for number in range(TARGETS):
        admission.set_places(f"model {number}", RUNNING)
    for _ in range(queued + RUNNING):
        admission.submit(load.ticket(), load.now)
    running = [admission.next(load.now) for _ in range(RUNNING)]
    newcomers = [load.ticket() for _ in range(decisions)]
    taken = [0] * len(Priority)
    settle_garbage()
    began_s = time.process_time()
    for number, newcomer in enumerate(newcomers):
        place = number % RUNNING
        admission.finish(running[place].id)
        running[place] = went = admission.next(newcomer.arrived)
        admission.submit(newcomer, newcomer.arrived)
        taken[went.priority] += 1
    return Decisions(queued, decisions / (time.process_time() - began_s), taken)


def spread_of(rates: Sequence[float]) -> float:
    """The fastest over the slowest: 1 is flat."""
    return max(rates) / min(rates)
