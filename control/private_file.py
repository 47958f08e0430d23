"""Writes a file that only its owner may read, 0600: whole or not at all, under another name first.

A reader sees the old file or the new one. Whoever is killed in between leaves the old one, and a stray file that the
next write by the same writer removes. Two writers of one file have names of their own (`by`), or a lock.
"""

import os
from pathlib import Path


def write_private(path: Path, data: bytes, by: str = "new") -> None:
    """Raises: OSError; the old file stands, and nothing else is left."""
    scratch = path.with_name(f".{path.name}.{by}")
    scratch.unlink(missing_ok=True)
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(scratch, path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
