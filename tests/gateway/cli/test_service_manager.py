"""Installing and removing: which file is written, who is asked what, and that nothing foreign is touched."""

import os
import stat
from pathlib import Path

import pytest

from gateway.cli.exits import CommandFailed
from gateway.cli.service_files import Service
from gateway.cli.service_manager import (
    ABSENT,
    FOREIGN,
    LAUNCHD,
    OURS,
    OUTDATED,
    SYSTEMD,
    Placed,
    choose_manager,
    gone_python,
    install,
    is_active,
    place,
    remove,
    state_of,
)
from tests.support.service_managers import Managers

UID = os.getuid()


@pytest.fixture
def managers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managers:
    managers = Managers(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return managers


def placed_by(manager: str, tmp_path: Path, stop_wait_s: int = 100) -> Placed:
    service = Service(str(tmp_path / "home"), "/bin/sh", {"WARDEN_HOME": str(tmp_path / "home")}, stop_wait_s)
    return place(service, manager, {"HOME": str(tmp_path)})


def test_where_files_belong(tmp_path: Path) -> None:
    assert placed_by(LAUNCHD, tmp_path).path == tmp_path / "Library/LaunchAgents/org.mlx-warden.plist"
    assert placed_by(SYSTEMD, tmp_path).path == tmp_path / ".config/systemd/user/mlx-warden.service"
    assert choose_manager("darwin") == LAUNCHD


def test_systemd_is_told_to_read_enable_and_start_and_later_the_contrary(tmp_path: Path, managers: Managers) -> None:
    placed, said = placed_by(SYSTEMD, tmp_path), []
    install(placed, True, said.append)
    assert managers.asked() == ["systemctl --user show-environment", "systemctl --user daemon-reload",
                                "systemctl --user enable --now mlx-warden.service"]
    assert said == [f"wrote {placed.path}", "ran systemctl --user daemon-reload",
                    "ran systemctl --user enable --now mlx-warden.service"]
    assert placed.path.read_bytes() == placed.data and stat.S_IMODE(placed.path.stat().st_mode) == 0o644
    written = placed.path.stat().st_ino
    install(placed, False, said.append)
    assert placed.path.stat().st_ino == written and managers.asked()[-1] == "systemctl --user enable mlx-warden.service"
    assert remove(placed, said.append) and not placed.path.exists()
    assert managers.asked()[1:] == ["systemctl --user disable --now mlx-warden.service",
                                    "systemctl --user daemon-reload"]
    assert not remove(placed, said.append) and managers.asked() == []
    assert list(placed.path.parent.iterdir()) == []


def test_launchd_is_given_the_agent_and_a_running_one_is_replaced(tmp_path: Path, managers: Managers) -> None:
    placed, said, target = placed_by(LAUNCHD, tmp_path), [], f"gui/{UID}/org.mlx-warden"
    install(placed, True, said.append)
    bootstrap = f"launchctl bootstrap gui/{UID} {placed.path}"
    assert managers.asked() == [f"launchctl print gui/{UID}", f"launchctl enable {target}", f"launchctl print {target}",
                                bootstrap]
    assert not is_active(placed)
    managers.run_it()
    assert is_active(placed) and managers.asked()
    install(placed, True, said.append)
    assert managers.asked()[-2:] == [f"launchctl bootout {target}", bootstrap]
    assert remove(placed, said.append) and managers.asked()[-1] == f"launchctl bootout {target}"
    assert not placed.path.exists()


@pytest.mark.parametrize("manager", [SYSTEMD, LAUNCHD])
def test_what_somebody_else_wrote_is_left_alone(tmp_path: Path, managers: Managers, manager: str) -> None:
    placed = placed_by(manager, tmp_path)
    assert state_of(placed) == ABSENT
    placed.path.parent.mkdir(parents=True)
    placed.path.write_text("mine")
    assert state_of(placed) == FOREIGN
    for act in (lambda: install(placed, True, print), lambda: remove(placed, print)):
        with pytest.raises(CommandFailed, match="move it away"):
            act()
    assert placed.path.read_text() == "mine" and managers.asked() == []
    placed.path.rename(tmp_path / "elsewhere")
    placed.path.symlink_to(tmp_path / "elsewhere")
    assert state_of(placed) == FOREIGN


@pytest.mark.parametrize("manager", [SYSTEMD, LAUNCHD])
def test_other_settings_make_it_outdated_and_install_renews_it(
        tmp_path: Path, managers: Managers, manager: str) -> None:
    install(placed_by(manager, tmp_path), False, lambda line: None)
    later = placed_by(manager, tmp_path, stop_wait_s=200)
    assert state_of(later) == OUTDATED
    install(later, False, lambda line: None)
    assert state_of(later) == OURS and gone_python(later) == ""


def test_an_interpreter_that_is_gone_is_named(tmp_path: Path) -> None:
    placed = place(Service("/h", str(tmp_path / "python"), {}, 1), SYSTEMD, {"HOME": str(tmp_path)})
    assert gone_python(placed) == ""
    placed.path.parent.mkdir(parents=True)
    placed.path.write_bytes(placed.data)
    assert gone_python(placed) == str(tmp_path / "python")


def test_a_manager_that_does_not_answer_is_found_before_anything_is_written(
        tmp_path: Path, managers: Managers) -> None:
    managers.fail("show-environment", "Failed to connect to bus: No medium found")
    placed = placed_by(SYSTEMD, tmp_path)
    with pytest.raises(CommandFailed, match="No medium found.*--print > "):
        install(placed, True, print)
    assert not placed.path.exists()


def test_an_order_that_fails_is_told_with_its_words(tmp_path: Path, managers: Managers) -> None:
    managers.fail("bootstrap", "Bootstrap failed: 5: Input/output error")
    said: list[str] = []
    with pytest.raises(CommandFailed, match="launchctl bootstrap .* failed: Bootstrap failed: 5"):
        install(placed_by(LAUNCHD, tmp_path), True, said.append)
    managers.mend("bootstrap")
    install(placed_by(LAUNCHD, tmp_path), True, said.append)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, managers: Managers) -> None:
    (tmp_path / ".config").write_text("a file")
    with pytest.raises(CommandFailed, match="cannot be written"):
        install(placed_by(SYSTEMD, tmp_path), True, print)
