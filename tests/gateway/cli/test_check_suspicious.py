"""What is legal in a configuration and hardly meant."""

from pathlib import Path

import pytest

from control.config import load_config
from gateway.cli.check_suspicious import suspicious
from tests.support.findings import told

ECHO = 'engine = "echo"\n'
A, B = f"[models.a]\n{ECHO}", f"[models.b]\n{ECHO}"


def found(tmp_path: Path, text: str, keys: int = 0) -> list:
    (tmp_path / "warden.toml").write_text(text)
    return suspicious(load_config({"HOME": str(tmp_path)}, tmp_path), keys)


@pytest.mark.parametrize(("text", "level", "words"), [
    (f'[models."a.b"]\n{ECHO}{B}aliases = ["a-b"]\n', "warning", ("b: its alias a-b", "the process of a.b")),
    (f'{A}audience = "agents"\n', "warning", ("every model is reserved",)),
    (f'{A}{B}audience = "agents"\n[categories]\ncoding = "b"\n', "warning", ("coding leads to b", "refused")),
    (f'[relays]\nollama_url = "http://h:1"\n[routing]\nchain_task = ["mlx"]\nchain_batch = ["mlx"]\n'
     f'chain_agent = ["mlx"]\n{A}', "warning", ("no chain names ollama", "[routing]")),
    (f'[routing]\nchain_task = ["mlx", "victoria"]\n{A}', "note", ("chain_task names victoria", "victoria_url")),
    (f'[server]\nhost = "0.0.0.0"\n{A}', "note", ("in the clear", "TLS")),
    (f"[server]\nrequire_key = true\n{A}", "warning", ("nobody can ask", "warden key create")),
    ('[models.a]\npath = "guide"\n[models.b]\npath = "guide"\n', "note", ("a: has the same weights as b",)),
])
def test_suspicious(tmp_path: Path, text: str, level: str, words: tuple[str, ...]) -> None:
    told(found(tmp_path, text), level, *words)


@pytest.mark.parametrize("text", [
    f"{A}{B}aliases = ['c']\n", f'{A}{B}audience = "agents"\n[categories]\ncoding = "a"\n',
    f'[relays]\nollama_url = "http://h:1"\n{A}', f"[server]\nport = 1234\n{A}"])
def test_what_is_usual_is_not(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_a_key_that_is_there_ends_the_warning(tmp_path: Path) -> None:
    assert found(tmp_path, f"[server]\nrequire_key = true\n{A}", keys=1) == []
