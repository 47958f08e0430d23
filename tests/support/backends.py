"""The backends of the conformance suite: how each is configured, and what makes it answer long, refuse, or stop.

A `Backend` says how to ask; the process that is asked is `tests/support/backend_process.py`'s. What is behind a relay
is a real server: scripted, or a second stack of ours.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.backend_process import BackendProcess
from tests.support.live_stack import LiveStack
from tests.support.models import model_path
from tests.support.relay_fixtures import ScriptedProcess, started_script
from tests.support.supervisor_home import wait_until
from workers.protocol import Remote

BATCH_MAX = 3
SLOW = "#tokens=60 #rate=60"
ENDLESS = "#tokens=1000000 #rate=60"
ECHO = '[models.near]\nengine = "echo"\ncontext_length = 2000000\nbatch_size = 3\n'
FAR = '[control]\nprewarm = 0\n[models.far]\nengine = "echo"\ncontext_length = 2000000\npreload = true\n'
RELAYS = f"""
[relays]
%s_url = "%s"
%s_max_running = {BATCH_MAX - 1}
relay_connect_s = 5
relay_first_byte_s = 30
relay_idle_s = 30
relay_probe_every_s = 0.1
%s
"""


class Backend:
    """`models`: what its hello says. `refused`: what it is asked for to refuse, and the code it does that with.

    `is_repeat`: its process decides as that of another one does. `slow_tokens`, `endless_tokens`: how long an answer is
    of a model that cannot be told to be slow.
    """

    slug, settings, is_relay, is_repeat = "near", ECHO, False, False
    models: list[str] | None = None
    counts_tokens, slow_tokens, endless_tokens = True, 700, 1500
    refused: tuple[dict, str] = ({"text": "word " * 2_000_001}, "context_length_exceeded")

    def slow(self) -> str:
        """The text of a job that goes on until `release`, or for about a second."""
        return SLOW

    def endless(self) -> str:
        return ENDLESS

    def plain(self) -> None:
        """From now on answers end by themselves."""

    def refuse(self) -> None:
        """The next job is refused, if it is asked as `refused` says."""

    def release(self) -> None:
        """What is slow goes on to its end."""

    def remote(self, number: int) -> Remote | None:
        return None

    def wait_left(self, process: BackendProcess, number: int) -> None:
        """The server behind it has seen that this job was given up."""
        process.wait_row("no job in hand", lambda row: row.active == 0)


class MlxBackend(Backend):
    is_repeat = True
    settings = f'[models.near]\npath = "{model_path("1m")}"\ncontext_length = 4096\nbatch_size = 3\n'
    refused = ({"text": "word " * 5000}, "context_length_exceeded")

    def slow(self) -> str:
        return "Tell me"

    endless = slow


class ScriptedBackend(Backend):
    """A relay to a scripted server of either kind."""

    is_relay = True

    def __init__(self, server: ScriptedProcess, more: str = "") -> None:
        self.server = server
        self.slug = f"relay-{server.kind}"
        self.settings = ECHO + RELAYS % (server.kind, server.url, server.kind, more)
        self.models = ["llama3.2:1b"] if server.kind == "ollama" else ["victoria"]
        self.counts_tokens = server.kind == "ollama"
        self.refused = ({}, "invalid_request")

    def slow(self) -> str:
        self.server.be(mode="hold")
        return "hello"

    endless = slow

    def plain(self) -> None:
        self.server.be()

    def refuse(self) -> None:
        self.server.be(mode="status", status=400)

    def release(self) -> None:
        self.server.release()

    def remote(self, number: int) -> Remote:
        return Remote(self.models[0], 1, f"req-{number}")

    def asked(self, number: int) -> dict:
        """The request of that job, once the server has it."""
        names = ("x-request-id", "x-correlation-id")

        def look() -> dict | None:
            return next((each for each in self.server.asked() if f"req-{number}" in [
                each["headers"].get(name) for name in names]), None)

        return wait_until(f"request {number} at {self.server.kind}", look)

    def wait_left(self, process: BackendProcess, number: int) -> None:
        self.server.wait_ended(self.asked(number), "caller left")
        super().wait_left(process, number)


class WardenBackend(Backend):
    """A relay to another stack of ours, as if it stood on another machine."""

    slug, is_relay, is_repeat = "relay-ollama", True, True
    models = ["far:latest"]
    refused = ({}, "model_not_found")

    def __init__(self, stack: LiveStack) -> None:
        self.stack, self._model = stack, "far"
        self.settings = ECHO + RELAYS % ("ollama", stack.url, "ollama", "")

    def plain(self) -> None:
        self._model = "far"

    def refuse(self) -> None:
        self._model = "nobody"

    def remote(self, number: int) -> Remote:
        return Remote(self._model, 1, f"req-{number}")

    def wait_left(self, process: BackendProcess, number: int) -> None:
        wait_until("the other stack to be idle", lambda: self.stack.row("far").worker.active == 0)
        super().wait_left(process, number)


@contextmanager
def plain(kind: type[Backend], folder: Path) -> Iterator[Backend]:
    yield kind()


@contextmanager
def scripted(kind: str, folder: Path) -> Iterator[Backend]:
    with started_script(kind, folder) as server:
        yield ScriptedBackend(server)


@contextmanager
def second_stack(kind: str, folder: Path) -> Iterator[Backend]:
    stack = LiveStack(folder / "far", FAR)
    try:
        stack.up()
        stack.wait_ready()
        yield WardenBackend(stack)
    finally:
        stack.end()


BACKENDS: dict[str, tuple[Callable, object]] = {
    "echo": (plain, Backend),
    "ollama": (scripted, "ollama"),
    "victoria": (scripted, "victoria"),
    "mlx": (plain, MlxBackend),
    "warden": (second_stack, ""),
}
