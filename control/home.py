"""The home directory of one stack: where everything lies, that nobody else can reach into it, and who holds which lock.

Guarantees
----------
1. Every process that is given the same WARDEN_HOME computes the same paths; nothing here depends on the directory a
   process was started in or on TMPDIR.
2. After `prepare_home`, the directories that hold sockets, locks and the table are ours, 0700, no symlinks, and no
   other user can put something else in their place. What could be such a trap is refused, never repaired; only bits
   that let others *look* are taken away without a word.
3. A lock is `flock` on a file that stays for ever. The kernel frees it when its process is gone, however it went; the
   pid inside is for people and counts only while the lock is held. Nobody may delete lock files: two processes could
   then hold "the same" lock.

A path of a unix socket has a hard limit (104 bytes on macOS); where `run/` would exceed it, sockets lie in a short
directory of this user and this home under /tmp, with the same guarantees.
"""

import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SOCKET_PATH_MAX_BYTES = 100
ENDPOINTS = ("clients", "workers", "control")
SUPERVISOR_SOCKET = "supervisor.sock"
LONGEST_SOCKET = f"{SUPERVISOR_SOCKET}.{1 << 22}"  # supervisord binds <name>.<its pid> first and links it to <name>
LOCK_TRIES = 20
LOCK_RETRY_S = 0.005
PID_UNKNOWN = 0
HTTP_SECRET = "http.secret"


class HomeRefused(Exception):
    """The home cannot be used safely; one line with path, what is wrong, and the remedy."""

    def __init__(self, path: Path | str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = Path(path)


class LockHeld(Exception):
    """Another process holds the lock. `pid` is PID_UNKNOWN if it has not written its pid yet."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"{path}: held by {f'process {pid}' if pid else 'a process that is just starting'}; "
                         f"stop it, or choose another WARDEN_HOME for a second stack")
        self.path = path
        self.pid = pid


@dataclass(frozen=True)
class Home:
    """The paths of one stack, all below `root` (absolute) but for sockets whose path would be too long."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def profiles(self) -> Path:
        return self.root / "profiles"

    @property
    def cache(self) -> Path:
        """KV caches of models, if prefix_cache_disk_gb is set; whoever writes the first one makes it."""
        return self.root / "cache"

    @property
    def http_secret(self) -> Path:
        return self.run / HTTP_SECRET

    @property
    def table(self) -> Path:
        return self.run / "table"

    @property
    def supervisor_conf(self) -> Path:
        return self.run / "supervisor.conf"

    @property
    def supervisor_pidfile(self) -> Path:
        return self.run / "supervisor.pid"

    @cached_property
    def socket_dir(self) -> Path:
        """`run`, or the short directory of this user and home if a socket's path would exceed SOCKET_PATH_MAX_BYTES."""
        if len(os.fsencode(self.run / LONGEST_SOCKET)) <= SOCKET_PATH_MAX_BYTES:
            return self.run
        digest = hashlib.sha256(os.fsencode(os.path.realpath(self.root))).hexdigest()
        return Path(f"/tmp/warden-{os.geteuid()}") / digest[:16]

    @property
    def supervisor_socket(self) -> Path:
        return self.socket_dir / SUPERVISOR_SOCKET

    def endpoint(self, name: str) -> str:
        """The ZeroMQ endpoint "clients", "workers" or "control". Raises ValueError for any other name."""
        if name not in ENDPOINTS:
            raise ValueError(f"endpoint {name!r}: one of {', '.join(ENDPOINTS)}")
        return f"ipc://{self.socket_dir / name}.ipc"

    def lock_path(self, name: str) -> Path:
        return self.run / f"{name}.lock"


def home_from_env(env: Mapping[str, str]) -> Home:
    """WARDEN_HOME, else ~/.warden; `~` is env's HOME. A relative path counts from the current directory."""
    chosen = env.get("WARDEN_HOME") or "~/.warden"
    if chosen == "~" or chosen.startswith("~/"):
        chosen = os.path.join(env.get("HOME") or os.path.expanduser("~"), chosen[2:])
    return Home(Path(os.path.abspath(os.path.expanduser(chosen))))


def prepare_home(home: Home) -> None:
    """Make what is missing, and check that the rest is safe to use. Twice is harmless.

    `logs` and `profiles` may be symlinks of yours to a bigger disk; `root` and `run` may not.

    Raises HomeRefused, with one line for the user, if a directory is a symlink or no directory, belongs to another
    user, lets others write, or lies below one in which everybody may rename things; or cannot be made.
    """
    _make(home.root, parents=True)
    check_own(home.root)
    check_above(home.root)
    for path in (home.logs, home.profiles):
        _make(path)
    _make_private(home.run)
    if home.socket_dir != home.run:
        check_above(home.socket_dir.parent)
        _make_private(home.socket_dir.parent)
        _make_private(home.socket_dir)


def write_http_secret(home: Home) -> None:
    """For each start anew: by it the gateway knows our own http, which alone speaks for others."""
    path = home.http_secret
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(fd, "w") as file:
        file.write(secrets.token_hex(32))


def read_http_secret(home: Home) -> str:
    """"" if there is none: then nobody speaks for others."""
    try:
        return home.http_secret.read_text().strip()
    except OSError:
        return ""


def _make(path: Path, parents: bool = False) -> None:
    try:
        path.mkdir(mode=0o700, parents=parents, exist_ok=True)
    except FileExistsError:
        raise HomeRefused(path, "is not a directory", "move it away, or choose another WARDEN_HOME") from None
    except OSError as error:
        raise HomeRefused(path, f"cannot be made: {error.strerror}", "choose another WARDEN_HOME") from None


def _make_private(path: Path) -> None:
    _make(path)
    if check_own(path) != 0o700:
        path.chmod(0o700)


def check_own(path: Path) -> int:
    """The permission bits of a directory that is ours and that nobody else may write to. Raises HomeRefused."""
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise HomeRefused(path, "is a symbolic link", "remove it, or set WARDEN_HOME to the directory itself")
    if facts.st_uid != os.geteuid():
        raise HomeRefused(path, f"belongs to user {facts.st_uid}, not to you (user {os.geteuid()})",
                          "run as that user, or choose a home of your own with WARDEN_HOME")
    mode = stat.S_IMODE(facts.st_mode)
    if mode & 0o022:
        raise HomeRefused(path, f"lets other users write (mode {mode:04o})", f"run `chmod go-w {path}`")
    return mode


def check_above(path: Path) -> None:
    """No directory above may let everybody rename `path` away and put his own there. Raises HomeRefused."""
    for parent in Path(os.path.realpath(path)).parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise HomeRefused(parent, f"lets everybody write (mode {stat.S_IMODE(mode):04o}) and {path} is below it",
                              f"run `chmod o-w {parent}`, or choose another WARDEN_HOME")


class Lock:
    """A lock this process holds for as long as this object lives. Closed in programs it executes, shared by forks."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def release(self) -> None:
        """Let go; the file stays. Twice is harmless."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    __del__ = release


def acquire_lock(path: Path) -> Lock:
    """Take the lock without waiting for its holder, and write our pid (decimal, one line) into the file.

    Raises LockHeld; OSError if the file cannot be opened (a symlink is refused).

    Somebody who asks `lock_holder` just now has the file locked *shared* for a moment. That is no holder: where a
    shared lock can be had, the exclusive one is tried again, at most LOCK_TRIES times.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES):
        if _flock(fd, fcntl.LOCK_EX):
            lock = Lock(path, fd)
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
            return lock
        if not _flock(fd, fcntl.LOCK_SH):
            break
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(LOCK_RETRY_S)
    os.close(fd)
    raise LockHeld(path, lock_holder(path) or PID_UNKNOWN)


def lock_holder(path: Path) -> int | None:
    """Pid of the process that holds the lock now, or None if nobody does. What a dead process left does not count.

    A holder that has taken the lock and not written its pid within LOCK_TRIES looks is PID_UNKNOWN.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        for _ in range(LOCK_TRIES):
            if _flock(fd, fcntl.LOCK_SH):
                return None
            text = os.pread(fd, 32, 0)
            if text.strip().isdigit() and _exists(int(text)):
                return int(text)
            time.sleep(LOCK_RETRY_S)
        return PID_UNKNOWN
    finally:
        os.close(fd)


def _flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _exists(pid: int) -> bool:
    """A pid that is no process any more was left by an earlier holder: the present one has yet to write his."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's, so it exists
    return True
