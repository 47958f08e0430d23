"""The table: words in shared memory that every process can read and each word of which exactly one process writes.

Theory
------
1. control builds the file under another name and renames it into place, so nobody ever opens half a table, and nobody
   ever truncates one. Whoever holds an old file goes on writing where no one looks; `replaced()` and the boot id in
   every hello tell it to open the new one.
2. A writer maps the file and stores word by word (`control/table_writer.py`).
3. A reader copies a record (or the whole file) and checks it (`control/table_reading.py`); one that it cannot read is
   None: unknown. Unknown means "do not terminate".

Reading another process's words is advice (EXAMPLES 4); nothing here authorises anything.

Cut short by another program: a store into a mapping of a file that has become too short ends a process by SIGBUS, and
Python cannot catch that. Readers never map, so they cannot get it: `pread` comes back short, and the records read as
None. (Mappings and `pread` share one page cache on Linux, tried, and by its documentation on macOS, not tried.)
Writers ask for the file's size before each flush (one `lseek`, 0.2 us) and raise TableRefused. What is left is a
truncation within the microseconds of one flush, by somebody with our user id, in a directory that only we can enter.
The file is written out in full when it is made, so that no store has to find room on a full disk.
"""

import errno
import mmap
import os
import stat
import weakref
from pathlib import Path
from typing import TypeVar

from control.table_layout import (
    BLOCK_BYTES,
    FILE_BYTES,
    LAYOUTS,
    ROWS,
    VersionDiffers,
    decode_header,
    encode_header,
    record_text,
    slug_words,
    text_words,
)
from control.table_records import (
    FOREVER,
    WORD_BYTES,
    ControlWarning,
    ControlWords,
    GatewayWords,
    Row,
    RowControl,
    RowGateway,
    RowName,
    RowReason,
    RowWorker,
    Snapshot,
)
from control.table_reading import Reading
from control.table_writer import RecordWriter

__all__ = ["FOREVER", "ROWS", "ControlWarning", "ControlWords", "GatewayWords", "RecordWriter", "Row", "RowControl",
           "RowGateway", "RowName", "RowReason", "RowWorker", "Snapshot", "Table", "TableRefused", "record_text",
           "text_words"]

START = "start the stack with `warden up`"
RENEW = "run `warden ctl restart control`: control puts a new one in its place"
SAME_VERSION = "run `warden down`, then `warden up`, so that every process is of the same version"
NAME = LAYOUTS[RowName]
K = TypeVar("K")


class TableRefused(Exception):
    """The file cannot be used as the table; one line with path, what is wrong, and the remedy."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path


class Table:
    """One open table file. Readers need no more than this; `writer` maps the file on first use."""

    def __init__(self, path: Path, fd: int, boot_id: int) -> None:
        self.path = path
        self.boot_id = boot_id
        self._fd = fd
        self._reading = Reading(fd)
        self._close_fd = weakref.finalize(self, os.close, fd)
        self._map: mmap.mmap | None = None
        self._words: memoryview | None = None

    @classmethod
    def create(cls, path: Path, boot_id: int) -> "Table":
        """Put a new, empty table at `path`, whatever stood there. For control only, under its lock.

        Raises ValueError for a bad boot id, TableRefused if the file system does not let us.
        """
        content = encode_header(boot_id).ljust(FILE_BYTES, b"\0")
        scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            scratch.unlink(missing_ok=True)  # of a control that died here and had our pid
            fd = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            table = cls(path, fd, boot_id)
            os.fchmod(fd, 0o600)
            with open(fd, "wb", closefd=False) as file:
                file.write(content)
            os.rename(scratch, path)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise TableRefused(path, f"cannot be made: {error.strerror}", "mend that and start control again") from None
        return table

    @classmethod
    def open(cls, path: Path) -> "Table":
        """Open the table that stands at `path`.

        Raises TableRefused if it is missing, a symlink or no plain file, of another user, open to others, or of
        another size, magic number, layout version or header checksum.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise TableRefused(path, "there is no table", START) from None
        except OSError as error:
            problem = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be opened: {error.strerror}"
            raise TableRefused(path, problem, RENEW) from None
        table = cls(path, fd, 0)
        try:
            table.boot_id = _check_file(path, fd)
        except TableRefused:
            table.close()
            raise
        return table

    def writer(self, kind: type, row: int | None = None) -> RecordWriter:
        """A writer for the record of `kind` (in `row`). The caller is its only one: one writer for each record.

        Raises ValueError for a row that does not fit the kind, TableRefused if the file was cut short.
        """
        self._check_size()
        if self._words is None:
            self._map = mmap.mmap(self._fd, FILE_BYTES)
            self._words = memoryview(self._map).cast("Q")
        layout = LAYOUTS[kind]
        at = layout.at(row)
        return RecordWriter(layout, at, os.pread(self._fd, layout.bytes, at), self._shared_words)

    def read(self, kind: type[K], row: int | None = None) -> K | None:
        """The record of `kind` (in `row`), whole, or None if it was never written or cannot be read now."""
        layout = LAYOUTS[kind]
        return self._reading.record(layout, layout.at(row))

    def snapshot(self) -> Snapshot:
        """Everything, as values: see `control/table_reading.py` for what that costs."""
        return self._reading.snapshot(self.boot_id)

    def name_row(self, index: int, slug: str) -> None:
        """control: give the row to the model `slug`. Raises ValueError for a bad slug, or one that has a row."""
        words = slug_words(slug)
        standing = self.find_row(slug)
        if standing not in (None, index):
            raise ValueError(f"slug {slug!r} has row {standing} already; it cannot have row {index} too")
        writer = self.writer(RowName, index)
        writer.set(**words._asdict())
        writer.flush()

    def unname_row(self, index: int) -> None:
        """control: the row belongs to no model any more, and is free for another."""
        self.writer(RowName, index)  # maps the file
        at, words = NAME.at(index) // WORD_BYTES, self._shared_words()
        for place in range(at, at + NAME.words):
            words[place] = 0  # the sequence first: from then on it reads as never written

    def find_row(self, slug: str) -> int | None:
        """Index of the row of the model `slug`."""
        return next((row.index for row in self.snapshot().rows if row.name == slug), None)

    def replaced(self) -> bool:
        """True if the path now names another file or none, or if this file was cut short: time to open it anew."""
        try:
            there, here = os.lstat(self.path), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino) or here.st_size != FILE_BYTES

    def close(self) -> None:
        """Let go of file and mapping; its writers and readers raise OSError from now on. Twice is harmless."""
        if self._words is not None:
            self._words.release()
            self._map.close()
        self._close_fd()
        self._fd = -1
        self._reading = Reading(-1)

    def _shared_words(self) -> memoryview:
        """The mapped words, after a look at the file's size: a store beyond its end would end the process."""
        self._check_size()
        return self._words

    def _check_size(self) -> None:
        size = os.lseek(self._fd, 0, os.SEEK_END)  # nobody else uses this descriptor's offset
        if size < FILE_BYTES:
            raise TableRefused(self.path, f"cut short by another program to {size} of {FILE_BYTES} bytes", RENEW)


def _check_file(path: Path, fd: int) -> int:
    """The boot id of an open file that is fit to be the table. Raises TableRefused."""
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        raise TableRefused(path, "is not a plain file", RENEW)
    if facts.st_uid != os.geteuid():
        raise TableRefused(path, f"belongs to user {facts.st_uid}, not to you (user {os.geteuid()})",
                           "run as that user, or choose a home of your own with WARDEN_HOME")
    if stat.S_IMODE(facts.st_mode) & ~0o600:
        raise TableRefused(path, f"is open to others (mode {stat.S_IMODE(facts.st_mode):04o}, not 0600)", RENEW)
    header = os.pread(fd, BLOCK_BYTES, 0)
    try:
        boot_id = decode_header(header) if len(header) == BLOCK_BYTES else 0
    except VersionDiffers as error:
        raise TableRefused(path, str(error), SAME_VERSION) from None
    except ValueError as error:
        raise TableRefused(path, str(error), RENEW) from None
    if facts.st_size != FILE_BYTES:
        raise TableRefused(path, f"has {facts.st_size} bytes, and the table has {FILE_BYTES}", RENEW)
    return boot_id
