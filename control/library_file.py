"""Writes `library.json`: whole or not at all, 0600, under another name first. Only the gateway does so, under its lock.

What `read_library` would refuse is not written. A reader sees the old library or the new one; a process killed in
between leaves the old one and a stray file that the next write removes.
"""

import os
from pathlib import Path

from control.library import FILE_MAX_BYTES, Library, encode_library, what_is_wrong


class LibraryNotWritten(Exception):
    """One line with the path and the reason; the old file stands."""


def write_library(path: Path, library: Library) -> None:
    """Raises: LibraryNotWritten, also for a library that nobody could read afterwards."""
    data = encode_library(library)
    if why := what_is_wrong(library) or (len(data) > FILE_MAX_BYTES and f"it would have {len(data)} bytes"):
        raise LibraryNotWritten(f"{path}: not written, for it could not be read again: {why}; delete a model or a name")
    scratch = path.with_name(f".{path.name}.new")
    try:
        scratch.unlink(missing_ok=True)
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(scratch, path)
    except OSError as error:
        raise LibraryNotWritten(f"{path}: cannot be written ({error.strerror}); mend that and ask again") from None
