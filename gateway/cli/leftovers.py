"""What a stack leaves in its run directory, and when it may be removed: never while a process of the home lives.

Sockets, pidfile and the rendered configuration are removed by `warden down`, and by `warden up` before it starts
anything (a killed stack leaves them). The table stays, since control replaces it by rename and readers may hold it
open; lock files stay, since only the lock counts and a file that is removed could be locked twice.
"""

from pathlib import Path

from control.home import Home

SOCKETS = ("*.ipc", "supervisor.sock*")
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 16 * 1024


def remove_leftovers(home: Home) -> list[str]:
    """Remove what a stack that no longer runs has left; returns the names of what was there."""
    sockets = [path for pattern in SOCKETS for path in sorted(home.socket_dir.glob(pattern))]
    files = [*sockets, home.supervisor_pidfile, home.supervisor_conf]
    removed = []
    for path in files:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        removed.append(path.name)
    if home.socket_dir != home.run and home.socket_dir.is_dir():
        _remove_if_empty(home.socket_dir)
    return removed


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


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # something of somebody else's lies in it


def _size(path: Path) -> int:
    return path.stat().st_size
