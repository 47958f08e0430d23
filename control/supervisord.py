"""supervisord, as control and the command line use it. Import everything about it from here.

supervisord's list of processes is the truth about processes; what serves is decided by hellos and heartbeats. So a
supervisord that is slow or gone costs nothing but the orders given to it:

* every call ends within `RPC_TIMEOUT_S` of silence, with a value or a typed error (`control/supervisor_rpc.py`);
* `SupervisordThread` takes orders and hands back facts without ever making its owner wait.

The file that supervisord reads is made in `control/supervisor_conf.py`.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from control.home import Home
from control.supervisor_conf import RenderRefused, child_environment, read_stop_wait_s, render, template_path
from control.supervisor_rpc import (
    RPC_TIMEOUT_S,
    Fault,
    ProcessFact,
    ProcessState,
    Supervisord,
    SupervisordFault,
    SupervisordGone,
)

__all__ = [
    "RPC_TIMEOUT_S",
    "Facts",
    "Fault",
    "OrderDone",
    "ProcessFact",
    "ProcessState",
    "RenderRefused",
    "Supervisord",
    "SupervisordFault",
    "SupervisordGone",
    "SupervisordThread",
    "child_environment",
    "read_stop_wait_s",
    "render",
    "template_path",
]

FACTS_EVERY_S = 1.0
ORDERS_MAX = 256
BY_SIGNAL = -1  # supervisord's exit status of a process that a signal ended

Verb = Literal["start", "stop", "signal", "add", "remove"]


class Facts(NamedTuple):
    """The processes as supervisord listed them at `read_at_ns` (monotonic, taken before it was asked).

    `exit_signals` names the signals of ends that are new since the last list.
    """

    processes: dict[str, ProcessFact]
    read_at_ns: int
    exit_signals: dict[str, str] = {}


class OrderDone(NamedTuple):
    """An order was carried out (`error` None), refused (SupervisordFault), or its fate is unknown (SupervisordGone)."""

    verb: Verb
    name: str
    error: SupervisordFault | SupervisordGone | None


class SupervisordThread:
    """One thread that talks to supervisord for an event loop. Starts with its construction; ends with `close`.

    `notify()` is called from the thread whenever `take` has something; it must not block. Orders are carried out in
    the order given, one list of processes follows each batch of orders and comes every `FACTS_EVERY_S` besides. When
    supervisord cannot be asked there are no new facts, and `trouble` says why.
    """

    def __init__(self, home: Home, notify: Callable[[], None], supervisord: Supervisord | None = None) -> None:
        self.trouble = ""
        self._supervisord = supervisord or Supervisord(home)
        self._notify = notify
        self._orders: queue.Queue[tuple[Verb, str, tuple[str, ...]] | None] = queue.Queue(ORDERS_MAX)
        self._taken_lock = threading.Lock()
        self._values: deque[Facts | OrderDone] = deque()
        self._killed: set[tuple[str, int]] = set()  # ends by a signal that were told
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisord", daemon=True)
        self._thread.start()

    def order(self, verb: Verb, name: str, *args: str) -> None:
        """Have something done; its OrderDone follows. More than `ORDERS_MAX` undone orders fail at once."""
        try:
            self._orders.put_nowait((verb, name, args))
        except queue.Full:
            self._hand_back(OrderDone(verb, name, SupervisordGone(f"{ORDERS_MAX} orders wait: {self.trouble}")))

    def take(self) -> list[Facts | OrderDone]:
        """Everything that has arrived since the last call, oldest first; of several Facts only the newest."""
        with self._taken_lock:
            values = list(self._values)
            self._values.clear()
        return values

    def close(self) -> None:
        """Stop. Orders not yet begun are dropped; a call under way may hold the thread `RPC_TIMEOUT_S` longer."""
        self._closing.set()
        try:
            self._orders.put_nowait(None)
        except queue.Full:
            pass  # the thread has orders to wake up for
        self._thread.join(RPC_TIMEOUT_S)

    def _run(self) -> None:
        next_facts_s = time.monotonic()
        while not self._closing.is_set():
            try:
                order = self._orders.get(timeout=max(0.0, next_facts_s - time.monotonic()))
            except queue.Empty:
                self._read_facts()
                next_facts_s = time.monotonic() + FACTS_EVERY_S
                continue
            if order is not None and not self._closing.is_set():
                self._carry_out(*order)
                next_facts_s = time.monotonic()

    def _carry_out(self, verb: Verb, name: str, args: tuple[str, ...]) -> None:
        error = None
        try:
            getattr(self._supervisord, verb)(name, *args)
        except (SupervisordFault, SupervisordGone) as refused:
            error = refused
        self._hand_back(OrderDone(verb, name, error))

    def _read_facts(self) -> None:
        read_at_ns = time.monotonic_ns()
        try:
            processes = self._supervisord.processes()
            signals = self._read_signals(processes)
        except Exception as error:  # broad: whatever a strange answer does, this thread must ask again in a second
            self.trouble = str(error)
            return
        self.trouble = ""
        self._hand_back(Facts(processes, read_at_ns, signals))

    def _read_signals(self, processes: dict[str, ProcessFact]) -> dict[str, str]:
        """Read the log only if somebody was ended by a signal since the last look."""
        ended = [fact for fact in processes.values() if fact.exit_status == BY_SIGNAL and not fact.pid]
        killed = {(fact.name, fact.stop_s) for fact in ended}
        new = {name for name, _ in killed - self._killed}
        signals = self._supervisord.exit_signals() if new else {}
        self._killed = killed
        return {name: signal for name, signal in signals.items() if name in new}

    def _hand_back(self, value: Facts | OrderDone) -> None:
        with self._taken_lock:
            if isinstance(value, Facts):
                self._values = deque(kept for kept in self._values if not isinstance(kept, Facts))
            self._values.append(value)
        self._notify()
