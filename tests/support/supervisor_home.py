"""A home with a real supervisord whose programs are stand-ins, and the waiting that tests of it need.

`Playground` owns one home in a temporary directory: a configuration with echo models, a stand-in for the Python
interpreter that plays every program (`stand_in_program.py`), and a file of what was started. It ends every process of
its home, however the test ends.
"""

import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from control.config import Config, load_config
from control.home import Home, prepare_home
from control.supervisord import (
    ProcessFact,
    ProcessState,
    Supervisord,
    SupervisordFault,
    SupervisordGone,
    child_environment,
    render,
    template_path,
)
from gateway.cli.processes import processes_of

DEADLINE_S = 20.0
POLL_EVERY_S = 0.02
FIRST_PORT, PORTS = 21_000, 1_000
PASSWORD = "0123456789abcdef"
ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def wait_until(what: str, look: Callable[[], T], deadline_s: float = DEADLINE_S) -> T:
    """Look again and again until the answer is true; returns it. Fails the test at the deadline."""
    give_up_s = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > give_up_s:
            raise AssertionError(f"waited {deadline_s:g} s in vain for: {what}")
        time.sleep(POLL_EVERY_S)
    return found


def free_port() -> int:
    """A port that nobody holds. Tests run beside each other: each process draws from PORTS of its own.

    They lie below those that the kernel hands out by itself, so nobody gets one of them by chance in the meantime.
    """
    first = FIRST_PORT + PORTS * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in random.sample(range(first, first + PORTS), PORTS):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port from {first} to {first + PORTS} is free")


class Playground:
    """One home. `models` are the names of its echo models."""

    def __init__(self, folder: Path, models: tuple[str, ...] = ("a",), settings: str = "") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        tables = "".join(f'[models.{name}]\nengine = "echo"\n' for name in models)
        self.config_file = folder / "warden.toml"
        self.config_file.write_text(f"{settings}\n{tables}")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("WARDEN_")},
            "WARDEN_HOME": str(folder / "home"),
            "WARDEN_CONFIG": str(self.config_file),
            "WARDEN_PORT": str(free_port()),
            "PYTHONPATH": str(ROOT),
        }
        self.config: Config = load_config(self.env, folder)
        self.home = Home(folder / "home")
        self.supervisord = Supervisord(self.home)
        self.python = folder / "python"
        play = Path(__file__).with_name("stand_in_program.py")
        words = shlex.join([sys.executable, "-P", str(play), str(folder)])
        self.python.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        self.python.chmod(0o700)
        self.plan()

    def plan(self, **plans: str) -> None:
        """What each program does, `worker_a="exit 0"`; `all` is for those not named. See stand_in_program.py."""
        named = {"*" if key == "all" else key.replace("_", "-"): value for key, value in plans.items()}
        (self.folder / "plan.json").write_text(json.dumps(named))

    def starts(self, program: str) -> int:
        """How often the program was started."""
        try:
            lines = (self.folder / "starts").read_text().splitlines()
        except FileNotFoundError:
            return 0
        return sum(line.split()[0] == program for line in lines)

    def run_supervisord(self) -> None:
        """Render and start, as `warden up` does, without waiting for anything to be ready."""
        prepare_home(self.home)
        environment = child_environment(self.env, self.folder, self.home, self.config_file)
        self.home.supervisor_conf.write_text(render(
            self.config, self.home, str(self.python), template_path().read_text(), password=PASSWORD,
            environment=environment,
        ))
        command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(self.home.supervisor_conf)]
        env = {**self.env, **environment, "SUPERVISOR_PROCESS_NAME": "supervisord"}
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=DEADLINE_S)

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """supervisorctl with the rendered file."""
        command = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(self.home.supervisor_conf), *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def fact(self, name: str) -> ProcessFact:
        return self.supervisord.processes()[name]

    def wait_for(self, name: str, *states: ProcessState) -> ProcessFact:
        """The fact of a process once it is in one of the states."""
        def look() -> ProcessFact | None:
            fact = self.fact(name)
            return fact if fact.state in states else None

        return wait_until(f"{name} in {[state.name for state in states]}", look)

    def end(self) -> None:
        """Kill whatever still runs for this home. A child of a supervisord that lives on would be started again."""
        try:
            self.supervisord.shutdown()
        except (SupervisordGone, SupervisordFault):
            pass  # not running, or stopping already

        def kill_all() -> bool:
            left = processes_of(self.home)
            try:
                self.supervisord.pid()  # wakes it up, so that it notices what has ended
            except (SupervisordGone, SupervisordFault):
                pass  # as above
            for pid, name in left.items():
                if name != "supervisord":
                    _kill(pid)
            return not left

        try:
            wait_until("the end of all processes", kill_all, deadline_s=5.0)
        except AssertionError:
            for pid in processes_of(self.home):
                _kill(pid)
            raise


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended meanwhile
