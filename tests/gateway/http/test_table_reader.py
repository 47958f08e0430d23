"""Reading a table that may be missing, bad, or replaced at any time."""

import os

from control.table import Snapshot, Table
from gateway.http.table_reader import TableReader


def test_missing_then_there_then_replaced_then_gone(tmp_path):
    path = tmp_path / "table"
    reader = TableReader(path)
    assert "there is no table" in reader.snapshot()
    first = Table.create(path, 7)
    assert reader.snapshot().boot_id == 7
    second = Table.create(path, 8)
    assert reader.snapshot().boot_id == 8
    path.unlink()
    assert "there is no table" in reader.snapshot()
    for each in (first, second, reader, reader):
        each.close()


def test_a_table_that_cannot_be_trusted_is_a_reason_not_an_error(tmp_path):
    path = tmp_path / "table"
    Table.create(path, 7).close()
    reader = TableReader(path)
    path.chmod(0o644)
    assert "0644" in reader.snapshot()
    path.chmod(0o600)
    assert isinstance(reader.snapshot(), Snapshot)
    os.truncate(path, 100)
    assert isinstance(reader.snapshot(), str)
