"""What is not the table is refused in one clear line; a damaged table says None or the truth, and ends no process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.table import (
    ROWS,
    ControlWarning,
    ControlWords,
    GatewayWords,
    RowControl,
    RowGateway,
    RowName,
    RowReason,
    RowWorker,
    Table,
    TableRefused,
)
from control.table_layout import FILE_BYTES, LAYOUTS
from tests.support.table_files import BOOT_ID, fill, open_descriptors, say

ROOT = Path(__file__).parents[2]
CHILD_WITHIN_S = 30
ABOUT_ROW = (RowControl, RowGateway, RowWorker)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.fixture
def table(path: Path) -> Iterator[Table]:
    table = Table.create(path, BOOT_ID)
    yield table
    table.close()


def refused(path: Path) -> str:
    """The one line with which the file is refused."""
    with pytest.raises(TableRefused) as caught:
        Table.open(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "; " in line and "\n" not in line
    assert caught.value.path == path
    return line


# -- files that are not the table

def test_missing(path: Path) -> None:
    assert "there is no table; start the stack with `warden up`" in refused(path)


def test_symlink(table: Table, path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    assert "is a symbolic link" in refused(link)


def test_no_plain_file(path: Path) -> None:
    path.mkdir()
    assert "cannot be opened: Is a directory" in refused(path)
    path.rmdir()
    os.mkfifo(path, 0o600)
    assert "is not a plain file" in refused(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o700, 0o4600])
def test_mode(table: Table, path: Path, mode: int) -> None:
    path.chmod(mode)
    assert f"(mode {mode:04o}, not 0600)" in refused(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_owner(table: Table, path: Path) -> None:
    os.chown(path, 65534, -1)
    assert "belongs to user 65534, not to you (user 0)" in refused(path)


@pytest.mark.parametrize("size", [0, 1, 127, 128, FILE_BYTES - 1, FILE_BYTES + 1])
def test_size(table: Table, path: Path, size: int) -> None:
    os.truncate(path, size)
    assert f"has {size} bytes, and the table has {FILE_BYTES}" in refused(path)


def test_magic(path: Path, table: Table) -> None:
    path.write_bytes(bytes(FILE_BYTES))
    assert "wrong magic number" in refused(path)


@pytest.mark.parametrize("size", [FILE_BYTES, FILE_BYTES // 2, FILE_BYTES * 2])
def test_version_is_what_is_said_even_where_the_size_differs_too(table: Table, path: Path, size: int) -> None:
    content = bytearray(path.read_bytes())
    content[8] = 9
    path.write_bytes(content.ljust(size, b"\0")[:size])
    line = refused(path)
    assert "layout version 9, and this program reads version 5" in line and "`warden down`, then `warden up`" in line


def test_header_checksum(table: Table, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[16] ^= 1
    path.write_bytes(content)
    assert "the header is damaged (wrong checksum); run `warden ctl restart control`" in refused(path)


def test_refusing_leaks_no_descriptor(path: Path) -> None:
    path.write_bytes(b"")
    before = open_descriptors()
    for _ in range(3):
        refused(path)
    assert open_descriptors() == before


# -- damage

def test_a_row_with_a_damaged_name_is_listed_without_one(table: Table, path: Path) -> None:
    table.name_row(0, "zero")
    table.name_row(1, "one")
    name_at = LAYOUTS[RowName].at(1)
    for place in range(name_at, name_at + LAYOUTS[RowName].bytes):
        byte = path.read_bytes()[place]
        for damaged, rows in ((0 if byte else 1, [(0, "zero"), (1, "")]), (byte, [(0, "zero"), (1, "one")])):
            with open(path, "r+b") as file:
                file.seek(place)
                file.write(bytes([damaged]))
            assert [(row.index, row.name) for row in table.snapshot().rows] == rows


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Four rows written in every word; the others empty."""
    table = Table.create(tmp_path_factory.mktemp("full") / "table", BOOT_ID)
    for kind in (ControlWords, GatewayWords):
        fill(table, kind)
    say(table, ControlWarning, "memory is critical " * 20)
    for row in range(4):
        table.name_row(row, f"model-{row}")
        for kind in ABOUT_ROW:
            fill(table, kind, row, first=row * 2**33 + 1)
        say(table, RowReason, f"reason {row}", row)
    yield table
    table.close()


@given(place=st.integers(128, LAYOUTS[RowControl].at(4)), mask=st.integers(1, 255))
def test_a_flipped_byte_is_unknown_or_the_truth(full: Table, place: int, mask: int) -> None:
    def words() -> dict:
        rows = {(kind, row): full.read(kind, row) for kind in ABOUT_ROW for row in range(5)}
        return rows | {(kind, None): full.read(kind) for kind in (ControlWords, GatewayWords)}

    truth, whole = words(), full.snapshot()
    before = full.path.read_bytes()
    try:
        with open(full.path, "r+b") as file:
            file.seek(place)
            file.write(bytes([before[place] ^ mask]))
        read, seen = words(), full.snapshot()
    finally:
        with open(full.path, "r+b") as file:
            file.write(before)
    assert all(value in (None, truth[key]) for key, value in read.items())
    assert seen.control in (None, whole.control) and seen.gateway in (None, whole.gateway)
    assert seen.warning in ("", whole.warning) and whole.warning
    for row in seen.rows:
        told = whole.rows[row.index] if row.index < 4 else (row.index, "", None, None, None, "")
        assert all(value in (None, "", true) for value, true in zip(row[1:], told[1:], strict=True))
    assert [row.index for row in seen.rows][:4] == [0, 1, 2, 3]  # no row is ever lost


@pytest.mark.parametrize("size", [0, 100, 128, 300, 700, 1280, 4096, FILE_BYTES - 1])
def test_a_table_cut_short_reads_as_unknown_and_counts_as_replaced(table: Table, path: Path, size: int) -> None:
    fill(table, GatewayWords)
    table.name_row(ROWS - 1, "last")
    worker = fill(table, RowWorker, ROWS - 1)
    os.truncate(path, size)
    assert table.replaced()
    assert table.read(RowWorker, ROWS - 1) is None
    assert (table.read(GatewayWords) is None) == (size < 1280)
    assert table.snapshot().gateway == table.read(GatewayWords)
    assert all(row.worker in (None, worker) for row in table.snapshot().rows)
    with pytest.raises(TableRefused, match=f"cut short by another program to {size} of {FILE_BYTES} bytes"):
        table.writer(RowWorker, 1)


CUT_SHORT = """
import os, sys
from pathlib import Path
from control.table import RowWorker, Table, TableRefused
path = Path(sys.argv[1])
table = Table.open(path)
writer = table.writer(RowWorker, 3)
writer.flush()
os.truncate(path, 0)
try:
    {act}
except TableRefused as error:
    print(error)
"""


@pytest.mark.parametrize(("act", "code"), [("writer.flush()", 0), ("table._words[100] = 1", -signal.SIGBUS)])
def test_a_table_cut_short_ends_no_process(table: Table, path: Path, act: str, code: int) -> None:
    """The second act is what would happen: a store without a look at the size."""
    done = subprocess.run([sys.executable, "-c", CUT_SHORT.format(act=act), path], cwd=ROOT, text=True,
                          capture_output=True, timeout=CHILD_WITHIN_S)
    assert (done.returncode, done.stderr) == (code, "")
    assert ("cut short by another program to 0 of" in done.stdout) == (code == 0)
