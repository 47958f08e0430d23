"""What `warden up` prints about real models can be pasted into a shell, whatever the paths and the cache are."""

import subprocess
import tomllib
from pathlib import Path

from gateway.cli.first_model import LISTED_MAX, SUGGESTED, add_a_model, programs_as_called


def pasted(text: str, start: str) -> str:
    (line,) = [line.strip() for line in text.splitlines() if line.strip().startswith(start)]
    return line


def test_the_printf_line_writes_a_table_that_names_a_model(tmp_path: Path) -> None:
    file = tmp_path / "a home" / "warden.toml"
    file.parent.mkdir()
    text = add_a_model(file, [], "warden", "hf")
    subprocess.run(pasted(text, "printf"), shell=True, check=True)
    assert tomllib.loads(file.read_text()) == {"models": {"qwen3-4b-4bit": {"path": SUGGESTED}}}
    assert pasted(text, "warden").split(" && ") == ["warden check", "warden down", "warden up"]


def test_a_model_that_is_in_the_cache_is_taken_and_need_not_be_fetched() -> None:
    text = add_a_model(Path("/w.toml"), ["a/gguf", "mlx-community/Phi-3.5"], "warden", "hf")
    assert 'path = "mlx-community/Phi-3.5"' in text and "holds a/gguf, mlx-community/Phi-3.5)" in text
    assert "download" not in text
    many = [f"org/model-{number}" for number in range(LISTED_MAX + 1)]
    assert many[-1] not in (text := add_a_model(Path("/w.toml"), many, "warden", "hf")) and ", ...)" in text
    assert f"hf download {SUGGESTED}" in add_a_model(Path("/w.toml"), [], "warden", "hf")


def test_programs_are_called_by_name_if_the_shell_finds_them_and_by_path_otherwise(tmp_path, monkeypatch) -> None:
    for name in ("warden", "hf"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
    called = str(tmp_path / "warden")
    monkeypatch.setenv("PATH", "/nowhere")
    assert programs_as_called(called) == (called, str(tmp_path / "hf"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs_as_called(called) == ("warden", "hf")
    assert programs_as_called("/x/main.py") == ("warden", "hf")
