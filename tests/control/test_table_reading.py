"""How the table is read: what has not changed is not decoded again, and nothing is read that does not stand there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.table import ROWS, ControlWords, GatewayWords, RowControl, RowGateway, RowReason, RowWorker, Table
from control.table_layout import LAYOUTS
from tests.support.table_files import BOOT_ID

KINDS = (RowControl, RowGateway, RowWorker)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.fixture
def table(path: Path) -> Iterator[Table]:
    table = Table.create(path, BOOT_ID)
    for row in range(3):
        table.name_row(row, f"model-{row}")
    yield table
    table.close()


def write(table: Table, kind: type, row: int | None = None, **words: int) -> None:
    writer = table.writer(kind, row)
    writer.set(**words)
    writer.flush()


def damage(path: Path, at: int, to: bytes) -> bytes:
    """What stood there."""
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(len(to))
        file.seek(at)
        file.write(to)
    return before


def test_what_nobody_wrote_since_is_the_same_object(table: Table) -> None:
    write(table, RowControl, 1, phase=2)
    write(table, RowControl, 2, phase=2)
    first, record = table.snapshot(), table.read(RowControl, 2)
    assert table.read(RowControl, 2) is record
    write(table, RowControl, 1, phase=3)
    second = table.snapshot()
    assert second.rows[2] is first.rows[2] and second.rows[2].control is record
    assert second.rows[1].control.phase == 3 and second.rows[1].name == "model-1"


def test_a_row_that_was_given_away_is_read_anew(table: Table) -> None:
    """Its sequence begins again, so the number alone would say that nothing changed."""
    assert [row.name for row in table.snapshot().rows] == ["model-0", "model-1", "model-2"]
    table.unname_row(1)
    assert [row.name for row in table.snapshot().rows] == ["model-0", "model-2"]
    table.name_row(1, "another")
    assert [row.name for row in table.snapshot().rows] == ["model-0", "another", "model-2"]
    assert table.find_row("another") == 1 and table.find_row("model-1") is None


def test_a_record_that_is_damaged_after_it_was_read_is_unknown(table: Table, path: Path) -> None:
    write(table, RowWorker, 1, heartbeat_ns=7)
    known = table.snapshot()
    at = LAYOUTS[RowWorker].at(1) + 8 * 5
    stood = damage(path, at, b"\xff")
    assert table.read(RowWorker, 1) is None and table.snapshot().rows[1].worker is None
    assert table.snapshot().rows[1].worker is None  # what could not be read is looked at again, each time
    damage(path, at, stood)
    assert table.snapshot() == known and table.read(RowWorker, 1).heartbeat_ns == 7


def test_a_table_that_was_cut_short_shows_nothing_of_before(table: Table, path: Path) -> None:
    write(table, GatewayWords, epoch=4)
    assert table.read(GatewayWords).epoch == 4 and table.snapshot().rows
    os.truncate(path, 64)
    assert table.read(GatewayWords) is None
    assert table.snapshot() == (BOOT_ID, None, None, (), "")


def test_a_closed_table_reads_nothing(table: Table) -> None:
    table.snapshot()
    table.close()
    for read in (table.snapshot, lambda: table.read(ControlWords)):
        with pytest.raises(OSError):
            read()


Change = st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2**63 - 1))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(Change, st.none()), max_size=30))
def test_a_reader_that_looked_before_sees_what_a_new_one_sees(tmp_path_factory, changes) -> None:
    """None: look."""
    path = tmp_path_factory.mktemp("t") / "table"
    table = Table.create(path, BOOT_ID)
    for row in range(3):
        table.name_row(row, f"model-{row}")
    reader = Table.open(path)
    for change in changes:
        if change is None:
            reader.snapshot()
        else:
            kind, row, value = change
            write(table, kind, row, **{kind._fields[0]: value})
            if kind is RowControl:
                assert reader.read(kind, row).incarnation == value
    fresh = Table.open(path)
    assert reader.snapshot() == fresh.snapshot()
    assert all(reader.read(kind, row) == fresh.read(kind, row) for kind in (*KINDS, RowReason) for row in range(ROWS))
    for each in (table, reader, fresh):
        each.close()
