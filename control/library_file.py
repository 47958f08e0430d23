"""Writes `library.json`: whole or not at all, 0600 (`private_file`). Only the gateway does so, under its lock.

What `read_library` would refuse is not written.
"""

from pathlib import Path

from control.library import FILE_MAX_BYTES, Library, encode_library, what_is_wrong
from control.private_file import write_private


class LibraryNotWritten(Exception):
    """One line with the path and the reason; the old file stands."""


def write_library(path: Path, library: Library) -> None:
    """Raises: LibraryNotWritten, also for a library that nobody could read afterwards."""
    data = encode_library(library)
    if why := what_is_wrong(library) or (len(data) > FILE_MAX_BYTES and f"it would have {len(data)} bytes"):
        raise LibraryNotWritten(f"{path}: not written, for it could not be read again: {why}; delete a model or a name")
    try:
        write_private(path, data)
    except OSError as error:
        raise LibraryNotWritten(f"{path}: cannot be written ({error.strerror}); mend that and ask again") from None
