"""Files of ours: read by nobody else, whole or not at all, whatever stood there."""

import os
import stat
from pathlib import Path

import pytest

from control.private_file import write_private


def test_it_can_be_read_by_nobody_else_whatever_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.conf"
    path.write_text("of an earlier stack")
    path.chmod(0o666)
    write_private(path, b"password=secret")
    assert path.read_text() == "password=secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["supervisor.conf"]


def test_what_a_killed_writer_left_is_in_nobodys_way_and_no_link_is_followed(tmp_path: Path) -> None:
    path, others = tmp_path / "keys.json", tmp_path / "others"
    others.write_text("theirs")
    os.symlink(others, tmp_path / ".keys.json.new")
    write_private(path, b"{}")
    assert path.read_bytes() == b"{}" and others.read_text() == "theirs"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["keys.json", "others"]


def test_one_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "library.json"
    path.mkdir()  # a name that nothing can be renamed to
    with pytest.raises(OSError):
        write_private(path, b"{}")
    assert [each.name for each in tmp_path.iterdir()] == ["library.json"]
