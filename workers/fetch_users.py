"""Which homes of mlx-warden use a snapshot that one of them fetched: `.warden-users` in its repository's cache folder.

    REVISION HOME         one line for each

A line is written before the first byte comes, so a download that was cut short is still ours when it goes on. A
snapshot that was there before without a line is another program's: it gets none, and nobody here deletes it. A home
that is gone counts for nothing. Not known here: homes that were moved, models that another home's warden.toml names.

Both functions are called under the lock of the repository (`fetch.USERS_LOCK`). Raise: OSError.
"""

import os
from pathlib import Path

FILE = ".warden-users"


def claim(folder: Path, revision: str, home: str) -> bool:
    """`home` uses this snapshot, or is about to fetch it. False: another program fetched it."""
    users = _read(folder)
    is_known = any(each == revision for each, _ in users)
    if not is_known and (folder / "snapshots" / revision).exists():
        return False
    if (revision, home) not in users:
        _write(folder, [*users, (revision, home)])
    return True


def release(folder: Path, revision: str, home: str) -> bool:
    """`home` uses it no more. True: another one does."""
    users = [user for user in _read(folder) if user != (revision, home)]
    _write(folder, users)
    return any(each == revision and Path(other).is_dir() for each, other in users)


def _read(folder: Path) -> list[tuple[str, str]]:
    try:
        text = (folder / FILE).read_text(errors="surrogateescape")
    except FileNotFoundError:
        return []
    parts = (line.partition(" ") for line in text.splitlines())
    return [(revision, home) for revision, _, home in parts if home]


def _write(folder: Path, users: list[tuple[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f"{FILE}.new"
    scratch.write_text("".join(f"{revision} {home}\n" for revision, home in users), errors="surrogateescape")
    os.rename(scratch, folder / FILE)
