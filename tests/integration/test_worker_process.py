"""A real worker process and a control played by the test: failpoints around what it says, and its key."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from control import messages
from control.home import Home, home_from_env, prepare_home
from control.sockets import open_router
from control.states import Phase
from control.table import ControlWords, RowWorker, Table

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
WITHIN_MS = 20_000
BOOT, EPOCH, INCARNATION = 77, 5, 7
CONFIG = '[models.echo]\nengine = "echo"\n'


class ControlAndWorker:
    """`home` with a table of one row; the worker is started by the test."""

    def __init__(self, directory: Path) -> None:
        (directory / "warden.toml").write_text(CONFIG)
        self.failpoints = directory / "failpoints"
        self.failpoints.mkdir()
        self.env = {**os.environ, "WARDEN_HOME": str(directory / "home"), "PYTHONPATH": str(ROOT),
                    "WARDEN_CONFIG": str(directory / "warden.toml"), "WARDEN_FAILPOINTS": str(self.failpoints)}
        self.home: Home = home_from_env(self.env)
        prepare_home(self.home)
        self.table = Table.create(self.home.table, BOOT)
        self.table.name_row(0, "echo")
        words = self.table.writer(ControlWords)
        words.set(epoch=EPOCH)
        words.flush()
        self.context = zmq.Context()
        self.router = open_router(self.context, self.home.endpoint("control"), messages.FRAME_MAX_BYTES)
        self.process: subprocess.Popen | None = None
        self.peer = b""

    def start(self, **env: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "workers", "echo"], env=self.env | env, cwd=ROOT,
                                        stderr=subprocess.PIPE)

    def arm(self, name: str, action: str) -> None:
        (self.failpoints / name).write_text(action)

    def hear(self, kind: type) -> messages.FromPeer:
        """The next message of that kind."""
        while True:
            assert self.router.poll(WITHIN_MS), f"no {kind.__name__}"
            self.peer, frame = self.router.recv_multipart()
            message = messages.decode_from_peer(frame)
            if isinstance(message, kind):
                return message

    def hears_nothing(self) -> bool:
        return not self.router.poll(0)

    def say(self, message: messages.ToWorker) -> None:
        self.router.send_multipart([self.peer, messages.encode(message)])

    def welcome(self) -> None:
        self.hear(messages.Hello)
        self.say(messages.Welcome(messages.VERSION, BOOT, EPOCH, 0, INCARNATION))

    def load(self) -> None:
        self.hear(messages.Report)
        self.say(messages.Load(messages.VERSION, INCARNATION, 1, EPOCH, share_bytes=2**30, batch_max=2))
        while self.hear(messages.Report).phase != Phase.READY:
            pass

    def quit(self, fence: int) -> None:
        self.say(messages.Quit(messages.VERSION, INCARNATION, fence, EPOCH, "memory"))

    def ended(self) -> int:
        return self.process.wait(WITHIN_MS / 1000)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
        self.router.close()
        self.context.term()
        self.table.close()


@pytest.fixture
def world(tmp_path):
    world = ControlAndWorker(tmp_path)
    yield world
    world.end()


def test_it_leaves_when_told_to_and_not_by_an_older_control(world):
    world.start()
    world.welcome()
    world.load()
    row = world.table.read(RowWorker, 0)
    assert (row.phase, row.share_bytes, row.batch_max, row.device_bytes) == (Phase.READY, 2**30, 2, 0)
    world.say(messages.Quit(messages.VERSION, INCARNATION, 8, EPOCH - 1, "memory"))
    world.quit(9)
    assert world.hear(messages.Quitting).fence == 9, "the older one was answered"
    assert world.ended() == 0


def test_term_before_any_welcome_ends_it(world):
    world.start()
    world.hear(messages.Hello)
    world.process.send_signal(signal.SIGTERM)
    assert world.ended() == 0


def test_killed_before_it_says_quitting_it_has_said_nothing(world):
    world.start()
    world.welcome()
    world.hear(messages.Report)
    world.arm("worker.send.quitting.before", "kill")
    world.quit(9)
    assert world.ended() == -signal.SIGKILL
    assert world.hears_nothing() and (world.failpoints / "worker.send.quitting.before.hit").exists()


def test_killed_after_it_wrote_its_row_and_before_it_reports(world):
    world.arm("worker.words.after", "kill")
    world.start()
    world.welcome()
    assert world.ended() == -signal.SIGKILL
    assert world.table.read(RowWorker, 0).incarnation == INCARNATION and world.hears_nothing()


def test_killed_before_it_wrote_its_row(world):
    world.arm("worker.words.before", "kill")
    world.start()
    world.welcome()
    assert world.ended() == -signal.SIGKILL
    assert world.table.read(RowWorker, 0) is None, "no record was ever written"


def test_with_its_key_switched_off_it_leaves_while_busy_and_says_so_loudly(world):
    world.start(WARDEN_TEST_KEYS_OFF="gate,worker")
    world.welcome()
    world.hear(messages.Report)
    world.say(messages.Load(messages.VERSION, INCARNATION, 1, EPOCH))
    world.quit(9)  # it is LOADING, or just was
    world.hear(messages.Quitting)
    assert world.ended() == 0
    said = world.process.stderr.read().decode() + "".join(
        file.read_text() for file in world.home.logs.rglob("*") if file.is_file())
    assert "key_switched_off" in said
