"""What the model's world is made of: one row of the table, three processes, and six channels between them.

One model's row is modelled, with worker processes one after the other. The numbers that grow are what bounds the
search: control and gateway epochs (each crash makes a new one), incarnations, fences. A state is an immutable value;
what a dead process knew is set back to the value of a newborn one, so that equal situations are equal states.

Channels keep the order of what one process sent, and promise nothing else: a message may take arbitrarily long, and one
of a process that died may arrive later than those of its successor, or never. Pure.
"""

from collections.abc import Iterator
from typing import NamedTuple

# Phases of the row, control's word. UNKNOWN: control died in the middle of writing it, so nobody can read it.
DOWN, STARTING, ALIVE, STOPPING, UNKNOWN = "DOWN", "STARTING", "ALIVE", "STOPPING", "UNKNOWN"
# Phases of a worker process; NONE, LEFT (it obeyed a Quit) and DEAD (it crashed) are those without a process.
NONE, BORN, EMPTY, LOADING, READY, QUITTING, LEFT, DEAD = (
    "none", "born", "empty", "loading", "ready", "quitting", "left", "dead")
LIVING = frozenset({BORN, EMPTY, LOADING, READY, QUITTING})
# How far control is with an eviction. CLEARED exists only where the gate is opened by a message (a broken variant).
IDLE, CHOSEN, ASKED, TOLD, CLEARED = "idle", "chosen", "asked", "told", "cleared"


class Table(NamedTuple):
    """The words that matter, in shared memory: they outlive every process.

    `share`: memory is set aside for a model of this incarnation. `answered`: a gateway said Fenced to the fence that
    stands (row.gateway.fence_seen in the product).
    """

    control_epoch: int = 1
    gateway_epoch: int = 1
    phase: str = DOWN
    incarnation: int = 0
    fence_id: int = 0
    fence_cleared: int = 0
    share: bool = False
    answered: bool = False

    @property
    def fenced(self) -> bool:
        return self.fence_id != self.fence_cleared


class Control(NamedTuple):
    """`heard`: the row's worker has answered this control process's Welcome, so it obeys no older one."""

    up: bool = True
    stage: str = IDLE
    heard: bool = False


class Gateway(NamedTuple):
    """`hello`: the incarnation that is READY and greeted this gateway (0: none). `gate` is what it worked out last.

    `held`: jobs sent to that worker whose end it has not heard. `fence`: the fence it was last asked about; used only
    by a broken variant. `late`: history for an invariant, it sent a job to a worker that had agreed to leave.
    """

    up: bool = True
    hello: int = 0
    gate: bool = False
    held: int = 0
    fence: int = 0
    late: bool = False


class Worker(NamedTuple):
    """The newest process. `obeys`: the newest control epoch that welcomed it; `refused`: the last fence it refused.

    `gateway`: the gateway epoch it knows; `hand`: jobs it holds. History for invariants: `loads` of this incarnation,
    `cut`: it left with work, `twin`: it was started while another lived, `wild`: nobody started it.
    """

    phase: str = NONE
    incarnation: int = 0
    obeys: int = 0
    refused: int = 0
    gateway: int = 0
    hand: int = 0
    loads: int = 0
    cut: bool = False
    twin: bool = False
    wild: bool = False

    @property
    def lives(self) -> bool:
        return self.phase in LIVING


class Message(NamedTuple):
    """`sender` is the sender's epoch or incarnation. The meaning of the rest depends on the kind:

    Welcome, Load, Job            -
    Quit, Busy, Quitting          number: the fence
    Fence, Fenced, GateBusy       number: the fence, about: the incarnation
    Report                        number: the control epoch that the worker obeys, about: its phase
    Hello, Ended                  number: the gateway epoch
    """

    kind: str
    sender: int
    number: int = 0
    about: int | str = 0


Channel = tuple[Message, ...]  # ordered by sender, and per sender by time


class World(NamedTuple):
    """Channels are named by who reads, then who writes. `waiting`: jobs that callers want done and nobody has begun.

    `breaks`: how many more connections between two living processes may break.
    """

    waiting: int
    breaks: int = 0
    table: Table = Table()
    control: Control = Control()
    gateway: Gateway = Gateway()
    worker: Worker = Worker()
    worker_control: Channel = ()
    control_worker: Channel = ()
    gateway_control: Channel = ()
    control_gateway: Channel = ()
    worker_gateway: Channel = ()
    gateway_worker: Channel = ()


class Bounds(NamedTuple):
    """How much of everything there may be in one search."""

    evictions: int = 2
    jobs: int = 1
    control_crashes: int = 0
    gateway_crashes: int = 0
    worker_crashes: int = 0
    starts: int = 2
    breaks: int = 0
    torn_rows: bool = False


def arriving(channel: Channel) -> Iterator[tuple[Message, Channel]]:
    """What can be read next, with what then remains: the oldest message of each sender."""
    sender = -1
    for at, message in enumerate(channel):
        if message.sender != sender:
            sender = message.sender
            yield message, channel[:at] + channel[at + 1:]


def under_way(channel: Channel, kind: str, sender: int) -> bool:
    return any(message.kind == kind and message.sender == sender for message in channel)


def is_repeatable(orders: Channel, kind: str, sender: int, answers: Channel, answers_max: int) -> bool:
    """Bounds what is said again each second: not while the last one, or more than `answers_max` answers, are unread."""
    return len(answers) <= answers_max and not under_way(orders, kind, sender)
