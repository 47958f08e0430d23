"""A real stack in a temporary home, started by `warden up`, and the ways in which tests look at it and hurt it.

The pressure of memory is what `press` said last, at first NORMAL_PRESSURE: how short of memory the machine is that runs
the tests changes nothing. Failpoints can be armed in every process (`control/failpoints.py` says what they are).
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from control.home import Home
from control.states import Phase
from control.supervisord import Supervisord
from control.table import ControlWords, GatewayWords, Row, Table, TableRefused
from gateway.cli.processes import processes_of
from gateway.client import BlockingClient, GatewayError
from tests.support import armed
from tests.support.supervisor_home import ROOT, free_port, wait_until

COMMAND_MAX_S = 90
NORMAL_PRESSURE = 0.3


class Reply(NamedTuple):
    """An answer over HTTP. `status` 0: nobody answers on the port. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: dict


class LiveStack:
    """One home with the product's own processes. `settings` is TOML without the port."""

    def __init__(self, folder: Path, settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home_path = folder / "home"
        self.home = str(self.home_path)  # what WARDEN_HOME is set to
        self.config_file = folder / "warden.toml"
        self.config_file.write_text(settings)
        self.failpoints, self._pressure = folder / "failpoints", folder / "pressure"
        self.failpoints.mkdir(exist_ok=True)
        self.press(NORMAL_PRESSURE)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("WARDEN_", "OLLAMA_"))} | {
            "WARDEN_HOME": self.home,
            "WARDEN_CONFIG": str(self.config_file),
            "WARDEN_PORT": str(free_port()),
            "WARDEN_PRESSURE_FILE": str(self._pressure),
            "WARDEN_FAILPOINTS": str(self.failpoints),
            "PYTHONPATH": str(ROOT),
        }
        self.paths = Home(self.home_path)
        self.url = f"http://127.0.0.1:{self.env['WARDEN_PORT']}"
        self.supervisord = Supervisord(self.paths)

    def warden(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "gateway.cli.main", *words]
        ran = subprocess.run(command, env=self.env, cwd=self.home_path.parent, capture_output=True, text=True,
                             timeout=COMMAND_MAX_S, stdin=subprocess.DEVNULL)
        assert not check or ran.returncode == 0, f"warden {words} gave {ran.returncode}: {ran.stderr}{self.logs()}"
        return ran

    def up(self) -> "LiveStack":
        self.warden("up")
        return self

    def down(self) -> None:
        self.warden("down")

    def end(self) -> None:
        """Whatever happened, nothing of this home stays."""
        try:
            self.warden("down", check=False)
        except subprocess.TimeoutExpired:
            pass  # the test that hangs `down` has failed by now; what it left is killed below
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was on its way out

    def logs(self, lines: int = 25) -> str:
        """The end of every log, for the message of a failed test."""
        text = ""
        for path in sorted(self.paths.logs.glob("*.log")):
            last = path.read_text(errors="replace").splitlines()[-lines:]
            text += "\n".join([f"\n--- {path.name}", *last])
        return text

    # -- looking

    def processes(self) -> dict[int, str]:
        return processes_of(self.paths)

    def client(self) -> BlockingClient:
        return BlockingClient(self.paths.endpoint("clients"))

    def row(self, slug: str) -> Row | None:
        """As the table says now; None while there is no sound table."""
        try:
            with closing(Table.open(self.paths.table)) as table:
                return next((row for row in table.snapshot().rows if row.name == slug), None)
        except TableRefused:
            return None

    def boot_id(self) -> int:
        """Of the table that stands there; 0 while there is no sound one."""
        try:
            with closing(Table.open(self.paths.table)) as table:
                return table.boot_id
        except TableRefused:
            return 0

    def gateway_words(self) -> GatewayWords:
        with closing(Table.open(self.paths.table)) as table:
            return table.read(GatewayWords)

    def control_words(self) -> ControlWords:
        with closing(Table.open(self.paths.table)) as table:
            return table.read(ControlWords)

    def phase(self, slug: str) -> Phase | None:
        """The effective one now; None: not known."""
        row = self.row(slug)
        return row.phase(time.monotonic_ns()) if row else None

    def wait_phase(self, slug: str, *phases: Phase, deadline_s: float = 20.0) -> None:
        wanted = " or ".join(phase.name for phase in phases)
        wait_until(f"{slug} to be {wanted}", lambda: self.phase(slug) in phases, deadline_s)

    def journal(self, event: str, process: str = "control", **fields: object) -> list[dict]:
        """The lines of a process's journal about `event` with these fields, in order."""
        lines = (self.paths.logs / f"{process}.log").read_text().splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{") and f'"{event}"' in line]
        return [each for each in told if each["event"] == event and fields.items() <= each.items()]

    def wait_journal(self, event: str, count: int = 1, **fields: object) -> list[dict]:
        """The same, once there are so many: a line comes by supervisord's pipe, later than what it tells of."""
        return wait_until(f"{count} x {event} in the journal", lambda: (
            lines if len(lines := self.journal(event, **fields)) >= count else None))

    def pid_of(self, program: str) -> int:
        """The live process of a program, 0 if there is none."""
        fact = self.supervisord.processes()[program]
        return fact.pid

    def starts_of(self, slug: str) -> int:
        """How often supervisord spawned this worker, by its own log."""
        log = (self.paths.logs / "supervisord.log").read_text()
        return log.count(f"spawned: 'worker-{slug}'")

    def get(self, path: str, timeout_s: float = 30.0, **headers: str) -> tuple[int, dict]:
        return self.send(urllib.request.Request(self.url + path, headers=headers), timeout_s)

    def post(self, path: str, body: dict, timeout_s: float = 60.0, **headers: str) -> tuple[int, dict]:
        reply = self.ask_http(path, body, timeout_s, **headers)
        return reply.status, reply.body

    def ask_http(self, path: str, body: dict, timeout_s: float = 60.0, **headers: str) -> Reply:
        """POST `body`; `X_Name=value` becomes the header X-Name."""
        sent = {"Content-Type": "application/json"} | {key.replace("_", "-"): text for key, text in headers.items()}
        return self.exchange(urllib.request.Request(self.url + path, json.dumps(body).encode(), sent), timeout_s)

    def send(self, request: urllib.request.Request, timeout_s: float) -> tuple[int, dict]:
        """Status and JSON body, of errors too. Status 0: nobody answers on the port."""
        reply = self.exchange(request, timeout_s)
        return reply.status, reply.body

    def exchange(self, request: urllib.request.Request, timeout_s: float) -> Reply:
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return Reply(answer.status, _lower(answer.headers), json.loads(answer.read() or b"{}"))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, _lower(error.headers), json.loads(error.read() or b"{}"))
        except (urllib.error.URLError, ConnectionError):
            return Reply(0, {}, {})

    # -- hurting

    def kill(self, program: str, number: int = signal.SIGKILL) -> int:
        """Signal a program's process; returns the pid that was hit."""
        pid = self.pid_of(program)
        assert pid, f"{program} has no process"
        os.kill(pid, number)
        return pid

    def press(self, used: float) -> None:
        """From now on memory is used so far, 0..1."""
        scratch = self._pressure.with_suffix(".new")
        scratch.write_text(str(used))
        os.rename(scratch, self._pressure)

    def calm(self) -> None:
        """Memory is not short any more, and control knows it."""
        self.press(NORMAL_PRESSURE)
        wait_until("pressure to be over", lambda: not (
            (words := self.control_words()).pressure_level or words.overload))

    def arm(self, name: str, action: str) -> None:
        """The next process that passes this failpoint is killed, stopped or made to fail there."""
        armed.arm(self.failpoints, name, action)

    def wait_acted(self, name: str) -> None:
        wait_until(f"somebody at {name}", lambda: armed.has_acted(self.failpoints, name))

    @contextmanager
    def frozen(self, program: str) -> Iterator[int]:
        """Its process stands still meanwhile (SIGSTOP, SIGCONT); gives its pid."""
        pid = self.kill(program, signal.SIGSTOP)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)

    def load(self, *slugs: str) -> None:
        """Loads them, one after the other."""
        with self.client() as client:
            for slug in slugs:
                client.load(slug)

    def evict(self, slug: str) -> None:
        """As soon as it has let go of what it answered last."""
        with self.client() as client:
            wait_until(f"{slug} to be evicted", lambda: self._is_evicted(client, slug))

    @staticmethod
    def _is_evicted(client: BlockingClient, slug: str) -> bool:
        try:
            client.evict(slug)
        except GatewayError as error:
            if error.code != "model_busy":
                raise
            return False
        return True

    def wait_ready(self) -> None:
        """Says nothing of relays, which start beside http: `wait_relay`."""
        wait_until("readiness", lambda: self.get("/readyz")[0] == 200)

    def wait_relay(self, backend: str) -> None:
        """Until its relay runs and the server behind it answers."""
        wait_until(f"the relay to {backend}", lambda: self.get("/health")[1]["backends"][backend]["healthy"])


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}
