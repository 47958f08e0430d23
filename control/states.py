"""The life of a model's row, written down once: phases, legal transitions, named sets, and the work classes.

Theory
------
A row stands for one configured model. Two processes write about it, each in words of its own:

* `control` writes what it knows about the *process*: DOWN, STARTING, ALIVE, STOPPING, VERIFY_FREE, BACKOFF,
  QUARANTINED, HELD, LEAK_SUSPECTED. ALIVE says "an incarnation is welcomed: read the worker's own word".
* the `worker` writes what it knows about the *model*: EMPTY, LOADING, READY, DRAINING.

`effective_phase` joins the two. Readers treat a worker that has been silent for `HEARTBEAT_STALE_NS` as
unknown, and unknown means "do not terminate".

Guarantee: `advance` refuses an illegal transition by raising `IllegalTransition` and changes nothing.
Pure: no clock, no socket, no process.
"""

from enum import IntEnum

HEARTBEAT_STALE_NS = 3_000_000_000
MLX, AGENTS, OLLAMA, VICTORIA = BACKENDS = ("mlx", "agents", "ollama", "victoria")  # what a chain may name
LOCAL = (MLX, AGENTS)  # the same workers; AGENTS is the model that agents use among themselves


class Priority(IntEnum):
    """Class of a request; a smaller number goes first."""

    HIGH = 0
    MEDIUM = 1
    LOW = 2


class Breaker(IntEnum):
    """Of a relay: does its server get any work? HALF_OPEN: it is being tried with one probe."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Phase(IntEnum):
    """Phase of a row. 0 is never a phase, so that a word nobody wrote cannot be mistaken for one."""

    DOWN = 1
    STARTING = 2
    EMPTY = 3
    LOADING = 4
    READY = 5
    DRAINING = 6
    STOPPING = 7
    VERIFY_FREE = 8
    BACKOFF = 9
    QUARANTINED = 10
    HELD = 11
    LEAK_SUSPECTED = 12
    ALIVE = 13


P = Phase
WORKER_PHASES = frozenset({P.EMPTY, P.LOADING, P.READY, P.DRAINING})
CONTROL_PHASES = frozenset(Phase) - WORKER_PHASES
HAS_PROCESS = WORKER_PHASES | {P.STARTING, P.STOPPING, P.ALIVE}
NEVER_TERMINATE = frozenset({P.LOADING, P.DRAINING})  # READY with unfinished work is protected by the three keys
ACCEPTS_START = frozenset({P.DOWN, P.BACKOFF})
PROCESS_ENDED = frozenset({P.DOWN, P.BACKOFF, P.QUARANTINED, P.HELD, P.VERIFY_FREE})

# What the *effective* phase of a row may become. Any phase with a process may find its process gone
# (PROCESS_ENDED); the rest is spelled out.
LEGAL: dict[Phase, frozenset[Phase]] = {
    P.DOWN: frozenset({P.STARTING, P.EMPTY, P.HELD, P.QUARANTINED}),
    P.STARTING: frozenset({P.EMPTY, P.STOPPING}) | PROCESS_ENDED,
    P.EMPTY: frozenset({P.LOADING, P.DRAINING, P.STOPPING}) | PROCESS_ENDED,
    P.LOADING: frozenset({P.READY, P.DRAINING}) | PROCESS_ENDED,
    P.READY: frozenset({P.DRAINING, P.STOPPING}) | PROCESS_ENDED,
    P.DRAINING: PROCESS_ENDED,
    P.STOPPING: PROCESS_ENDED,
    P.VERIFY_FREE: frozenset({P.DOWN, P.HELD, P.LEAK_SUSPECTED}),
    P.BACKOFF: frozenset({P.DOWN, P.STARTING, P.EMPTY, P.HELD, P.QUARANTINED}),
    P.QUARANTINED: frozenset({P.DOWN, P.STARTING, P.EMPTY, P.HELD}),
    P.HELD: frozenset({P.DOWN, P.STARTING, P.EMPTY}),
    P.LEAK_SUSPECTED: frozenset({P.DOWN, P.STARTING, P.EMPTY, P.HELD}),
}


def is_fresh(heartbeat_ns: int, now_ns: int) -> bool:
    """Was that heartbeat within HEARTBEAT_STALE_NS? One that far in the future is left from before a reboot: no."""
    return abs(now_ns - heartbeat_ns) < HEARTBEAT_STALE_NS


class IllegalTransition(Exception):
    """A transition that `LEGAL` does not list: a bug, not bad luck."""


def advance(old: Phase, new: Phase) -> Phase:
    """Return `new` if `old -> new` is legal (or no change).

    Raises:
        IllegalTransition: nothing was changed.
    """
    if new is old or new in LEGAL.get(old, frozenset()):
        return new
    raise IllegalTransition(f"{old.name} -> {new.name} is not a legal transition")


def effective_phase(control_phase: int, worker_phase: int, *, same_incarnation: bool) -> Phase:
    """Join control's word and the worker's into what the row *is*.

    Control's word wins unless it is ALIVE; then the worker's word counts, if it belongs to the incarnation
    that control welcomed. Until the welcomed worker has written its first word the row reads as STARTING.
    """
    phase = Phase(control_phase)
    if phase is not Phase.ALIVE:
        return phase
    if not same_incarnation or worker_phase not in WORKER_PHASES:
        return Phase.STARTING
    return Phase(worker_phase)
