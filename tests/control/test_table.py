"""The table file: made whole and private, opened by others, written and read as values, replaced by another file."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.table import (
    ROWS,
    ControlWarning,
    ControlWords,
    GatewayWords,
    RowControl,
    RowGateway,
    RowReason,
    RowWorker,
    Table,
    TableRefused,
)
from control.table_layout import FILE_BYTES, LAYOUTS, encode_header
from tests.support.table_files import BOOT_ID, fill, open_descriptors, say


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.fixture
def table(path: Path) -> Iterator[Table]:
    table = Table.create(path, BOOT_ID)
    yield table
    table.close()


# -- making and opening

def test_a_new_table_is_empty_private_and_whole(table: Table, path: Path) -> None:
    assert path.stat().st_size == FILE_BYTES
    assert path.stat().st_blocks * 512 >= FILE_BYTES  # no holes: a store never has to find room on a full disk
    assert path.stat().st_mode & 0o7777 == 0o600
    assert os.listdir(path.parent) == ["table"]
    assert table.snapshot() == (BOOT_ID, None, None, (), "")


def test_it_is_private_whatever_the_umask(path: Path) -> None:
    for umask in (0o000, 0o777):
        before = os.umask(umask)
        try:
            Table.create(path, BOOT_ID).close()
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o7777 == 0o600


def test_another_process_sees_what_is_written(table: Table, path: Path) -> None:
    other = Table.open(path)
    assert other.boot_id == BOOT_ID
    expected = fill(table, ControlWords)
    assert other.read(ControlWords) == expected
    other.close()


def test_a_table_is_replaced_by_another_file_and_never_emptied(table: Table, path: Path) -> None:
    expected = fill(table, ControlWords)
    writer = table.writer(ControlWords)
    assert not table.replaced()
    new = Table.create(path, 8)
    assert table.replaced() and not new.replaced()
    writer.add("epoch")
    writer.flush()
    assert table.read(ControlWords).epoch == expected.epoch + 1
    assert new.read(ControlWords) is None
    assert Table.open(path).boot_id == 8
    new.close()


def test_a_table_that_was_removed_counts_as_replaced(table: Table, path: Path) -> None:
    path.unlink()
    assert table.replaced()


def test_what_a_control_that_died_left_is_taken_away(path: Path) -> None:
    scratch = path.with_name(f"table.{os.getpid()}.new")
    scratch.write_bytes(b"half")
    Table.create(path, BOOT_ID).close()
    assert not scratch.exists()


def test_a_place_where_no_table_can_be_made_is_one_clear_line(tmp_path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(TableRefused, match="cannot be made: No such file or directory; mend that"):
        Table.create(tmp_path / "missing" / "table", BOOT_ID)
    (tmp_path / "table").mkdir()
    with pytest.raises(TableRefused, match="cannot be made: Is a directory"):
        Table.create(tmp_path / "table", BOOT_ID)
    assert os.listdir(tmp_path) == ["table"]
    assert open_descriptors() == before


def test_closing_gives_descriptors_back_and_twice_is_harmless(path: Path) -> None:
    before = open_descriptors()
    table = Table.create(path, BOOT_ID)
    writer = table.writer(ControlWords)
    writer.flush()
    assert open_descriptors() > before
    table.close()
    table.close()
    assert open_descriptors() == before
    for use in (writer.flush, table.snapshot, lambda: table.read(ControlWords)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            use()


def test_a_table_that_is_dropped_gives_its_descriptor_back(path: Path) -> None:
    before = open_descriptors()
    Table.create(path, BOOT_ID)
    Table.open(path)
    assert open_descriptors() == before


def test_the_descriptor_is_not_handed_to_programs_that_are_executed(table: Table, path: Path) -> None:
    other = Table.open(path)
    assert not os.get_inheritable(table._fd)
    assert not os.get_inheritable(other._fd)
    assert path.read_bytes().startswith(encode_header(BOOT_ID))


# -- reading

def test_each_record_is_read_and_each_stands_alone(table: Table) -> None:
    expected = {(kind, None): fill(table, kind) for kind in (ControlWords, GatewayWords)}
    for row in (0, 1, ROWS - 1):
        expected |= {(kind, row): fill(table, kind, row, first=row * 1_000 + 1)
                     for kind in (RowControl, RowGateway, RowWorker)}
    assert {place: table.read(*place) for place in expected} == expected
    assert table.read(RowWorker, 2) is None


def test_a_row_that_does_not_exist_is_refused(table: Table) -> None:
    with pytest.raises(ValueError, match="RowWorker needs a row from 0 to 65, not 66"):
        table.read(RowWorker, ROWS)
    with pytest.raises(ValueError, match="RowWorker needs a row"):
        table.writer(RowWorker)
    with pytest.raises(ValueError, match="ControlWords stands once"):
        table.writer(ControlWords, 0)


def test_rows_are_found_by_their_names(table: Table) -> None:
    for index, slug in ((3, "llama"), (0, "ü" * 48), (ROWS - 1, "llama-2")):
        table.name_row(index, slug)
    assert [table.find_row(slug) for slug in ("llama", "ü" * 48, "llama-2", "lama")] == [3, 0, ROWS - 1, None]
    table.name_row(3, "llama")
    table.name_row(3, "qwen")
    assert [table.find_row(slug) for slug in ("llama", "qwen")] == [None, 3]
    with pytest.raises(ValueError, match="slug 'qwen' has row 3 already; it cannot have row 4 too"):
        table.name_row(4, "qwen")
    with pytest.raises(ValueError, match="1 to 96 bytes"):
        table.name_row(4, "")


def test_a_snapshot_holds_the_named_rows_and_nothing_else(table: Table) -> None:
    for row in (1, 2, 5):
        fill(table, RowControl, row)
    table.name_row(5, "five")
    table.name_row(2, "two")
    worker, control = fill(table, RowWorker, 5), fill(table, ControlWords)
    say(table, RowReason, "kept: 2 answers under way", 5)
    say(table, ControlWarning, "memory is critical")
    snapshot = table.snapshot()
    assert (snapshot.boot_id, snapshot.control, snapshot.gateway) == (BOOT_ID, control, None)
    assert [(row.index, row.name) for row in snapshot.rows] == [(2, "two"), (5, "five")]
    assert snapshot.rows[1] == (5, "five", fill(table, RowControl, 5), None, worker, "kept: 2 answers under way")
    assert (snapshot.rows[0].reason, snapshot.warning) == ("", "memory is critical")


def test_a_snapshot_waits_for_a_writer_that_was_stopped_in_mid_write(table: Table, monkeypatch) -> None:
    table.name_row(5, "five")
    worker = fill(table, RowWorker, 5)
    layout = LAYOUTS[RowWorker]
    with open(table.path, "r+b", buffering=0) as file:
        def put(data: bytes) -> None:
            file.seek(layout.at(5))
            file.write(data)

        file.seek(layout.at(5))
        whole = file.read(layout.bytes)
        put((int.from_bytes(whole[:8], sys.byteorder) + 1).to_bytes(8, sys.byteorder))  # odd: in mid-write
        assert table.snapshot().rows[0].worker is None, "it never goes on"
        monkeypatch.setattr("control.table_reading.time.sleep", lambda seconds: put(whole))
        assert table.snapshot().rows[0].worker == worker
