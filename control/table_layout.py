"""What stands where in the table, declared once, and how the bytes of a record become typed words.

Theory
------
The file is made of 128-byte blocks (an Apple cache line) of 16 words; a word is 8 bytes, unsigned, in the byte order
of the machine. A *record* is one or more whole blocks with exactly one writer:

    word 0      sequence: odd while the record is being written, even when it is whole, 0 when it never was written
    words 1..   the named words of its kind, in the order of the NamedTuple, then unused words, all 0
    last word   CRC-32 of every byte before it, sequence and unused words included

The file is the header block, `ControlWords`, `GatewayWords`, and then for each of `ROWS` rows `RowName`, `RowControl`,
`RowGateway`, `RowWorker`. Whoever changes a name, an order or a size here raises `LAYOUT_VERSION`.

Guarantee: `RecordLayout.decode` gives the words of one whole write, or None. A record caught in mid-write, damaged in
any byte, or never written is None, and None means *unknown*, which means "do not terminate". The CRC alone carries
that (a processor may show the writer's stores in any order); the sequence finds most torn copies without it.

Pure: bytes come in, values go out.
"""

import struct
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from control.states import CONTROL_PHASES, Phase, effective_phase, is_fresh

MAGIC = 0x57415244454E5442  # "WARDENTB"; reads as another number on a machine of the other byte order
LAYOUT_VERSION = 1
SUPERVISORD_STALE_NS = 10_000_000_000
ROWS = 64
WORD_BYTES = 8
BLOCK_BYTES = 128
SLUG_MAX_BYTES = 96


class ControlWords(NamedTuple):
    """control about itself. `overload` and `spill` are one bit per class; times are monotonic nanoseconds.

    `supervisord_at_ns`: when the newest list of processes was asked of supervisord; 0: none yet.
    """

    epoch: int
    heartbeat_ns: int
    pid: int
    pressure_permille: int
    overload: int
    spill: int
    supervisord_at_ns: int

    @property
    def supervisord_is_silent(self) -> bool:
        """control has asked it in vain for SUPERVISORD_STALE_NS. Says nothing while control itself is silent."""
        return bool(self.supervisord_at_ns) and self.heartbeat_ns - self.supervisord_at_ns > SUPERVISORD_STALE_NS


class GatewayWords(NamedTuple):
    """gateway about all models together; counters start at 0 in each gateway epoch."""

    epoch: int
    heartbeat_ns: int
    pid: int
    running_high: int
    running_medium: int
    running_low: int
    paused_high: int
    paused_medium: int
    paused_low: int
    queued_high: int
    queued_medium: int
    queued_low: int
    admitted_high: int
    admitted_medium: int
    admitted_low: int
    finished: int
    failed: int
    cancelled: int
    rejected: int
    displaced: int
    expired: int
    retried: int
    dropped_frames: int


RowName = NamedTuple("RowName", [(f"text_{word}", int) for word in range(SLUG_MAX_BYTES // WORD_BYTES)])
RowName.__doc__ = "control: the slug of the row's model, as UTF-8 filled up with zero bytes."


class RowControl(NamedTuple):
    """control about the model's process. `phase` is one of CONTROL_PHASES."""

    incarnation: int
    phase: int
    pid: int
    start_time_us: int
    fence_id: int
    fence_cleared: int
    share_bytes: int
    load_id: int
    load_deadline_ns: int
    backoff_until_ns: int
    crashes: int
    loads: int
    starts: int


class RowGateway(NamedTuple):
    """gateway about the model; counters start at 0 in each (epoch, incarnation)."""

    epoch: int
    incarnation: int
    gate: int
    fence_seen: int
    dispatched: int
    finished: int
    paused: int
    waiting_high: int
    waiting_medium: int
    waiting_low: int
    oldest_wait_since_ns: int
    last_dispatch_ns: int
    use_count: int


class RowWorker(NamedTuple):
    """The worker of that incarnation about itself. `phase` is one of WORKER_PHASES."""

    incarnation: int
    phase: int
    accepted: int
    finished: int
    active: int
    load_progress_permille: int
    tokens_out: int
    mlx_active_bytes: int
    mlx_peak_bytes: int
    mlx_cache_bytes: int
    footprint_bytes: int
    heartbeat_ns: int
    progress_ns: int
    steps: int
    load_ms: int
    context_length: int
    batch_max: int
    pid: int
    gateway_epoch: int


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


def _layouts() -> tuple[dict[type, RecordLayout], int]:
    """Every kind one after another, and the size of a row in bytes."""
    layouts = {ControlWords: RecordLayout(ControlWords, BLOCK_BYTES, 1, per_row=False),
               GatewayWords: RecordLayout(GatewayWords, 2 * BLOCK_BYTES, 2, per_row=False)}
    first_byte = rows_at = 4 * BLOCK_BYTES
    for kind, blocks in ((RowName, 1), (RowControl, 1), (RowGateway, 1), (RowWorker, 2)):
        layouts[kind] = RecordLayout(kind, first_byte, blocks, per_row=True)
        first_byte += blocks * BLOCK_BYTES
    return layouts, first_byte - rows_at


LAYOUTS, ROW_BYTES = _layouts()
FILE_BYTES = 4 * BLOCK_BYTES + ROWS * ROW_BYTES

_HEADER = struct.Struct("=5Q80xQ")  # magic, layout version, boot id, rows, file size in bytes, unused, CRC-32
_SLUG = struct.Struct(f"={SLUG_MAX_BYTES // WORD_BYTES}Q")


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
    return RowName._make(_SLUG.unpack(text.ljust(SLUG_MAX_BYTES, b"\0")))


@lru_cache(maxsize=2 * ROWS)
def slug_text(words: RowName | None) -> str:
    """The slug, or "" if the record cannot be read."""
    return _SLUG.pack(*words).rstrip(b"\0").decode(errors="replace") if words else ""


class Row(NamedTuple):
    """One model as the table shows it; a record that cannot be read is None, a name that cannot be read is ""."""

    index: int
    name: str
    control: RowControl | None
    gateway: RowGateway | None
    worker: RowWorker | None

    def phase(self, now_ns: int) -> Phase | None:
        """The effective phase; None (unknown) if control's record is unreadable or the worker it trusts is silent."""
        control, worker = self.control, self.worker
        if control is None or control.phase not in CONTROL_PHASES:
            return None
        same = worker is not None and worker.incarnation == control.incarnation
        if control.phase == Phase.ALIVE and same and not self.worker_is_fresh(now_ns):
            return None
        return effective_phase(control.phase, worker.phase if same else 0, same_incarnation=same)

    def worker_is_fresh(self, now_ns: int) -> bool:
        """Is the worker's record of control's incarnation, with a heartbeat within HEARTBEAT_STALE_NS of `now_ns`?

        A heartbeat that far in the future is left over from before a reboot, so it is not fresh either.
        """
        if self.control is None or self.worker is None or self.worker.incarnation != self.control.incarnation:
            return False
        return is_fresh(self.worker.heartbeat_ns, now_ns)


class Snapshot(NamedTuple):
    """The whole table at about one moment: each record is whole, two records may be of different moments.

    `rows` are the named ones, in the order of their index. A row whose name is damaged is listed with name "", so that
    nobody takes it for a free one.
    """

    boot_id: int
    control: ControlWords | None
    gateway: GatewayWords | None
    rows: tuple[Row, ...]
