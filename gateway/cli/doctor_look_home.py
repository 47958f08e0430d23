"""What `warden doctor` sees of the home: directories, processes, locks, leftovers. Nothing is changed."""

import os
from pathlib import Path

from control.home import Home, HomeRefused, check_above, check_own, lock_holder
from control.supervisord import Supervisord, SupervisordFault, SupervisordGone
from control.table import Table, TableRefused
from gateway.cli.doctor_finding import Unseen
from gateway.cli.doctor_home import REFUSES, RUNS, SILENT, STUCK, HomeFact, StackFact
from gateway.cli.doctor_probes import look
from gateway.cli.leftovers import files_of_a_run
from gateway.cli.processes import UP_LOCK, processes_of


def look_at_home(home: Home) -> HomeFact:
    """As `prepare_home` judges it, without making what is missing."""
    above = home.root if home.root.is_dir() else _nearest(home.root) / home.root.name
    checks = [(check_own, home.root), (check_above, above), (check_own, home.run)]
    moved = home.socket_dir != home.run
    if moved:
        checks += [(check_own, home.socket_dir.parent), (check_own, home.socket_dir)]
    troubles = []
    for check, path in checks:
        try:
            if check is check_above or os.path.lexists(path):
                check(path)
        except HomeRefused as refused:
            troubles.append(str(refused))
        except OSError as error:
            troubles.append(f"{path}: {error.strerror}; choose another WARDEN_HOME")
    troubles += _unusable(home)
    return HomeFact(str(home.root), home.root.is_dir(), tuple(dict.fromkeys(troubles)), str(home.socket_dir), moved)


def _unusable(home: Home) -> list[str]:
    troubles = []
    for path in (home.root, home.run, home.logs, home.profiles):
        if os.path.lexists(path) and not path.is_dir():
            troubles.append(f"{path}: is not a directory; move it away, or choose another WARDEN_HOME")
        elif path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
            troubles.append(f"{path}: cannot be written to; run `chmod u+rwx {path}`")
    if not home.root.exists() and not os.access(_nearest(home.root), os.W_OK | os.X_OK):
        troubles.append(f"{home.root}: cannot be made in {_nearest(home.root)}; choose another WARDEN_HOME")
    return troubles


def _nearest(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.is_dir())


def look_at_stack(home: Home, limit_s: float) -> StackFact:
    """`limit_s`: for supervisord."""
    seen = look({"supervisord": lambda: _supervisord(home)}, limit_s)["supervisord"]
    state, why = (STUCK, seen.why) if isinstance(seen, Unseen) else seen
    there = home.run.is_dir()
    up_pid = (lock_holder(home.lock_path(UP_LOCK)) or 0) if there else 0
    return StackFact(str(home.root), state, why, tuple(sorted(processes_of(home).items())),
                     tuple(path.name for path in files_of_a_run(home) if os.path.lexists(path)), up_pid, _table(home))


def _supervisord(home: Home) -> tuple[str, str]:
    """Its state, and why."""
    try:
        Supervisord(home).pid()
    except SupervisordGone as gone:
        return SILENT, str(gone)
    except SupervisordFault as fault:
        return REFUSES, str(fault)
    return RUNS, ""


def _table(home: Home) -> str:
    if not os.path.lexists(home.table):
        return ""
    try:
        Table.open(home.table).close()
    except TableRefused as refused:
        return str(refused)
    return ""
