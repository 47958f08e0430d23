"""Looking at a home: nothing in it is made or changed, whatever state it is in."""

import os
from pathlib import Path

import pytest

from control.home import Home, acquire_lock, prepare_home
from gateway.cli.doctor_home import SILENT
from gateway.cli.doctor_look_home import look_at_home, look_at_stack

LONG_S = 30.0


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    fact = look_at_home(Home(tmp_path / "a" / "b"))
    assert not fact.exists and fact.troubles == () and list(tmp_path.iterdir()) == []


def test_a_prepared_home_is_without_fault(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    prepare_home(home)
    fact = look_at_home(home)
    assert fact.exists and fact.troubles == () and fact.moved is (home.socket_dir != home.run)


def test_what_prepare_home_refuses_is_found(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    prepare_home(home)
    home.root.chmod(0o777)
    home.logs.rmdir()
    home.logs.write_text("")
    lines = look_at_home(home).troubles
    assert len(lines) == 2 and "chmod go-w" in lines[0] and "is not a directory" in lines[1]
    (tmp_path / "link").symlink_to(home.root)
    assert "symbolic link" in look_at_home(Home(tmp_path / "link")).troubles[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_made_or_written_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "cannot be made" in look_at_home(Home(tmp_path / "home")).troubles[0]
    finally:
        tmp_path.chmod(0o700)


def test_sockets_of_a_long_path_lie_elsewhere(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 90))
    fact = look_at_home(home)
    assert fact.moved and fact.sockets == str(home.socket_dir) and len(fact.sockets) < len(str(home.root))


def test_a_stack_that_is_not_there_and_what_one_left(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    fact = look_at_stack(home, LONG_S)
    assert (fact.supervisord, fact.processes, fact.leftovers, fact.up_pid) == (SILENT, (), (), 0)
    prepare_home(home)
    home.supervisor_conf.write_text("")
    home.table.write_text("no table")
    fact = look_at_stack(home, LONG_S)
    assert fact.leftovers == ("supervisor.conf", "table") and str(home.table) in fact.table
    with acquire_lock(home.lock_path("up")):
        assert look_at_stack(home, LONG_S).up_pid == os.getpid()
    assert home.table.read_text() == "no table"
