"""Scripted servers for relays: fixtures `ollama` and `victoria`, each a real process on a port of its own.

    ollama.be(mode="status", status=503)     from the next request on
    ollama.down(); ollama.up()               killed, with what it was answering; listening again on the same port
    ollama.wait_asked()                      the first request for an answer, as it was received
    ollama.wait_ended(request, "caller left")

`upstream` is each of them in turn. `started_script(kind, folder)` is the same without a fixture, for stacks that a
module shares.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.supervisor_home import ROOT, free_port, wait_until

PROBES = ("/api/tags", "/api/version", "/health")


class ScriptedProcess:
    """`kind`: ollama or victoria."""

    def __init__(self, kind: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.kind, self.port = kind, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._behaviour, self._log = folder / f"{kind}.json", folder / f"{kind}.jsonl"
        self._process: subprocess.Popen | None = None
        self._now: dict = {}
        self._log.touch()
        self.be()

    # -- what a test may do -----------------------------------------------------------------------------------

    def up(self) -> "ScriptedProcess":
        assert self._process is None, "it is up"
        command = [sys.executable, "-m", f"tests.support.scripted_{self.kind}", "--port", str(self.port),
                   "--behaviour", str(self._behaviour)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
                                         env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert self._process.stdout.readline() == "ready\n", f"the scripted {self.kind} did not start"
        return self

    def down(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def be(self, **behaviour: object) -> None:
        """Exactly so from the next request on; without anything, as it is by itself."""
        self._now = behaviour
        scratch = self._behaviour.with_suffix(".new")
        scratch.write_text(json.dumps(behaviour))
        os.replace(scratch, self._behaviour)

    def release(self) -> None:
        """Who is held (mode "hold") goes on."""
        self.be(**self._now | {"released": True})

    def forget(self) -> None:
        """Count from here on what is asked. Nothing may be on its way."""
        self._log.write_text("")

    # -- what it saw ------------------------------------------------------------------------------------------

    def lines(self, at: str) -> list[dict]:
        whole = [line for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in map(json.loads, whole) if line["at"] == at]

    def probes(self) -> list[dict]:
        return [line for line in self.lines("asked") if line["path"] in PROBES]

    def asked(self) -> list[dict]:
        """The requests for answers, in order."""
        return [line for line in self.lines("asked") if line["path"] not in PROBES]

    def wait_asked(self, count: int = 1) -> dict:
        """The `count`-th request for an answer, as soon as it is there."""
        return wait_until(f"{count} requests to {self.kind}", lambda: len(self.asked()) >= count and self.asked())[
            count - 1]

    def wait_probes(self, more: int = 1) -> None:
        """So many more signs of life are asked for."""
        before = len(self.probes())
        wait_until(f"{more} probes of {self.kind}", lambda: len(self.probes()) >= before + more)

    def wait_stuck(self, count: int = 1) -> None:
        """So many requests have come to the point where they hang or are held."""
        wait_until(f"{count} held by {self.kind}", lambda: len(self.lines("stuck")) >= count)

    def wait_ended(self, request: dict, how: str) -> None:
        """This request ended so: "finished", "caller left", "broken off"."""
        wait_until(f"{self.kind} to see: {how}", lambda: request["n"] in [line["n"] for line in self.lines(how)])


@contextmanager
def started_script(kind: str, folder: Path) -> Iterator[ScriptedProcess]:
    server = ScriptedProcess(kind, folder).up()
    try:
        yield server
    finally:
        server.down()


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[ScriptedProcess]:
    with started_script("ollama", tmp_path / "servers") as server:
        yield server


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[ScriptedProcess]:
    with started_script("victoria", tmp_path / "servers") as server:
        yield server


@pytest.fixture(params=["ollama", "victoria"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def upstream(kind: str, request: pytest.FixtureRequest) -> ScriptedProcess:
    """One after the other: each test that takes it runs over both."""
    return request.getfixturevalue(kind)
