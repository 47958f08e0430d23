"""A program that the bench starts, and the directory it works in: both are gone when the block around them ends.

Guarantees: a program is alone in its session, so Ctrl-C reaches the bench only, which then ends what it started; one
that does not end when asked is killed. If the bench itself is killed and can clean up nothing, a shell that waits for
its end carries out the will of the directory (`add_to_will`) and removes it; programs that read orders from their
standard input (one line there, one line back) see the end themselves. No setting of a stack leaks in from the user's
environment, and nothing is downloaded. A program that fails is told in one line with the last line it wrote
(`BenchFailed`).
"""

import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # where our packages are
SETTINGS_OF_OTHERS = ("WARDEN_", "OLLAMA_", "MLX_", "SUPERVISOR_")
TERM_WITHIN_S = 10.0
KILL_WITHIN_S = 10.0
LISTEN_POLL_EVERY_S = 0.05
CONNECT_WITHIN_S = 1.0
READ_CHUNK_BYTES = 65_536
LINE_MAX_BYTES = 64 * 1024 * 1024
ENDING = (signal.SIGTERM, signal.SIGHUP)
WILL = "will.sh"
# A line is the word that all is well; the end of the pipe without one means that the bench was killed.
GUARD = f'read _ || {{ [ -e "$0/{WILL}" ] && . "$0/{WILL}"; rm -rf "$0"; }}'


class BenchFailed(Exception):
    """What was to be measured cannot be; one line for the user."""


def own_environment(**more: str) -> dict[str, str]:
    """The caller's environment without settings of stacks, with our packages on the path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(SETTINGS_OF_OTHERS)}
    inherited = [entry for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry and Path(entry) != ROOT]
    path = os.pathsep.join([str(ROOT), *inherited])
    return kept | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"} | more


def python_module(*words: str) -> list[str]:
    """The command line of `python -m WORDS` with this interpreter."""
    return [sys.executable, "-P", "-m", *words]


@contextmanager
def own_folder() -> Iterator[Path]:
    """A private directory with a short path (sockets need that), removed at the end.

    While it stands SIGTERM and SIGHUP raise SystemExit, so that they clean up as Ctrl-C does.
    """
    path = Path(tempfile.mkdtemp(prefix="wb-", dir="/tmp"))
    in_main = threading.current_thread() is threading.main_thread()
    # What is ignored stays ignored: a bench under nohup outlives its terminal.
    heeded = [number for number in ENDING if in_main and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _leave) for number in heeded}
    guard = subprocess.Popen(["/bin/sh", "-c", GUARD, str(path)], cwd="/", env=own_environment(), text=True,
                             start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    try:
        yield path
    finally:
        with undisturbed():
            shutil.rmtree(path, ignore_errors=True)
            guard.communicate("\n", KILL_WITHIN_S)
        for number, handler in before.items():
            signal.signal(number, handler)


def add_to_will(folder: Path, *command: str) -> None:
    """What is to be run if the bench is killed while this own folder stands."""
    with (folder / WILL).open("a", encoding="utf-8") as will:
        will.write(shlex.join(command) + "\n")


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Impatience must not cut the cleaning up short: Ctrl-C and the like have no effect inside. Keep it bounded."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *ENDING)} if in_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody used a moment ago."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Program:
    """One running program. `log` (in `folder`) gets what it writes, but for standard output if it `talks`."""

    def __init__(self, name: str, command: list[str], folder: Path, *, talks: bool = False) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._rest = b""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, env=own_environment(), start_new_session=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else log, stderr=log)
        if not talks:
            add_to_will(folder, "kill", str(self.pid))

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def ask(self, order: bytes, within_s: float) -> bytes:
        """Send one line to a program that talks, and wait for the line that answers it. Raises: BenchFailed."""
        try:
            self._process.stdin.write(order + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self.failed("ended") from None
        return self.next_line(within_s)

    def next_line(self, within_s: float) -> bytes:
        """The next line it writes, without its end. Raises: BenchFailed if it ends, is silent or does not stop."""
        deadline_s = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if len(self._rest) > LINE_MAX_BYTES:
                    raise self.failed(f"wrote a line of more than {LINE_MAX_BYTES} bytes")
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    raise self.failed(f"gave no answer within {within_s:g} s")
                chunk = os.read(self._process.stdout.fileno(), READ_CHUNK_BYTES)
                if not chunk:
                    raise self.failed("ended")
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def wait_listening(self, port: int, within_s: float) -> None:
        """Wait until something accepts connections on this port of 127.0.0.1. Raises: BenchFailed."""
        deadline_s = time.monotonic() + within_s
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), CONNECT_WITHIN_S).close()
                return
            except OSError:
                if not self.runs:
                    raise self.failed("ended") from None
                if time.monotonic() > deadline_s:
                    raise self.failed(f"does not listen within {within_s:g} s") from None
            time.sleep(LISTEN_POLL_EVERY_S)

    def end(self, within_s: float = TERM_WITHIN_S) -> None:
        """TERM, and KILL after `within_s`. Twice is harmless."""
        if self.runs:
            self._process.terminate()
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(KILL_WITHIN_S)
        if self._process.stdout:
            self._process.stdout.close()
        with suppress(OSError):  # an order that nobody reads any more
            self._process.stdin.close()

    def failed(self, what: str) -> BenchFailed:
        """The error that says so, with the last line of its log."""
        return BenchFailed(f"{self.name} {what}{last_line(self.log.read_text(errors='replace'))}")


def run_command(name: str, command: list[str], folder: Path, within_s: float,
                env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end; returns its standard output. A Ctrl-C is passed on to it, so that it can tidy up.

    Raises:
        BenchFailed: it took longer than `within_s`, or ended with another code than 0.
    """
    process = subprocess.Popen(command, cwd=folder, env=own_environment() if env is None else env, text=True,
                               start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    try:
        output, errors = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        raise BenchFailed(f"{name} took longer than {within_s:g} s") from None
    finally:
        if process.poll() is None:
            with undisturbed():
                _interrupt(process)
    if process.returncode:
        raise BenchFailed(f"{name} failed with code {process.returncode}{last_line(errors or output)}")
    return output


def _interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=TERM_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=KILL_WITHIN_S)


def last_line(text: str) -> str:
    """`: the last line that says something`, or nothing."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""
