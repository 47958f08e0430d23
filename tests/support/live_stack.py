"""A real stack in a temporary home, started by `warden up`, and the ways in which tests look at it and hurt it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from control.home import Home
from control.supervisord import Supervisord
from control.table import GatewayWords, Row, Table, TableRefused
from gateway.cli.processes import processes_of
from gateway.client import BlockingClient
from tests.support.supervisor_home import ROOT, free_port, wait_until

COMMAND_MAX_S = 90


class LiveStack:
    """One home with the product's own processes. `settings` is TOML without the port."""

    def __init__(self, folder: Path, settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home_path = folder / "home"
        self.home = str(self.home_path)  # what WARDEN_HOME is set to
        self.config_file = folder / "warden.toml"
        self.config_file.write_text(settings)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("WARDEN_", "OLLAMA_"))} | {
            "WARDEN_HOME": self.home,
            "WARDEN_CONFIG": str(self.config_file),
            "WARDEN_PORT": str(free_port()),
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
        self.warden("down", check=False)
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
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
        return self.send(request, timeout_s)

    def send(self, request: urllib.request.Request, timeout_s: float) -> tuple[int, dict]:
        """Status and JSON body, of errors too. Status 0: nobody answers on the port."""
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")
        except (urllib.error.URLError, ConnectionError):
            return 0, {}

    # -- hurting

    def kill(self, program: str, number: int = signal.SIGKILL) -> int:
        """Signal a program's process; returns the pid that was hit."""
        pid = self.pid_of(program)
        assert pid, f"{program} has no process"
        os.kill(pid, number)
        return pid

    def wait_ready(self) -> None:
        wait_until("readiness", lambda: self.get("/readyz")[0] == 200)
