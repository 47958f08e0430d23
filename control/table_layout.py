"""What stands where in the table, declared once, and how the bytes of a record become typed words.

Theory
------
The file is made of 128-byte blocks (an Apple cache line) of 16 words; a word is 8 bytes, unsigned, in the byte order
of the machine. A *record* is one or more whole blocks with exactly one writer:

    word 0      sequence: odd while the record is being written, even when it is whole, 0 when it never was written
    words 1..   the named words of its kind, in the order of the NamedTuple, then unused words, all 0
    last word   CRC-32 of every byte before it, sequence and unused words included

The file is the header block, `ControlWords`, `ControlWarning`, `GatewayWords`, and then for each of `ROWS` rows
`RowName`, `RowControl`, `RowReason`, `RowGateway`, `RowWorker` (`control/table_records.py` says what they mean).
Whoever changes a name, an order or a size raises `LAYOUT_VERSION`.

Guarantee: `RecordLayout.decode` gives the words of one whole write, or None. A record caught in mid-write, damaged in
any byte, or never written is None, and None means *unknown*, which means "do not terminate". The CRC alone carries
that (a processor may show the writer's stores in any order); the sequence finds most torn copies without it.

Pure: bytes come in, values go out.
"""

import struct
from functools import lru_cache
from typing import Any, TypeVar
from zlib import crc32

from control.table_records import (
    SLUG_MAX_BYTES,
    WORD_BYTES,
    ControlWarning,
    ControlWords,
    GatewayWords,
    RowControl,
    RowGateway,
    RowName,
    RowReason,
    RowWorker,
)

MAGIC = 0x57415244454E5442  # "WARDENTB"; reads as another number on a machine of the other byte order
LAYOUT_VERSION = 5
ROWS = 66  # 64 models and two relays
BLOCK_BYTES = 128
CUT = b"..."
T = TypeVar("T")


class RecordLayout:
    """Place and coding of one kind of record. `per_row` kinds stand once in every row, the others once in the file."""

    def __init__(self, kind: type, first_byte: int, blocks: int, per_row: bool) -> None:
        self.kind = kind
        self.first_byte = first_byte
        self.per_row = per_row
        self.bytes = blocks * BLOCK_BYTES
        self.words = self.bytes // WORD_BYTES
        self._checked_bytes = self.bytes - WORD_BYTES
        unused_bytes = self._checked_bytes - WORD_BYTES * (1 + len(kind._fields))
        self._struct = struct.Struct(f"=Q{len(kind._fields)}Q{unused_bytes}xQ")

    def at(self, row: int | None) -> int:
        """First byte of the record in the file. Raises ValueError for a row missing, out of range, or one too many."""
        if not self.per_row:
            if row is not None:
                raise ValueError(f"{self.kind.__name__} stands once in the table, not in row {row}; leave row out")
            return self.first_byte
        if row is None or not 0 <= row < ROWS:
            raise ValueError(f"{self.kind.__name__} needs a row from 0 to {ROWS - 1}, not {row}")
        return self.first_byte + row * ROW_BYTES

    def decode(self, data: bytes, at: int = 0) -> Any:
        """The record that starts at byte `at` of `data` as its NamedTuple, or None if it is not whole."""
        words = self._struct.unpack_from(data, at)
        if not words[0] or words[0] & 1 or crc32(data[at:at + self._checked_bytes]) != words[-1]:
            return None
        return tuple.__new__(self.kind, words[1:-1])  # as kind._make does, without counting what the format counted


def _layouts() -> tuple[dict[type, RecordLayout], int, int]:
    """Every kind one after another, where the rows begin, and the size of a row in bytes."""
    layouts, at = {}, BLOCK_BYTES
    for kind, blocks in ((ControlWords, 2), (ControlWarning, 4), (GatewayWords, 3)):
        layouts[kind] = RecordLayout(kind, at, blocks, per_row=False)
        at += blocks * BLOCK_BYTES
    rows_at = at
    for kind, blocks in ((RowName, 1), (RowControl, 2), (RowReason, 2), (RowGateway, 2), (RowWorker, 2)):
        layouts[kind] = RecordLayout(kind, at, blocks, per_row=True)
        at += blocks * BLOCK_BYTES
    return layouts, rows_at, at - rows_at


LAYOUTS, ROWS_AT, ROW_BYTES = _layouts()
FILE_BYTES = ROWS_AT + ROWS * ROW_BYTES

_HEADER = struct.Struct("=5Q80xQ")  # magic, layout version, boot id, rows, file size in bytes, unused, CRC-32


class VersionDiffers(ValueError):
    """The table was made by another version of this program."""


def encode_header(boot_id: int) -> bytes:
    """The header block. Raises ValueError if `boot_id` is not 1 .. 2**64 - 1."""
    if not 0 < boot_id < 1 << 64:
        raise ValueError(f"boot_id {boot_id} is not a word from 1 to 2**64 - 1")
    header = _HEADER.pack(MAGIC, LAYOUT_VERSION, boot_id, ROWS, FILE_BYTES, 0)[:-WORD_BYTES]
    return header + struct.pack("=Q", crc32(header))


def decode_header(header: bytes) -> int:
    """The boot id. Raises VersionDiffers, or ValueError that says what else is wrong with the block."""
    magic, version, boot_id, rows, size, crc = _HEADER.unpack(header)
    if magic != MAGIC:
        raise ValueError("not a table of mlx-warden (wrong magic number)")
    if version != LAYOUT_VERSION:
        raise VersionDiffers(f"layout version {version}, and this program reads version {LAYOUT_VERSION}")
    if crc != crc32(header[:-WORD_BYTES]):
        raise ValueError("the header is damaged (wrong checksum)")
    if (rows, size) != (ROWS, FILE_BYTES):
        raise ValueError(f"made for {rows} rows in {size} bytes, not {ROWS} in {FILE_BYTES}")
    return boot_id


def slug_words(slug: str) -> RowName:
    """Raises ValueError if the slug is empty, holds a zero byte, or is longer than SLUG_MAX_BYTES as UTF-8."""
    text = slug.encode()
    if not 0 < len(text) <= SLUG_MAX_BYTES or 0 in text:
        raise ValueError(f"slug {slug!r}: not 1 to {SLUG_MAX_BYTES} bytes of UTF-8 without a zero byte; shorten it")
    return text_words(RowName, slug)


def text_words(kind: type[T], text: str) -> T:
    """A text record; what is longer than it is cut between two characters and marked."""
    words = len(kind._fields)
    data = text.replace("\0", " ").encode(errors="replace")
    if len(data) > words * WORD_BYTES:
        data = data[:words * WORD_BYTES - len(CUT)].decode(errors="ignore").encode() + CUT
    return kind._make(struct.unpack(f"={words}Q", data.ljust(words * WORD_BYTES, b"\0")))


@lru_cache(maxsize=4 * ROWS)
def record_text(words: tuple[int, ...] | None) -> str:
    """The text of a text record, or "" if the record cannot be read."""
    return struct.pack(f"={len(words)}Q", *words).rstrip(b"\0").decode(errors="replace") if words else ""


