"""The home: the same paths for everybody, made private, and refused where another user could reach in."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.home import (
    LONGEST_SOCKET,
    SOCKET_PATH_MAX_BYTES,
    Home,
    HomeRefused,
    home_from_env,
    prepare_home,
    read_http_secret,
    write_http_secret,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def far_home(tmp_path: Path) -> Iterator[Home]:
    """A home whose sockets do not fit below it."""
    home = Home(tmp_path / ("x" * 100))
    yield home
    for path in (home.socket_dir, home.socket_dir.parent):
        try:
            path.unlink() if path.is_symlink() else path.rmdir()
        except OSError:
            pass  # not made, or another stack of this user has its sockets there


def refusal(home: Home) -> str:
    """The one line with which the home is refused."""
    with pytest.raises(HomeRefused) as caught:
        prepare_home(home)
    line = str(caught.value)
    assert line.startswith(f"{caught.value.path}: ") and "; " in line and "\n" not in line
    return line


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


# -- paths

@pytest.mark.parametrize(("env", "root"), [
    ({"WARDEN_HOME": "/srv/w", "HOME": "/home/a"}, "/srv/w"),
    ({"HOME": "/home/a"}, "/home/a/.warden"),
    ({"WARDEN_HOME": "", "HOME": "/home/a"}, "/home/a/.warden"),
    ({"WARDEN_HOME": "~/w", "HOME": "/home/a"}, "/home/a/w"),
    ({"WARDEN_HOME": "~", "HOME": "/home/a"}, "/home/a"),
    ({"HOME": "/"}, "/.warden"),
    ({"WARDEN_HOME": "/srv/../w/"}, "/w"),
    ({"WARDEN_HOME": "w"}, os.path.join(os.getcwd(), "w")),
    ({}, os.path.expanduser("~/.warden")),
])
def test_where_the_home_is(env: dict[str, str], root: str) -> None:
    assert str(home_from_env(env).root) == root


def test_every_path_is_below_the_root() -> None:
    home = Home(Path("/srv/w"))
    assert [str(path) for path in (home.run, home.logs, home.profiles, home.table, home.supervisor_conf,
                                   home.supervisor_pidfile, home.supervisor_socket, home.lock_path("gateway"))] == [
        "/srv/w/run", "/srv/w/logs", "/srv/w/profiles", "/srv/w/run/table",
        "/srv/w/run/supervisor.conf", "/srv/w/run/supervisor.pid", "/srv/w/run/supervisor.sock",
        "/srv/w/run/gateway.lock"]
    assert [home.endpoint(name) for name in ("clients", "workers", "control")] == [
        "ipc:///srv/w/run/clients.ipc", "ipc:///srv/w/run/workers.ipc", "ipc:///srv/w/run/control.ipc"]
    with pytest.raises(ValueError, match="one of clients, workers, control"):
        home.endpoint("../other")


def test_sockets_stay_in_run_while_the_longest_path_fits() -> None:
    room = SOCKET_PATH_MAX_BYTES - len(f"/run/{LONGEST_SOCKET}")
    fits, too_long = Home(Path("/" + "x" * (room - 1))), Home(Path("/" + "x" * room))
    assert fits.socket_dir == fits.run
    assert str(too_long.socket_dir).startswith(f"/tmp/warden-{os.geteuid()}/")
    assert Home(Path("/" + "é" * (room // 2))).socket_dir != fits.run.parent  # bytes are counted, not characters
    assert Home(Path("/" + "é" * room)).socket_dir.parent == too_long.socket_dir.parent
    assert Home(Path("/" + "y" * room)).socket_dir != too_long.socket_dir
    assert too_long.endpoint("clients") == f"ipc://{too_long.socket_dir}/clients.ipc"
    assert len(str(too_long.socket_dir / LONGEST_SOCKET)) <= SOCKET_PATH_MAX_BYTES


def test_two_spellings_of_a_far_home_share_its_sockets(tmp_path: Path, far_home: Home) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert Home(tmp_path / "link" / far_home.root.name).socket_dir == far_home.socket_dir


# -- what is made, and what is refused

def test_a_home_is_made_private_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        prepare_home(home)
        prepare_home(home)
    finally:
        os.umask(before)
    assert {path.name: mode(path) for path in home.root.iterdir()} == {
        "run": 0o700, "logs": 0o700, "profiles": 0o700}
    assert mode(home.root) == 0o700


def test_others_are_kept_from_looking_into_run(home: Home) -> None:
    home.run.mkdir(parents=True)
    home.run.chmod(0o755)
    prepare_home(home)
    assert mode(home.run) == 0o700


@pytest.mark.parametrize("which", ["root", "run"])
@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o770])
def test_a_directory_in_which_others_may_write_is_refused(home: Home, which: str, bits: int) -> None:
    home.run.mkdir(parents=True)
    getattr(home, which).chmod(bits)
    assert f"lets other users write (mode {bits:04o}); run `chmod go-w {getattr(home, which)}`" in refusal(home)


@pytest.mark.parametrize("which", ["root", "run"])
def test_a_symlink_is_refused(home: Home, tmp_path: Path, which: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    getattr(home, which).parent.mkdir(exist_ok=True)
    getattr(home, which).symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link; remove it, or set WARDEN_HOME" in refusal(home)


@pytest.mark.parametrize("which", ["logs", "profiles"])
def test_what_is_big_may_lie_on_another_disk(home: Home, tmp_path: Path, which: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    home.root.mkdir()
    getattr(home, which).symlink_to(tmp_path / "elsewhere")
    prepare_home(home)
    getattr(home, which).unlink()
    getattr(home, which).symlink_to(tmp_path / "missing")
    assert "is not a directory" in refusal(home)


@pytest.mark.parametrize("which", ["root", "run", "logs"])
def test_a_file_in_the_way_is_refused(home: Home, which: str) -> None:
    getattr(home, which).parent.mkdir(exist_ok=True)
    getattr(home, which).write_text("")
    assert "is not a directory; move it away" in refusal(home)


def test_a_home_that_cannot_be_made_is_one_clear_line() -> None:
    assert "cannot be made: " in refusal(Home(Path("/proc/warden")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("which", ["root", "run"])
def test_another_users_directory_is_refused(home: Home, which: str) -> None:
    home.run.mkdir(parents=True)
    os.chown(getattr(home, which), 65534, -1)
    assert "belongs to user 65534, not to you (user 0)" in refusal(home)


def test_a_parent_in_which_everybody_may_rename_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "open" / "deeper" / "home")
    home.root.parent.mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    assert f"{tmp_path}/open: lets everybody write (mode 0777) and {home.root} is below it" in refusal(home)
    (tmp_path / "open").chmod(0o1777)
    prepare_home(home)


def test_a_parent_is_checked_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "open" / "deeper").mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open" / "deeper")
    assert "lets everybody write" in refusal(Home(tmp_path / "link" / "home"))


def test_sockets_of_a_far_home_lie_in_a_private_directory_and_fit(far_home: Home) -> None:
    prepare_home(far_home)
    assert mode(far_home.socket_dir) == mode(far_home.socket_dir.parent) == 0o700
    path = far_home.socket_dir / LONGEST_SOCKET
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.unlink()


def test_a_trap_in_place_of_the_far_directory_is_refused(far_home: Home, tmp_path: Path) -> None:
    prepare_home(far_home)
    far_home.socket_dir.rmdir()
    far_home.socket_dir.symlink_to(tmp_path)
    assert "is a symbolic link" in refusal(far_home)
    far_home.socket_dir.unlink()
    far_home.socket_dir.mkdir()
    far_home.socket_dir.chmod(0o777)
    assert "lets other users write" in refusal(far_home)


# -- the secret of our own http

def test_the_secret_is_new_at_each_start_private_and_gone_means_none(home: Home) -> None:
    assert read_http_secret(home) == ""
    prepare_home(home)
    write_http_secret(home)
    first = read_http_secret(home)
    assert len(first) == 64 and mode(home.http_secret) == 0o600
    write_http_secret(home)
    assert read_http_secret(home) != first


def test_what_somebody_laid_in_its_place_is_not_written_to(home: Home, tmp_path: Path) -> None:
    prepare_home(home)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    home.http_secret.symlink_to(elsewhere)
    write_http_secret(home)
    assert elsewhere.read_text() == "theirs" and not home.http_secret.is_symlink()
