"""One backend in its real process, between a control and a gateway that the test plays over the real sockets.

What the process says is read by `wait` alone, and kept: `frames` from the gateway's side, `reports` from control's. A
hello that does not know the gateway's epoch is welcomed by itself, as the gateway does it. Everything ends with `end`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import zmq

from control import messages
from control.home import home_from_env, prepare_home
from control.sockets import open_router
from control.states import Phase
from control.table import ControlWords, GatewayWords, RowWorker, Table
from tests.support.supervisor_home import ROOT
from workers import protocol as jobs
from workers.protocol import FRAME_MAX_BYTES, ChatMessage, Remote, Sampling

WITHIN_S = 30.0
POLL_MS = 20
BOOT, CONTROL_EPOCH, INCARNATION, FIRST_EPOCH = 77, 5, 7, 1000
T = TypeVar("T")


class Said:
    """All that was said about one attempt of a job."""

    def __init__(self, frames: list, epoch: int, number: int, attempt: int) -> None:
        about = [frame for frame in frames if getattr(frame, "epoch", 0) == epoch]
        self.of_job = [frame for frame in about if (getattr(frame, "job", 0), getattr(frame, "attempt", 0)) == (
            number, attempt)]
        self.items = [item for frame in about if isinstance(frame, jobs.Step) for item in frame.items
                      if (item.job, item.attempt) == (number, attempt)]

    def one(self, kind: type[T]) -> T | None:
        return next((frame for frame in self.of_job if isinstance(frame, kind)), None)

    @property
    def notes(self) -> list[tuple[str, str]]:
        return [(frame.kind, frame.text) for frame in self.of_job if isinstance(frame, jobs.Note)]

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.items)

    @property
    def end(self) -> jobs.End | None:
        return self.items[-1].end if self.items else None

    def has_gap(self) -> bool:
        """A position counts ids; of a relay, which has none, its pieces."""
        expected = 0
        for item in self.items:
            if item.position != expected:
                return True
            expected += len(item.ids) or bool(item.text or item.more)
        return False


class BackendProcess:
    """`slug` is the row; `settings` TOML in which it is configured. Not started yet."""

    def __init__(self, folder: Path, slug: str, settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "warden.toml").write_text(settings)
        self.slug, self.epoch, self.frames, self.reports = slug, FIRST_EPOCH, [], []
        self._over: set[tuple[int, int, int]] = set()  # epoch, job, attempt
        self._env = {**os.environ, "WARDEN_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT),
                     "WARDEN_CONFIG": str(folder / "warden.toml")}
        home = home_from_env(self._env)
        prepare_home(home)
        self.table = Table.create(home.table, BOOT)
        self.table.name_row(0, slug)
        self._write(ControlWords, epoch=CONTROL_EPOCH)
        self._write(GatewayWords, epoch=self.epoch)
        self._context = zmq.Context()
        self._control = open_router(self._context, home.endpoint("control"), messages.FRAME_MAX_BYTES)
        self._gateway = open_router(self._context, home.endpoint("workers"), FRAME_MAX_BYTES)
        self._poller = zmq.Poller()
        self._poller.register(self._control, zmq.POLLIN)
        self._poller.register(self._gateway, zmq.POLLIN)
        self._peers: dict[zmq.Socket, bytes] = {}
        self._output = folder / "output"
        self.process: subprocess.Popen | None = None

    def _write(self, words: type, **values: int) -> None:
        writer = self.table.writer(words)
        writer.set(**values)
        writer.flush()

    # -- its life ---------------------------------------------------------------------------------------------

    def start(self) -> "BackendProcess":
        with self._output.open("wb") as output:
            self.process = subprocess.Popen([sys.executable, "-m", "workers", self.slug], env=self._env, cwd=ROOT,
                                            stdout=output, stderr=output)
        return self

    def welcome(self) -> "BackendProcess":
        self.wait("a hello to control", lambda: self.of_control(messages.Hello))
        self.to_control(messages.Welcome(messages.VERSION, BOOT, CONTROL_EPOCH, 0, INCARNATION))
        self.wait("an epoch that it knows", self.hello)
        return self

    def load(self) -> "BackendProcess":
        self.to_control(messages.Load(messages.VERSION, INCARNATION, 1, CONTROL_EPOCH))
        self.wait("READY", lambda: (hello := self.hello()) and hello.phase == Phase.READY)
        return self

    def ready(self) -> "BackendProcess":
        return self.start().welcome().load()

    def term(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Once it has ended; what it says until then is read."""
        self.wait("its end", lambda: self.process.poll() is not None)
        self.wait("its last words", lambda: not self._poller.poll(0))
        return self.process.returncode

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._control.close()
        self._gateway.close()
        self._context.term()
        self.table.close()

    # -- what is said to it -----------------------------------------------------------------------------------

    def to_control(self, message: messages.ToWorker) -> None:
        """From control."""
        self._control.send_multipart([self._peers[self._control], messages.encode(message)])

    def quit(self, fence: int) -> None:
        self.to_control(messages.Quit(messages.VERSION, INCARNATION, fence, CONTROL_EPOCH, "memory"))

    def to_backend(self, message: jobs.ToWorker) -> None:
        """From the gateway."""
        self._gateway.send_multipart([self._peers[self._gateway], jobs.encode(message)])

    def ask(self, number: int, text: str | None = "hello", attempt: int = 1, messages: list[ChatMessage] | None = None,
            max_tokens: int = 0, remote: Remote | None = None, incarnation: int = INCARNATION, epoch: int = 0,
            stop: tuple[str, ...] = (), extras: jobs.Extras | None = None) -> None:
        """A job: a chat of one message, unless `messages` says more."""
        said = messages or [ChatMessage("user", text)]
        self.to_backend(jobs.Job(jobs.VERSION, epoch or self.epoch, incarnation, number, attempt, said, None, None,
                                 Sampling(temperature=0.5, seed=number), max_tokens, list(stop), remote,
                                 None, extras))

    def cancel(self, number: int, attempt: int = 1, incarnation: int = INCARNATION, epoch: int = 0) -> None:
        self.to_backend(jobs.Cancel(jobs.VERSION, epoch or self.epoch, incarnation, number, attempt))

    def another_gateway(self) -> None:
        """The next epoch, as the table says from now on."""
        self.epoch += 1
        self._write(GatewayWords, epoch=self.epoch)
        self.wait("the new epoch", self.hello)

    # -- what it says -----------------------------------------------------------------------------------------

    def wait(self, what: str, look: Callable[[], T]) -> T:
        """Read until `look` is true."""
        give_up_s = time.monotonic() + WITHIN_S
        while not (found := look()):
            if time.monotonic() > give_up_s:
                raise AssertionError(f"{self.slug}: waited in vain for {what}; {self.output()}")
            self._read()
        return found

    def _read(self) -> None:
        for sock, _ in self._poller.poll(POLL_MS):
            self._peers[sock], frame = sock.recv_multipart()
            if sock is self._control:
                self.reports.append(messages.decode_from_peer(frame))
                continue
            self.frames.append(said := jobs.decode_from_worker(frame))
            if isinstance(said, jobs.Fail | jobs.Refuse):
                self._over.add((said.epoch, said.job, said.attempt))
            if isinstance(said, jobs.Step):
                self._over |= {(said.epoch, item.job, item.attempt) for item in said.items if item.end is not None}
            if isinstance(said, jobs.Hello) and said.epoch_known != self.epoch:
                self.to_backend(jobs.Welcome(jobs.VERSION, BOOT, self.epoch))

    def hello(self) -> jobs.Hello | None:
        """The last one, if it knows the epoch."""
        said = [frame for frame in self.frames if isinstance(frame, jobs.Hello)]
        return said[-1] if said and said[-1].epoch_known == self.epoch else None

    def said(self, number: int, attempt: int = 1, epoch: int = 0) -> Said:
        return Said(self.frames, epoch or self.epoch, number, attempt)

    def wait_text(self, number: int) -> None:
        self.wait("the first word", lambda: self.said(number).text)

    def wait_over(self, number: int, attempt: int = 1) -> Said:
        """Until it has ended, failed or was refused."""
        self.wait(f"the end of job {number}", lambda: (self.epoch, number, attempt) in self._over)
        return self.said(number, attempt)

    def of_control(self, kind: type[T]) -> list[T]:
        return [report for report in self.reports if isinstance(report, kind)]

    def row(self) -> RowWorker | None:
        return self.table.read(RowWorker, 0)

    def wait_row(self, what: str, look: Callable[[RowWorker], bool]) -> None:
        self.wait(what, lambda: (row := self.row()) is not None and look(row))

    def output(self) -> str:
        """Its stdout and stderr, with the journal."""
        return self._output.read_text(errors="replace")
