"""The file of API keys of a home: `keys.json` (0600), read by the gateway, written by `warden key`.

1. It is written under another name and renamed into place, so nobody reads half of it; one writer at a time (lock).
2. The gateway looks every LOOK_EVERY_S whether it is another file than before: a new or revoked key counts within that
   time, without a restart.
3. One that cannot be read changes nothing in a running gateway, which says so in its journal; at a start it is an
   error. A missing file is no keys.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from control.home import Home, HomeRefused, acquire_lock
from control.private_file import write_private
from gateway.keys import Key, KeysRefused, decode_keys, encode_keys

LOOK_EVERY_S = 0.1
OTHERS = 0o077


def key_path(home: Home) -> Path:
    return home.root / "keys.json"


def read_keys(path: Path) -> list[Key]:
    """Raises: KeysRefused."""
    try:
        facts = path.stat()
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise KeysRefused(f"{path}: cannot be read ({problem.strerror}); mend that, or remove it") from None
    if facts.st_mode & OTHERS:
        raise KeysRefused(f"{path}: others may read it (mode {facts.st_mode & 0o777:04o}); run `chmod 600 {path}`")
    return decode_keys(data, str(path))


def change_keys(home: Home, change: Callable[[list[Key]], Sequence[Key]]) -> None:
    """Read, change, write; nobody else does so meanwhile. Raises: KeysRefused, LockHeld, and what `change` raises."""
    path = key_path(home)
    with acquire_lock(home.lock_path("keys")):
        changed = encode_keys(change(read_keys(path)))
        try:
            write_private(path, changed)
        except OSError as problem:
            raise KeysRefused(f"{path}: cannot be written ({problem.strerror}); mend that") from None


class KeyFile:
    """What a running gateway reads. `note(event, **facts)` writes a line of its journal."""

    def __init__(self, path: Path, note: Callable[..., None]) -> None:
        """Raises: KeysRefused."""
        self._path, self._note = path, note
        self._seen, self._look_at = self._stamp(), 0.0  # before it is read: who writes meanwhile is noticed
        self.keys = read_keys(path)

    def changed(self, now: float) -> bool:
        """Is there something new? Looked at every LOOK_EVERY_S."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY_S
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self.keys = read_keys(self._path)
        except KeysRefused as refused:
            self._note("keys_refused", reason=str(refused))
            return False
        self._note("keys_read", keys=len(self.keys))
        return True

    def _stamp(self) -> tuple[int, ...]:
        try:
            facts = self._path.stat()
        except OSError:
            return ()
        return facts.st_ino, facts.st_mtime_ns, facts.st_size, facts.st_mode


def refuse_open_without_keys(is_reachable: bool, host: str, home: Home) -> None:
    """An address that others can reach needs a key. Raises: HomeRefused, KeysRefused."""
    if is_reachable and not read_keys(key_path(home)):
        raise HomeRefused(key_path(home), f"there is no API key, and other machines can reach {host}",
                          "make one with `warden key create --name NAME`, or set host = \"127.0.0.1\" in [server]")
