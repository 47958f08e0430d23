"""What the tests of the table share: a record written in every word or with a text, and a count of open files."""

import gc
import os

from control.table import Table, text_words

BOOT_ID = 2**64 - 3


def fill(table: Table, kind: type, row: int | None = None, first: int = 2**40) -> tuple:
    """Write different values into every word of a record, the first of them `first`. Returns the record."""
    values = kind._make(range(first, first + len(kind._fields)))
    writer = table.writer(kind, row)
    writer.set(**values._asdict())
    writer.flush()
    return values


def say(table: Table, kind: type, text: str, row: int | None = None) -> None:
    """Write a text into a text record."""
    writer = table.writer(kind, row)
    writer.set(**text_words(kind, text)._asdict())
    writer.flush()


def open_descriptors() -> int:
    """How many files this process has open; not those that nobody holds any more, left by other tests."""
    gc.collect()
    return len(os.listdir("/dev/fd"))
