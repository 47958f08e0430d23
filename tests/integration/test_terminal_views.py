"""`ps --watch`, `top` and `logs -f` on a real pseudo-terminal, over a table and journals that the test writes.

No stack runs: what these commands show is read from the home, and what they must survive is easier made by hand.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from control.home import Home, prepare_home
from control.states import Phase
from control.table import ControlWords, GatewayWords, RowControl, RowGateway, RowReason, RowWorker, Table, text_words
from tests.support.supervisor_home import ROOT
from tests.support.terminal import CTRL_C, DOWN, Terminal

pytestmark = pytest.mark.integration
COLOUR = re.compile(rb"\x1b\[[0-9;]+m")
OTHER_SCREEN, OWN_SCREEN, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


class Made:
    """A home whose table and journals this test writes in place of control, gateway and a worker."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        prepare_home(self.home)
        (folder / "warden.toml").write_text('[models.phi]\nengine = "echo"\n[models.tiny]\nengine = "echo"\n')
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("WARDEN_", "NO_COLOR"))}
        self.env |= {"WARDEN_HOME": str(self.home.root), "WARDEN_CONFIG": str(folder / "warden.toml"),
                     "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        self.begin()

    def begin(self) -> None:
        self.table = Table.create(self.home.table, boot_id=time.monotonic_ns())
        for number, name in enumerate(("phi", "tiny")):
            self.table.name_row(number, name)
        self.writers: dict = {}

    def end(self) -> None:
        self.home.table.unlink()

    def say(self, phase: Phase, reason: str = "", **words: int) -> None:
        """How phi is, as fresh words of all three that write about it. `unfinished` and the like: counts."""
        now_ns, is_there = time.monotonic_ns(), phase is not Phase.DOWN
        self._write(ControlWords, None, epoch=1, heartbeat_ns=now_ns)
        self._write(GatewayWords, None, epoch=9, heartbeat_ns=now_ns)
        for number in range(2):
            self._write(RowControl, number, incarnation=1, phase=Phase.ALIVE if is_there and not number else Phase.DOWN,
                        pid=4711 if is_there else 0)
        self._write(RowGateway, 0, epoch=9, incarnation=1, dispatched=words.get("unfinished", 0), **words)
        self._write(RowWorker, 0, incarnation=1, phase=phase if is_there else Phase.EMPTY, heartbeat_ns=now_ns,
                    load_progress_permille=420, tokens_per_ks=12_000)
        self._write(RowReason, 0, **text_words(RowReason, reason)._asdict())

    def _write(self, kind: type, row: int | None, **words: int) -> None:
        if (kind, row) not in self.writers:
            self.writers[kind, row] = self.table.writer(kind, row)
        self.writers[kind, row].set(**words)
        self.writers[kind, row].flush()

    def log(self, program: str, **fields: object) -> None:
        with open(self.home.logs / f"{program}.log", "a") as file:
            file.write(json.dumps({"timestamp": "2026-08-08T10:00:00Z", "level": "info", "process": program}
                                  | fields) + "\n")

    def shows(self, terminal: Terminal, phase: Phase, wanted: Callable[[str], bool], reason: str = "",
              **words: int) -> None:
        """Until the screen is so, while this is how phi is."""
        def fresh(text: str) -> bool:
            self.say(phase, reason, **words)  # a heartbeat is old soon
            return wanted("\n".join(terminal.screen))

        terminal.wait(fresh)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def has(*words: str) -> Callable[[str], bool]:
    return lambda text: all(re.search(word, text) for word in words)


def assert_restored(terminal: Terminal) -> None:
    assert terminal.raw.rindex(OWN_SCREEN) > terminal.raw.rindex(OTHER_SCREEN)
    assert CURSOR in terminal.raw[terminal.raw.rindex(OTHER_SCREEN):]


def test_a_model_is_watched_from_its_load_to_its_eviction_and_beyond_the_stack(made: Made) -> None:
    made.say(Phase.LOADING)
    with Terminal(["ps", "--watch"], made.env, columns=130) as terminal:
        made.shows(terminal, Phase.LOADING, has(r"phi +loading", "42 % loaded", r"tiny +down"))
        made.shows(terminal, Phase.READY, has(r"phi +ready +4711 .* 12 "))
        made.shows(terminal, Phase.READY, has(r"phi +ready .* in use", "2 callers"), "2 callers", unfinished=2)
        made.shows(terminal, Phase.DOWN, has(r"phi +down", "evicted: tiny needs room"), "evicted: tiny needs room")
        made.end()
        terminal.wait(lambda _: "nothing runs here" in "\n".join(terminal.screen))
        made.begin()
        made.shows(terminal, Phase.READY, has(r"phi +ready"))
        terminal.resize(40, 20)
        made.shows(terminal, Phase.READY, has(r"(?m)^phi  ready$", "12 tok/s,"))
        terminal.type("q")
        assert terminal.end() == 0
        assert_restored(terminal)
        assert COLOUR.search(terminal.raw)


def test_top_draws_resizes_and_gives_the_terminal_back(made: Made) -> None:
    made.log("control", event="held", model="tiny", reason="stopped by an operator")
    with Terminal(["top"], made.env, columns=120) as terminal:
        made.shows(terminal, Phase.READY, has(r"phi +ready +2 ", "tiny is held: stopped", "Tokens/s 12"), unfinished=2)
        made.log("gateway", event="spill", model="phi", to="ollama", reason="overloaded")
        made.shows(terminal, Phase.READY, has("a request for phi goes to ollama"))
        terminal.type(DOWN)
        made.shows(terminal, Phase.READY, has("›.?tiny", "tiny: "))
        terminal.resize(40, 15)
        made.shows(terminal, Phase.READY, has("Running 0/0/0/0", r"(?m)^›.tiny +down"))
        terminal.type("p")
        made.shows(terminal, Phase.READY, has("PAUSED"))
        terminal.type("?")
        made.shows(terminal, Phase.READY, has("tokens per second"))
        terminal.type(CTRL_C)
        assert terminal.end() == 0
        assert_restored(terminal)


@pytest.mark.parametrize("words", [["top"], ["ps", "--watch"]])
def test_a_view_that_is_terminated_gives_the_terminal_back(made: Made, words: list[str]) -> None:
    with Terminal(words, made.env) as terminal:
        made.shows(terminal, Phase.READY, has("phi"))
        terminal.signal(signal.SIGTERM)
        assert terminal.end() == 128 + signal.SIGTERM
        assert_restored(terminal)


def test_without_colour_a_view_has_none(made: Made) -> None:
    with Terminal(["top"], made.env | {"NO_COLOR": "1"}) as terminal:
        made.shows(terminal, Phase.READY, has("phi +ready"))
        terminal.type("q")
        assert terminal.end() == 0
        assert not COLOUR.search(terminal.raw)


def test_logs_go_on_with_what_comes_and_across_a_rotation(made: Made) -> None:
    made.log("control", event="before", model="phi")
    made.log("control", event="hidden")
    with Terminal(["logs", "-f", "--model", "phi"], made.env) as terminal:
        terminal.wait("before")
        made.log("gateway", event="first", model="phi", reason="\x1b[2Jx")
        terminal.wait("first")
        log = made.home.logs / "control.log"
        log.rename(f"{log}.1")
        made.log("control", event="second", model="phi")
        terminal.wait("second")
        terminal.type(CTRL_C)
        assert terminal.end() == 0
        assert "hidden" not in terminal.text and b"\x1b[2J" not in terminal.raw and COLOUR.search(terminal.raw)


def run(made: Made, *words: str, lines: int) -> list[str]:
    """The first lines of a command whose reader then goes away; it must end by itself, quietly."""
    process = subprocess.Popen([sys.executable, "-P", "-m", "gateway.cli.main", *words], env=made.env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    found = [process.stdout.readline().rstrip("\n") for _ in range(lines)]
    process.stdout.close()
    made.say(Phase.DOWN, "something else")
    made.log("control", event="second", model="phi")
    assert (process.stderr.read(), process.wait()) == ("", 0)
    return found


def test_a_pipe_gets_lines_without_colour_and_may_close(made: Made) -> None:
    made.say(Phase.READY)
    made.log("control", event="before", model="phi")
    (line,) = run(made, "ps", "--watch", "--json", lines=1)
    told = json.loads(line)
    assert told["running"] and told["models"][0]["name"] == "phi"
    made.say(Phase.READY)
    _, header, phi = run(made, "ps", "--watch", lines=3)
    assert header.startswith("NAME") and phi.startswith("phi") and "\x1b" not in phi
    (line,) = run(made, "logs", "-f", "-n", "1", lines=1)
    assert "model=phi" in line and "\x1b" not in line
