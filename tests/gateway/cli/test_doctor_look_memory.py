"""Looking at memory and disks: here for real, of a Mac with a stand-in for its kernel."""

from pathlib import Path

import pytest

from control.config import load_config
from control.home import Home
from control.pressure_level import Level
from gateway.cli.doctor_look_memory import look_at_disk, look_at_memory

GIB = 1024**3


def test_memory_of_this_machine_with_the_budget_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text('[memory]\nmemory_budget_gb = 0.25\n[models.a]\nengine = "echo"\n')
    config = load_config({"HOME": str(tmp_path)}, tmp_path)
    fact = look_at_memory(config, {})
    assert fact.total_bytes >= fact.limit_bytes > 0 and fact.used_percent is not None
    assert (fact.ceiling.bytes, fact.ceiling.why) == (GIB // 4, "memory_budget_gb, as configured")
    assert look_at_memory(None, {}).ceiling.bytes > 0


def test_a_mac_is_asked_for_its_pressure_and_for_what_the_operator_gave_the_gpu() -> None:
    asked = {"iogpu.wired_limit_mb": 57_344, "kern.memorystatus_vm_pressure_level": 4}
    fact = look_at_memory(None, {}, "darwin", asked.__getitem__)
    assert (fact.wired_limit_mb, fact.device_bytes, fact.level) == (57_344, 57_344 * 1024**2, Level.CRITICAL)

    def refuse(name: str) -> int:
        raise OSError(2, "No such file or directory")

    assert look_at_memory(None, {}, "darwin", refuse).wired_limit_mb == 0


def test_injected_pressure_is_known_as_such(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("0.9")
    fact = look_at_memory(None, {"WARDEN_PRESSURE_FILE": str(tmp_path / "p")})
    assert (fact.source, fact.level) == ("file", Level.WARN)
    assert fact.used_percent == pytest.approx(90)


def test_disks_are_those_of_the_nearest_directory_that_is_there(tmp_path: Path) -> None:
    home = Home(tmp_path / "not" / "yet")
    fact = look_at_disk(home, {"HF_HOME": str(tmp_path / "hf")})
    assert [place.path for place in fact.places] == [str(home.root), str(tmp_path / "hf" / "hub")]
    assert all(place.free_bytes > 0 for place in fact.places) and fact.logs_bytes == 0
    home.logs.mkdir(parents=True)
    (home.logs / "a.log").write_text("12345")
    (home.logs / "a.log.1").write_text("123")
    assert look_at_disk(home, {}).logs_bytes == 8
