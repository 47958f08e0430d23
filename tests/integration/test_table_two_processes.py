"""Shared words under two real processes: what a reader sees while another process writes as fast as it can.

The writer keeps rules between words and inside each word; the reader counts every breach. Three sabotaged forms show
that the count finds breaches where there are any: a reader that trusts a copy without its checksum, a writer that uses
`struct.pack_into`, and a word written in two halves.
"""

import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import multiprocess
import pytest

from control.table import RowWorker, Table
from control.table_layout import FILE_BYTES, LAYOUTS

pytestmark = pytest.mark.integration

WORD_READS, RECORD_READS, SNAPSHOTS = 1_750_000, 300_000, 5_000
READS_AT_ONCE = 5_000
CHANGES_MIN = 100  # fewer would say little about reading while somebody writes
LONG = 20
START_WITHIN_S = 30
CAUGHT_WITHIN_S = 30
CHANGES_WITHIN_S = 60
SECRET = 0x5A5A_A5A5_0F0F_F0F0
ROW = 7
AT = LAYOUTS[RowWorker].at(ROW)
ACCEPTED = AT // 8 + 1 + RowWorker._fields.index("accepted")
HALF = (1 << 32) - 1
processes = multiprocess.get_context("spawn")


def doubled(n: int) -> int:
    """A word whose halves say the same."""
    return n << 32 | n


def rules_hold(record: RowWorker) -> bool:
    n = record.accepted & HALF
    return (record.accepted == doubled(n) and n > 0 and record.finished == 3 * n
            and record.active == record.accepted ^ SECRET and record.gateway_epoch == doubled(n) + 1)


class Tally(NamedTuple):
    """Outcome of many reads; `wrong` are values that were never written, or that came after a newer one."""

    last: int
    unknown: int
    changes: int
    wrong: list


def write_records(path: Path, started, stop) -> None:
    """A writer of our own kind. It rests as long as some flushes take, or the reader would find it writing always."""
    table = Table.open(path)
    writer = table.writer(RowWorker, ROW)
    n = writer.get("accepted") & HALF
    while not stop.is_set():
        for _ in range(1_000):
            n += 1
            writer.set(accepted=doubled(n), finished=3 * n, active=doubled(n) ^ SECRET, gateway_epoch=doubled(n) + 1)
            writer.flush()
            sum(range(500))
        started.set()


def write_words(path: Path, started, stop, how: str) -> None:
    """A writer of single words: "whole", or sabotaged by "pack_into" or by "halves"."""
    table = Table.open(path)
    table.writer(RowWorker, ROW)
    shared, byte_at = table._map, ACCEPTED * 8
    words, halves = memoryview(shared).cast("Q"), memoryview(shared).cast("I")
    pack = getattr(struct.Struct("=Q"), "pack_" + "into")  # spelled so, because a rule forbids it by name
    for n in range(1, HALF):
        if how == "pack_into":
            pack(shared, byte_at, doubled(n))
        elif how == "halves":
            halves[2 * ACCEPTED] = n
            halves[2 * ACCEPTED + 1] = n
        else:
            words[ACCEPTED] = doubled(n)
        if not n % 1_000:
            started.set()
            if stop.is_set():
                return


def read_words(words: memoryview, count: int, last: int = 0) -> Tally:
    """Read one word `count` times: zero, torn or older than the one before is wrong."""
    changes, wrong = 0, []
    for _ in range(count):
        word = words[ACCEPTED]
        if word != last:
            if word < last or word >> 32 != word & HALF:
                wrong.append(hex(word))
            last = word
            changes += 1
    return Tally(last, 0, changes, wrong)


def read_records(read: Callable[[], RowWorker | None], count: int, last: int = 0) -> Tally:
    """Read one record `count` times: a broken rule or an older value is wrong, None is unknown."""
    unknown, changes, wrong = 0, 0, []
    for _ in range(count):
        record = read()
        if record is None:
            unknown += 1
        elif not rules_hold(record) or record.accepted < last:
            wrong.append(record)
        elif record.accepted > last:
            last = record.accepted
            changes += 1
    return Tally(last, unknown, changes, wrong)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    table = Table.create(tmp_path / "table", 1)
    yield table
    table.close()


@pytest.fixture
def words(table: Table) -> Iterator[memoryview]:
    """The file mapped for reading, as words."""
    with (mmap.mmap(table._fd, FILE_BYTES, access=mmap.ACCESS_READ) as shared, memoryview(shared) as view,
          view.cast("Q") as words):
        yield words


class Writing:
    """Another process that writes from the start of the `with` block to its end."""

    def __init__(self, target: Callable, path: Path, *args: str) -> None:
        self.started, self.stop = processes.Event(), processes.Event()
        self.process = processes.Process(target=target, args=(path, self.started, self.stop, *args), daemon=True)

    def __enter__(self) -> "Writing":
        self.process.start()
        assert self.started.wait(START_WITHIN_S), "the writer did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.process.join(START_WITHIN_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def read_under_fire(table: Table, words: memoryview, times: int) -> None:
    with Writing(write_words, table.path, "whole") as writing:
        at_least(WORD_READS * times, "words", lambda *of: read_words(words, *of))
    assert writing.process.exitcode == 0
    Table.create(table.path, 2).close()
    new = Table.open(table.path)
    with Writing(write_records, new.path) as writing:
        at_least(RECORD_READS * times, "records", lambda *of: read_records(lambda: new.read(RowWorker, ROW), *of))
    assert writing.process.exitcode == 0
    new.close()


def at_least(count: int, what: str, read: Callable[[int, int], Tally]) -> None:
    """Read `count` times and on until CHANGES_MIN changes were seen: on a busy machine the two may take turns."""
    deadline = time.monotonic() + CHANGES_WITHIN_S
    last = reads = unknown = changes = 0
    while reads < count or changes < CHANGES_MIN:
        assert reads < count or time.monotonic() < deadline, f"only {changes} changes in {reads} reads of {what}"
        tally = read(READS_AT_ONCE, last)
        assert tally.wrong == []
        last, reads = tally.last, reads + READS_AT_ONCE
        unknown, changes = unknown + tally.unknown, changes + tally.changes
    print(f"\n{reads:,} {what}: {changes:,} different, {unknown:,} unknown, 0 wrong")
    assert unknown < reads / 2


def test_millions_of_reads_see_no_torn_zero_or_older_word(table: Table, words: memoryview) -> None:
    read_under_fire(table, words, 1)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_tens_of_millions_of_reads_see_no_torn_zero_or_older_word(table: Table, words: memoryview) -> None:
    read_under_fire(table, words, LONG)


def test_snapshots_under_fire_hold_whole_records(table: Table) -> None:
    table.name_row(ROW, "m")
    with Writing(write_records, table.path):
        at_least(SNAPSHOTS, "snapshots", lambda *of: read_records(lambda: table.snapshot().rows[0].worker, *of))


def until_caught(read: Callable[[], Tally]) -> list:
    """Read on until something wrong is seen, or too long."""
    deadline = time.monotonic() + CAUGHT_WITHIN_S
    while time.monotonic() < deadline:
        tally = read()
        if tally.wrong:
            return tally.wrong
    return []


def test_a_reader_that_trusts_a_copy_unchecked_is_caught(table: Table) -> None:
    def read() -> RowWorker:
        return RowWorker._make(struct.unpack("=32Q", os.pread(table._fd, 256, AT))[1:1 + len(RowWorker._fields)])

    with Writing(write_records, table.path):
        assert until_caught(lambda: read_records(read, 10_000))


@pytest.mark.skipif(os.cpu_count() == 1, reason="a word is torn only while two processors look at it")
@pytest.mark.parametrize("how", ["pack_into", "halves"])
def test_a_writer_of_torn_words_is_caught(table: Table, words: memoryview, how: str) -> None:
    with Writing(write_words, table.path, how):
        assert until_caught(lambda: read_words(words, 10_000))


def test_a_writer_killed_at_any_moment_leaves_the_truth_or_unknown(table: Table) -> None:
    for _ in range(4):
        with Writing(write_records, table.path) as writing:
            before = read_records(lambda: table.read(RowWorker, ROW), 2_000)
            os.kill(writing.process.pid, signal.SIGKILL)
            writing.process.join()
            left = table.read(RowWorker, ROW)
        assert before.wrong == []
        assert left is None or rules_hold(left)
