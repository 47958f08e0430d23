"""A server of the real `ollama` program, on a port and with a folder of models of its own.

Its one model is made of our built-in model (`workers/guide/model`), so nothing has to be fetched, and what the user has
is neither used nor touched. A backend of the conformance suite (`tests/support/backends.py`).
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.backends import BATCH_MAX, ECHO, RELAYS, Backend
from tests.support.supervisor_home import ROOT, free_port, wait_until
from workers.protocol import Remote

MODEL = "warden-guide:latest"
CREATE_MAX_S = 300
START_WITHIN_S = 60.0
TEMPLATE = '''FROM {weights}
TEMPLATE """{{{{ .Prompt }}}}"""
PARAMETER num_ctx 256
'''


class RealOllama(Backend):
    """It cannot be told to be slow; its model answers a question in many tokens."""

    slug, is_relay, is_repeat, slow_tokens, endless_tokens = "relay-ollama", True, True, 200, 200
    models = [MODEL]
    refused = ({}, "model_not_found")

    def __init__(self, url: str) -> None:
        self.settings = ECHO + RELAYS % ("ollama", url, "ollama", "")
        self._model = MODEL

    def slow(self) -> str:
        return "How do I add a model?"

    endless = slow

    def plain(self) -> None:
        self._model = MODEL

    def refuse(self) -> None:
        self._model = "nobody"

    def remote(self, number: int) -> Remote:
        return Remote(self._model, 1, f"req-{number}")


@contextmanager
def real_ollama(folder: Path) -> Iterator[RealOllama]:
    """Skips the test where there is no `ollama`, or none that can make a model of ours."""
    program = shutil.which("ollama")
    if program is None:
        pytest.skip("the program `ollama` is not on PATH")
    address = f"127.0.0.1:{free_port()}"
    env = os.environ | {"OLLAMA_HOST": address, "OLLAMA_MODELS": str(folder / "models"), "HOME": str(folder),
                        "OLLAMA_NUM_PARALLEL": str(BATCH_MAX)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "serve"], env=env, stdout=log, stderr=log)
    try:
        wait_until("ollama to listen", lambda: run(program, env, "list").returncode == 0, START_WITHIN_S)
        (folder / "Modelfile").write_text(TEMPLATE.format(weights=ROOT / "workers/guide/model"))
        made = run(program, env, "create", MODEL, "-f", str(folder / "Modelfile"))
        if made.returncode:
            pytest.skip(f"this ollama makes no model of ours: {made.stderr[-300:]}")
        yield RealOllama(f"http://{address}")
    finally:
        server.terminate()
        server.wait()


def run(program: str, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], env=env, capture_output=True, text=True, timeout=CREATE_MAX_S)
