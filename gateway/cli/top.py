"""`warden top`: models, memory, queue, speed and decisions on the whole screen, drawn anew twice a second.

It reads the table in shared memory and the journals of control, the gateway and the relays, and asks no process; all
models are shown, also those that are reserved for agents: this is the operator's own terminal. Not on a terminal it
prints one such view as text, or with --json as one value, and ends; without a stack that is an error there, while the
live view waits for one. q and Ctrl-C end it with exit code 0.
"""

import json
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.cli.options import Json

if TYPE_CHECKING:
    from control.home import Home
    from control.log_files import LogLine
    from gateway.cli.top_view import Told

DECISIONS_MAX = 200
DECISIONS_TOLD = 20  # where it is no live view
WRITERS = ("control", "gateway", "relay-ollama", "relay-victoria")
WIDTH = 100  # where it is no terminal


def top(as_json: Json = False) -> None:
    """A live view of models, memory, queue and decisions. Keys: q ends, ? tells the others."""
    from gateway.cli.screen import can_draw
    from gateway.cli.settings import read_home
    from gateway.cli.watch import LiveTable, ends_quietly

    home = read_home()
    table, journal = LiveTable(home), Decisions(home)
    with ends_quietly():
        if as_json or not can_draw():
            _tell(table, journal, as_json)
        else:
            _show(table, journal)


class Decisions:
    """The newest decisions of the journals; `read` adds those that came since."""

    def __init__(self, home: "Home") -> None:
        from control.decisions import decision_of
        from control.log_files import Follower

        self._decision_of = decision_of
        self._follower = Follower(home.logs, WRITERS)
        self.newest: deque[LogLine] = deque(self._follower.last(DECISIONS_MAX, self._is_one), DECISIONS_MAX)

    def _is_one(self, line: "LogLine") -> bool:
        return self._decision_of(line.fields) is not None

    def read(self) -> None:
        self.newest.extend(filter(self._is_one, self._follower.read()))

    def told(self, count: int) -> list["Told"]:
        from gateway.cli.log_text import time_of
        from gateway.cli.top_view import Told

        today = datetime.now()
        return [Told(time_of(line.at_s, today), self._decision_of(line.fields)) for line in list(self.newest)[-count:]]

    def values(self, count: int) -> list[dict]:
        return [{"at_s": round(line.at_s, 3)} | self._decision_of(line.fields)._asdict()
                for line in list(self.newest)[-count:]]


@dataclass
class Choices:
    """What keys have chosen. `selected`: a name, "" before any key."""

    selected: str = ""
    paused: bool = False
    help: bool = False

    def press(self, keys: list[str], names: list[str]) -> None:
        from gateway.cli.screen import DOWN, PAGE_DOWN, PAGE_UP, UP

        steps = {UP: -1, "k": -1, DOWN: 1, "j": 1, PAGE_UP: -10, PAGE_DOWN: 10}
        if self.selected not in names:
            self.selected = names[0] if names else ""
        for key in keys:
            if key in steps and names:
                at = names.index(self.selected) + steps[key]
                self.selected = names[max(0, min(len(names) - 1, at))]
            self.paused ^= key == "p"
            self.help ^= key == "?"


def _show(table, journal: Decisions) -> None:
    from gateway.cli.screen import QUIT, Screen, rendered, wants_colour
    from gateway.cli.top_bars import choose_marks
    from gateway.cli.top_history import History
    from gateway.cli.top_view import View, draw, everybody
    from gateway.cli.watch import LOOK_EVERY_S

    history, choices, thresholds = History(), Choices(), _thresholds()
    marks, colour, view = choose_marks(sys.stdout.encoding), wants_colour(), None
    with Screen() as screen:
        keys: list[str] = []
        while QUIT not in keys:
            seen = table.look(time.monotonic_ns())
            history.see(seen, time.monotonic())
            journal.read()
            choices.press(keys, [line["name"] for line in everybody(view.seen if view and view.paused else seen)])
            columns, lines = screen.size
            if view is None or not choices.paused:
                view = View(seen, table.why, history, journal.told(DECISIONS_MAX), thresholds,
                            datetime.now().strftime("%H:%M:%S"), columns, lines, marks)
            view = view._replace(columns=columns, lines=lines, selected=choices.selected, paused=choices.paused,
                                 help=choices.help)
            screen.draw(rendered(draw(view), columns, colour=colour))
            keys = screen.wait(LOOK_EVERY_S)


def _tell(table, journal: Decisions, as_json: bool) -> None:
    from gateway.cli.exits import CommandFailed
    from gateway.cli.screen import rendered
    from gateway.cli.top_bars import choose_marks
    from gateway.cli.top_history import History
    from gateway.cli.top_view import View, draw

    seen = table.look(time.monotonic_ns())
    if seen is None:
        raise CommandFailed(table.why)
    if as_json:
        print(json.dumps(seen | {"decisions": journal.values(DECISIONS_TOLD)}, indent=2))
        return
    history = History()
    history.see(seen, 0.0)
    view = View(seen, "", history, journal.told(DECISIONS_TOLD), _thresholds(),
                datetime.now().strftime("%H:%M:%S"), WIDTH, sys.maxsize, choose_marks(sys.stdout.encoding))
    print("\n".join(line.rstrip() for line in rendered(draw(view), WIDTH, colour=False)))


def _thresholds() -> tuple[float, ...]:
    """Of the configuration as it is now; none if it cannot be read."""
    import os
    from pathlib import Path

    from control.config import ConfigError, load_config

    try:
        config = load_config(os.environ, Path.cwd(), models_must_be_whole=False)
    except ConfigError:
        return ()
    return config.memory_warning_percent, config.memory_critical_percent, config.memory_emergency_percent
