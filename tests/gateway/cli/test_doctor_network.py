"""What follows from who listens on our port, and from what Ollama and Victoria answer."""

import pytest

from gateway.cli.doctor_network import PortFact, ServerFact, check_ollama, check_port, check_victoria
from tests.support.findings import levels, told

GIB = 1024**3
PORT = PortFact("127.0.0.1", 11435, "server.port (built-in default)", "/h", "free")
OLLAMA = ServerFact("Ollama", "http://127.0.0.1:11434", True, 200, "", "0.14.2", models=7)
VICTORIA = ServerFact("Victoria", "http://127.0.0.1:8010", True, 200)


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("11435", "free")),
    ({"state": "used", "holder": "python", "pid": 7, "holder_home": "/h"}, "ok", ("this stack",)),
    ({"state": "used", "holder": "python", "pid": 7, "holder_home": "/my home"}, "problem",
     ("the warden stack in /my home", "WARDEN_HOME='/my home' warden down", "WARDEN_PORT")),
    ({"state": "used", "holder": "node", "pid": 9}, "problem", ("node (pid 9)", "stop that program")),
    ({"state": "used"}, "problem", ("in use (server.port", "stop that program")),
    ({"state": "unusable", "why": "Cannot assign requested address"}, "problem", ("Cannot assign", "WARDEN_PORT")),
])
def test_port(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_port(PORT._replace(**changes)), level, *words)


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("Ollama 0.14.2", "7 models")),
    ({"status": 401}, "ok", ("asks for a key",)),
    ({"is_warden": True, "models": 1}, "ok", ("another mlx-warden", "1 model")),
    ({"status": 0, "trouble": "Connection refused"}, "warning", ("Connection refused", "ollama serve")),
    ({"status": 500}, "warning", ("answers 500",)),
    ({"configured": False}, "note", ("no work is handed", 'ollama_url = "http://127.0.0.1:11434"')),
    ({"configured": False, "status": 0, "trouble": "Connection refused"}, "ok", ("none is configured",)),
    ({"configured": False, "status": 404}, "ok", ("none is configured",)),
    ({"loaded": (("a:1b", GIB), ("b", 2 * GIB)), "keep_alive": "-1"}, "note",
     ("a:1b, b hold 3.0 GiB", "OLLAMA_KEEP_ALIVE=-1", "ollama stop a:1b")),
    ({"wanted": ("moondream",)}, "note", ("has no moondream", "ollama pull moondream")),
])
def test_ollama(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_ollama(OLLAMA._replace(**changes)), level, *words)


def test_memory_of_another_machine_is_not_ours() -> None:
    away = OLLAMA._replace(url="http://10.0.0.9:11434", is_here=False, loaded=(("a", GIB),))
    assert levels(check_ollama(away)) == ["ok"]


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("answers",)), ({"configured": False}, "note", ("victoria_url",)),
    ({"status": 0, "trouble": "silent for 0.6 s"}, "warning", ("silent", "answered here")),
    ({"configured": False, "status": 0}, "ok", ("none is configured",)),
])
def test_victoria(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_victoria(VICTORIA._replace(**changes)), level, *words)
