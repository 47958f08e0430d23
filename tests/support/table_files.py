"""What the tests of the table share: a record written in every word, and a count of open files."""

import os

from control.table import Table

BOOT_ID = 2**64 - 3


def fill(table: Table, kind: type, row: int | None = None, first: int = 2**40) -> tuple:
    """Write different values into every word of a record, the first of them `first`. Returns the record."""
    values = kind._make(range(first, first + len(kind._fields)))
    writer = table.writer(kind, row)
    writer.set(**values._asdict())
    writer.flush()
    return values


def open_descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/dev/fd"))
