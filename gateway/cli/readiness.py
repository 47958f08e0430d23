"""When is a started stack ready, what is missing, and when is it hopeless? Decided here from facts, without waiting.

Ready: control and gateway beat in the table, as the very processes that supervisord runs now (a table of an earlier
stack proves nothing), and HTTP answers /readyz. Hopeless: a program that supervisord gave up, that refused its
configuration, or that has failed to stay up `START_FAILURES_MAX` times; supervisord would go on trying for a minute.
"""

import http.client
from typing import NamedTuple

from control.home import Home
from control.states import is_fresh
from control.supervisord import ProcessFact, ProcessState
from control.table import Snapshot, Table, TableRefused

START_FAILURES_MAX = 3
PROBE_TIMEOUT_S = 2.0
HOPELESS = frozenset({ProcessState.FATAL, ProcessState.EXITED, ProcessState.UNKNOWN})


class Missing(NamedTuple):
    """A program that is not ready yet, and what it lacks."""

    program: str
    lacks: str


class Failures:
    """Counts failed starts: each start time at which a program was seen in BACKOFF is one."""

    def __init__(self) -> None:
        self._seen: dict[str, set[int]] = {}

    def hopeless(self, facts: dict[str, ProcessFact]) -> dict[str, str]:
        """program -> why there is no use in waiting for it. Workers are none of our business here."""
        verdicts = {}
        for name, fact in facts.items():
            if name.startswith("worker-"):
                continue
            if fact.state is ProcessState.BACKOFF:
                self._seen.setdefault(name, set()).add(fact.start_s)
            if fact.state in HOPELESS:
                verdicts[name] = f"ended with exit code {fact.exit_status}" if fact.stop_s else "could not be started"
            elif len(self._seen.get(name, ())) >= START_FAILURES_MAX:
                verdicts[name] = f"ended right after its start, {START_FAILURES_MAX} times"
        return verdicts


def choose_missing(
    facts: dict[str, ProcessFact], table: Snapshot | None, http_status: int, now_ns: int
) -> list[Missing]:
    """What is not ready; empty = the stack is. `http_status` is that of /readyz, 0 = no answer."""
    missing = []
    for name in ("control", "gateway"):
        words = getattr(table, name, None)
        fact = facts.get(name)
        if fact is None or not fact.pid:
            missing.append(Missing(name, "is not running"))
        elif words is None or words.pid != fact.pid:
            missing.append(Missing(name, "has not written to the table"))
        elif not is_fresh(words.heartbeat_ns, now_ns):
            missing.append(Missing(name, "has no fresh heartbeat"))
    if http_status != http.client.OK:
        missing.append(Missing("http", f"answers {http_status}" if http_status else "does not answer"))
    return missing


def read_table(home: Home) -> Snapshot | None:
    """A snapshot of the table, None while there is none that can be read."""
    try:
        table = Table.open(home.table)
    except TableRefused:
        return None
    try:
        return table.snapshot()
    finally:
        table.close()


def read_http_status(host: str, port: int) -> int:
    """The status of GET /readyz, 0 if there is no answer within `PROBE_TIMEOUT_S`."""
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
