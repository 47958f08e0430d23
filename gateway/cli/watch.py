"""`warden ps --watch`: the table again and again, in place on a terminal, else a block or a JSON line for each change.

It reads the table in shared memory and asks no process, so it costs the gateway nothing and survives it: while nothing
runs it says so, and goes on when `warden up` has made another table. q and Ctrl-C end it with exit code 0; so does a
reader that has read enough.

A change is any but the passing of time: how long a model stays and how much memory is free change all the while.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from control.overview import overview
from control.table import Table, TableRefused
from gateway.cli.ps_lines import lines_of
from gateway.cli.screen import QUIT, Screen, can_draw, rendered, wants_colour
from gateway.cli.settings import read_home
from gateway.cli.text_table import printable

if TYPE_CHECKING:
    from rich.text import Text

    from control.home import Home

LOOK_EVERY_S = 0.5
NOTHING_RUNS = "nothing runs here; `warden up` starts it"
PASSING = ("until", "keep_until_s", "tokens_per_s", "memory_bytes", "peak_bytes")  # of a model
STYLES = {"ready": "green", "starting": "yellow", "empty": "yellow", "loading": "yellow", "draining": "yellow",
          "stopping": "yellow", "verify_free": "yellow", "backoff": "red", "quarantined": "red", "unknown": "red",
          "leak_suspected": "red", "held": "magenta"}


class LiveTable:
    """The table that stands in the home now, whoever made it."""

    def __init__(self, home: "Home") -> None:
        self.why = ""
        self._home = home
        self._table: Table | None = None

    def look(self, now_ns: int) -> dict | None:
        """`control.overview.overview` of it. None: nothing runs, and `why` says how that is known."""
        if self._table is not None and self._table.replaced():
            self._table.close()
            self._table = None
        if self._table is None:
            try:
                self._table = Table.open(self._home.table)
            except TableRefused as refused:
                self.why = str(refused) if self._home.table.exists() else NOTHING_RUNS
                return None
        seen = overview(self._table.snapshot(), now_ns)
        self.why = NOTHING_RUNS if runs_nothing(seen) else ""
        return None if self.why else seen


def runs_nothing(seen: dict) -> bool:
    """A table that the last stack left: nobody writes into it."""
    return seen["memory"] is None and seen["queue"] is None and all(
        line["state"] == "unknown" or not line["pid"] for line in (*seen["models"], *seen["relays"]))


def watch(*, as_json: bool) -> None:
    table = LiveTable(read_home())
    with ends_quietly():
        if as_json or not can_draw():
            _tell(table, as_json)
        else:
            _show(table)


@contextmanager
def ends_quietly() -> Iterator[None]:
    """Ctrl-C, or a reader that goes away, is how it is meant to end."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again at its own end


def _show(table: LiveTable) -> None:
    text: list[str] = []
    try:
        with Screen() as screen:
            keys: list[str] = []
            while QUIT not in keys:
                seen, (width, height) = table.look(time.monotonic_ns()), screen.size
                frame = draw_frame(seen, table.why, datetime.now().strftime("%H:%M:%S"), width)
                text = rendered(frame, width, colour=wants_colour())
                screen.draw(rendered(cut(frame, height), width, colour=wants_colour()))
                keys = screen.wait(LOOK_EVERY_S)
    finally:
        print("\n".join(text))  # what was seen last stays


def draw_frame(seen: dict | None, why: str, clock: str, width: int) -> list["Text"]:
    """The lines of a terminal so wide. Pure."""
    from rich.text import Text

    lines = [Text(f"{clock}  q ends", style="dim")]
    if seen is None:
        return [*lines, *_folded(why, width, "yellow")]
    lines += [line for remark in seen["remarks"] for line in _folded(remark, width, "yellow")]
    for line in lines_of(seen, width):
        name, state = (line.split(maxsplit=2) + ["", ""])[:2]
        painted = Text(line, style="bold" if name.isupper() else "")
        if not line.startswith(" ") and state in STYLES:
            at = line.index(state, len(name))
            painted.stylize(STYLES[state], at, at + len(state))
        lines.append(painted)
    return lines


def _folded(text: str, width: int, style: str) -> list["Text"]:
    import textwrap

    from rich.text import Text

    return [Text(line, style=style) for line in textwrap.wrap(printable(text), max(1, width), break_on_hyphens=False)]


def cut(lines: list["Text"], height: int) -> list["Text"]:
    from rich.text import Text

    if len(lines) <= height:
        return lines
    return [*lines[:height - 1], Text(f"{len(lines) - height + 1} more lines in a taller window", style="dim")]


def _tell(table: LiveTable, as_json: bool) -> None:
    before: object = None
    while True:
        seen = table.look(time.monotonic_ns())
        now = what_counts(seen)
        if now != before:
            at = datetime.now().astimezone()
            print(json_line(seen, table.why, at) if as_json else block(seen, table.why, at), flush=True)
            before = now
        time.sleep(LOOK_EVERY_S)


def what_counts(seen: dict | None) -> object:
    """What makes a change if it differs. Pure."""
    if seen is None:
        return None, ()
    models = [{name: value for name, value in line.items() if name not in PASSING} for line in seen["models"]]
    relays = [{name: value for name, value in line.items() if name not in PASSING} for line in seen["relays"]]
    level = seen["memory"] and seen["memory"]["level"]
    return level, seen["queue"] and {name: seen["queue"][name] for name in ("running", "queued")}, models, relays


def json_line(seen: dict | None, why: str, at: datetime) -> str:
    """`at` and all of the overview; while nothing runs `at`, `running` false and `why`."""
    told = {"at": at.isoformat(timespec="milliseconds"), "running": seen is not None}
    return json.dumps(told | ({"why": why} if seen is None else seen))


def block(seen: dict | None, why: str, at: datetime) -> str:
    lines = [printable(why)] if seen is None else [*map(printable, seen["remarks"]), *lines_of(seen, None)]
    return "\n".join([at.isoformat(sep=" ", timespec="seconds"), *lines, ""])
