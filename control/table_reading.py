"""How the table is read: whole records out of copies of the file, and nothing that has not changed is decoded again.

Theory
------
1. A record (or the whole file) is copied with one `pread`, and its sequence and CRC are checked. One caught in
   mid-write is looked at again, at most READ_RETRIES times; then it is None: unknown, which means "do not terminate".
2. What bytes mean depends on nothing but the bytes. So those that are the same as at the last look are not decoded: the
   values of the last look are given again. They are compared whole; no sequence number is trusted alone, since the row
   of a model that was deleted begins anew. A record that was not whole is never kept.
3. Reading takes no lock and leaves no trace: it costs a writer nothing.

A snapshot of 64 rows costs 20 us if nothing changed, and 3 us more for each row that did (350 us when every record was
decoded, on the machine of the README's figures).

For one thread. Kept are the bytes and the values of each record once: at most about the size of the file.
"""

import os
import time
from typing import Any

from control.table_layout import BLOCK_BYTES, FILE_BYTES, LAYOUTS, ROW_BYTES, ROWS, ROWS_AT, RecordLayout, record_text
from control.table_records import (
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

READ_RETRIES = 8
WRITER_WAITS, WRITER_WAIT_S = 5, 0.001  # for a writer that lost its processor in mid-write; snapshots are for people
UNWRITTEN = bytes(WORD_BYTES)
UNNAMED = bytes(BLOCK_BYTES)
OF_ROW = tuple((layout, layout.first_byte - ROWS_AT, layout.first_byte - ROWS_AT + layout.bytes)  # from, to in a row
               for layout in map(LAYOUTS.__getitem__, (RowName, RowControl, RowReason, RowGateway, RowWorker)))
OF_ALL = tuple(LAYOUTS[kind] for kind in (ControlWords, GatewayWords, ControlWarning))
ROW_PLACES = tuple((index, ROWS_AT + index * ROW_BYTES) for index in range(ROWS))
NAME_AT = LAYOUTS[RowName].first_byte - ROWS_AT  # in a row


class Reading:
    """Of one open table file. `fd` belongs to the caller, who closes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._records: dict[int, tuple[bytes, Any]] = {}  # by first byte: its bytes, its words
        self._rows: dict[int, tuple[bytes, Row]] = {}  # by index: those of which no record was in mid-write
        self._torn = 0  # how often a snapshot caught a record in mid-write

    def record(self, layout: RecordLayout, at: int) -> Any:
        """The record that begins at byte `at`, whole, or None if it was never written or cannot be read now."""
        for _ in range(READ_RETRIES):
            data = os.pread(self._fd, layout.bytes, at)
            known = self._records.get(at)
            if known is not None and known[0] == data:
                return known[1]
            if len(data) < layout.bytes or data.startswith(UNWRITTEN):
                return None
            if (record := layout.decode(data)) is not None:
                self._records[at] = data, record
                return record
        return None

    def snapshot(self, boot_id: int) -> Snapshot:
        """One copy of the file; for each record that it caught in mid-write a few more looks, some milliseconds in all:
        what would else be missing is shown as something that it is not.
        """
        data = os.pread(self._fd, FILE_BYTES, 0).ljust(FILE_BYTES, b"\0")
        known_rows, rows = self._rows, []
        for index, at in ROW_PLACES:
            part = data[at:at + ROW_BYTES]
            known = known_rows.get(index)
            if known is not None and known[0] == part:
                rows.append(known[1])
            elif part[NAME_AT:NAME_AT + BLOCK_BYTES] != UNNAMED:
                rows.append(self._row(index, at, part))
        control, gateway, warning = (self._record_in(data[layout.first_byte:layout.first_byte + layout.bytes], layout,
                                                     layout.first_byte) for layout in OF_ALL)
        return Snapshot(boot_id, control, gateway, tuple(rows), record_text(warning))

    def _row(self, index: int, at: int, part: bytes) -> Row:
        """Of its bytes, `part`, that stand at byte `at` of the file."""
        found, torn = [], self._torn
        for layout, begin, end in OF_ROW:
            piece, known = part[begin:end], self._records.get(at + begin)
            found.append(known[1] if known is not None and known[0] == piece
                         else self._record_in(piece, layout, at + begin))
        name, control, reason, gateway, worker = found
        row = Row(index, record_text(name), control, gateway, worker, record_text(reason))
        if self._torn == torn:
            self._rows[index] = part, row
        return row

    def _record_in(self, piece: bytes, layout: RecordLayout, at: int) -> Any:
        """The record that `piece` is a copy of; from the file itself if the copy caught it in mid-write."""
        if (record := layout.decode(piece)) is not None:
            self._records[at] = piece, record
            return record
        if piece.startswith(UNWRITTEN):
            return None
        self._torn += 1
        for _ in range(WRITER_WAITS):
            if (record := self.record(layout, at)) is not None:
                return record
            time.sleep(WRITER_WAIT_S)
        return None
