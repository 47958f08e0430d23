"""`warden down`: end everything that runs for a home, answers first, and leave nothing behind.

1. Ask supervisord to stop all workers at once (TERM = drain), then to shut down. It goes on in the order of
   supervisor.conf and kills what overstays its `stopwaitsecs`; so the wait here ends.
2. What is left is nobody's child any more (its supervisord was killed, or never answered): TERM, and KILL after
   `ORPHAN_TERM_WAIT_S`. supervisord itself first, so that it starts nothing again.
3. Remove sockets, pidfile and the rendered configuration.

Safe to run twice, at the same time as another one, and on a home that does not run.
"""

import os
import signal
import time
from collections.abc import Callable

from control.home import Home, lock_holder
from control.supervisord import Supervisord, SupervisordFault, SupervisordGone, read_stop_wait_s
from gateway.cli.exits import CommandFailed
from gateway.cli.leftovers import remove_leftovers, remove_socket_dir
from gateway.cli.processes import UP_LOCK, described, processes_of

POLL_EVERY_S = 0.1
SHUTDOWN_MARGIN_S = 15.0
ORPHAN_TERM_WAIT_S = 30.0
ORPHAN_KILL_WAIT_S = 10.0

Say = Callable[[str], None]


def stop_stack(home: Home, say: Say) -> None:
    """Do all of the above, telling what is done.

    Raises:
        CommandFailed: something could not be ended; names it.
    """
    if not processes_of(home):
        removed = remove_everything(home)
        say(f"{home.root} does not run" + (f"; removed what was left: {', '.join(removed)}" if removed else ""))
        return
    limit_s = read_stop_wait_s(home.supervisor_conf) + SHUTDOWN_MARGIN_S
    if ask_supervisord_to_stop(home):
        wait_for_end(home, limit_s, say, supervisord=Supervisord(home))
    end_orphans(home, say)
    remove_everything(home)
    say(f"{home.root} is stopped")


def remove_everything(home: Home) -> list[str]:
    """Step 3; returns the names of what was there. Nothing is removed under a `warden up` that is at work."""
    if lock_holder(home.lock_path(UP_LOCK)) not in (None, os.getpid()):
        return []
    removed = remove_leftovers(home)
    remove_socket_dir(home)
    return removed


def ask_supervisord_to_stop(home: Home) -> bool:
    """Begin the orderly end. False: there is no supervisord that could do it."""
    supervisord = Supervisord(home)
    try:
        for fact in supervisord.processes().values():
            if fact.pid and fact.name.startswith(("worker-", "relay-")):
                _stop_one(supervisord, fact.name)
        supervisord.shutdown()
    except SupervisordGone:
        return False
    except SupervisordFault:
        pass  # it is stopping already
    return True


def _stop_one(supervisord: Supervisord, name: str) -> None:
    try:
        supervisord.stop(name)
    except SupervisordFault:
        pass  # it ended meanwhile


def wait_for_end(home: Home, limit_s: float, say: Say, supervisord: Supervisord | None = None) -> dict[int, str]:
    """Wait until no process of the home is left, telling what is waited for; returns what is left at the limit.

    A `supervisord` that is shutting down is spoken to at each look: left alone it may notice an ended child only a
    second later, once for each program.
    """
    deadline_s = time.monotonic() + limit_s
    told: set[str] = set()
    while left := processes_of(home):
        names = set(left.values())
        if time.monotonic() > deadline_s:
            break
        if told and names != told:
            say(f"waiting for {', '.join(sorted(names))}")
        told = names
        if supervisord:
            _wake(supervisord)
        time.sleep(POLL_EVERY_S)
    return left


def _wake(supervisord: Supervisord) -> None:
    try:
        supervisord.pid()
    except (SupervisordFault, SupervisordGone):
        pass  # that it is stopping is what we know


def end_orphans(home: Home, say: Say) -> None:
    """TERM, then KILL, whatever still runs for the home."""
    for number, limit_s in ((signal.SIGTERM, ORPHAN_TERM_WAIT_S), (signal.SIGKILL, ORPHAN_KILL_WAIT_S)):
        left = processes_of(home)
        if not left:
            return
        say(f"{number.name} to what supervisord does not end: {described(left)}")
        for pid in sorted(left, key=lambda pid: left[pid] != "supervisord"):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it ended meanwhile
        wait_for_end(home, limit_s, say)
    left = processes_of(home)
    if left:
        raise CommandFailed(f"still running after SIGKILL: {described(left)}; look at them with ps")
