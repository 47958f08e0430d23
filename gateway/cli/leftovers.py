"""What a stack leaves in its run directory, and when it may be removed: never while a process of the home lives.

Sockets, pidfile, table and the rendered configuration are removed by `warden down`, and by `warden up` before it
starts anything (a killed stack leaves them): a new stack begins with a new table, and with no row of a model that is
configured no more. Lock files stay, since only the lock counts and a file that is removed could be locked twice.
"""

from pathlib import Path

from control.home import Home

SOCKETS = ("*.ipc", "supervisor.sock*")
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 16 * 1024


def remove_leftovers(home: Home) -> list[str]:
    """Remove what a stack that no longer runs has left; returns the names of what was there."""
    removed = []
    for path in files_of_a_run(home):
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        removed.append(path.name)
    return removed


def files_of_a_run(home: Home) -> list[Path]:
    """What only a running stack needs; the files that are no sockets may not be there."""
    sockets = [path for pattern in SOCKETS for path in sorted(home.socket_dir.glob(pattern))]
    return [*sockets, home.supervisor_pidfile, home.supervisor_conf, home.table, home.http_secret]


def remove_socket_dir(home: Home) -> None:
    """Remove the short directory for sockets if the home has one of its own and nothing is in it."""
    if home.socket_dir == home.run:
        return
    try:
        home.socket_dir.rmdir()
    except OSError:
        pass  # not there, or something of somebody else's lies in it


def log_tail(home: Home, program: str) -> str:
    """The last lines of a program's log, "" if it wrote none. `program` as supervisord names it (`http:http-0`)."""
    path = home.logs / f"{program.rpartition(':')[2]}.log"
    try:
        with path.open("rb") as log:
            log.seek(max(0, _size(path) - LOG_TAIL_BYTES))
            lines = log.read(LOG_TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _size(path: Path) -> int:
    return path.stat().st_size
