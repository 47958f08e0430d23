"""What is said once a stack answers; and a first model is suggested that fits the machine."""

from pathlib import Path

import pytest

from control.budget import Ceiling
from control.config import load_config
from gateway.cli.first_model import SUGGESTED, add_a_model, choose_suggestion, warden_as_called, where_lines
from tests.support.found_models import CEILINGS


@pytest.mark.parametrize(("memory_gb", "repository"), [
    (8, "mlx-community/Qwen3-4B-4bit"), (16, "mlx-community/Qwen3-8B-4bit"), (64, "mlx-community/Qwen3-30B-A3B-4bit")])
def test_the_suggested_model_fits_the_machine(memory_gb, repository):
    assert choose_suggestion(CEILINGS[memory_gb]).repository == repository
    lines = add_a_model(CEILINGS[memory_gb], ".venv/bin/warden")
    assert lines[-2:] == [f"  .venv/bin/warden pull {repository}", f"  .venv/bin/warden run {repository}"]


def test_the_suggestions_are_ordered_and_a_machine_too_small_is_told_so():
    sizes = [each.facts.tensor_bytes for each in SUGGESTED]
    assert sizes == sorted(sizes, reverse=True)
    assert "No model of a useful size" in add_a_model(Ceiling(1, "as configured"), "warden")[-1]
    assert add_a_model(CEILINGS[8], "warden", own=True)[-1] == (
        "To serve your own: warden init --yes && warden down && warden up")


def test_addresses_and_next_steps(tmp_path):
    (tmp_path / "warden.toml").write_text('[models.a]\nengine = "echo"\n[models.b]\nengine = "echo"\n'
                                          '[models.c]\nengine = "echo"\naudience = "agents"\n')
    config = load_config({"WARDEN_HOME": str(tmp_path)}, tmp_path)
    lines = where_lines("http://127.0.0.1:1", "ipc:///c", config, "warden")
    assert lines[0].split() == ["dashboard", "http://127.0.0.1:1/"] and lines[1].endswith("/chat")
    assert lines[3].endswith("a, when a request names none; 1 more: warden ls") and "warden run" in lines[4]


def test_the_command_is_called_by_name_if_the_shell_finds_it_and_by_path_otherwise(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "warden").write_text("#!/bin/sh\n")
    (tmp_path / "warden").chmod(0o700)
    called = str(tmp_path / "warden")
    monkeypatch.setenv("PATH", "/nowhere")
    assert warden_as_called(called) == called
    monkeypatch.setenv("PATH", str(tmp_path))
    assert warden_as_called(called) == "warden" == warden_as_called("/x/main.py")
