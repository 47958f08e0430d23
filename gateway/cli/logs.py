"""`warden logs`: what all processes of the stack wrote, merged by time; the newest lines, then with -f those that come.

It reads the files in the home's `logs`, also while nothing runs, and follows them across rotations and restarts. With
`--model` or `--request` it looks through all that is kept, else no further back than the lines it shows. On a terminal
lines are coloured and leave out today's date; in a pipe they are plain. -f ends with exit code 0 by Ctrl-C, which is
how it is meant to end.
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.completion import complete_model
from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.options import Json

if TYPE_CHECKING:
    from control.config import Config
    from control.home import Home
    from control.log_files import LogLine

LINES = 50
LINES_MAX = 1_000_000
LOOK_EVERY_S = 0.25
OURS = ("control", "gateway", "http", "supervisord")
WORKER = "worker-"
NO_LINE = "its lines were rotated away, or it was refused before anybody was asked (4xx), which is not logged"

Programs = Annotated[list[str] | None, typer.Argument(
    metavar="[PROGRAM]...", show_default=False,
    help="Only of these: control, gateway, http, worker-MODEL, relay-ollama, ...; `worker` is all workers.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Then go on with what comes, until Ctrl-C.")]
Lines = Annotated[int, typer.Option("--lines", "-n", min=0, max=LINES_MAX, help="How many lines at first.")]
OfModel = Annotated[str, typer.Option("--model", metavar="MODEL", autocompletion=complete_model, show_default=False,
                                      help="Only what is about this model: its name or alias.")]
OfRequest = Annotated[str, typer.Option("--request", metavar="ID", show_default=False,
                                        help="Only what is about this request: its X-Request-Id.")]


class Choice(NamedTuple):
    """Which lines are wanted. `program`: the model's own, all of whose lines are about it. "" and empty: any."""

    names: frozenset[str] = frozenset()
    program: str = ""
    request: str = ""

    def __call__(self, line: "LogLine") -> bool:
        from gateway.cli.log_text import is_about

        if self.names and line.program != self.program and not is_about(line.fields, self.names):
            return False
        if not self.request or self.request in (line.fields.get("request_id"), line.fields.get("request")):
            return True
        several = line.fields.get("requests")  # those that a lost worker left
        return isinstance(several, list) and self.request in several

    def hints(self, program: str) -> list[str]:
        """Texts one of which stands in each wanted line of a program."""
        if self.request:
            return [self.request]
        return [] if program == self.program else list(self.names)


def logs(programs: Programs = None, follow: Follow = False, lines: Lines = LINES, model: OfModel = "",
         request: OfRequest = "", as_json: Json = False) -> None:
    """What the processes of the stack wrote into their logs, merged by time."""
    from control.log_files import BACK_MAX_BYTES, WHOLE_MAX_BYTES, Follower, programs_in
    from gateway.cli.settings import read_home
    from gateway.cli.watch import ends_quietly

    home = read_home()
    there = programs_in(home.logs)
    if not there and not follow:
        raise CommandFailed(f"there are no logs in {home.logs}; `warden up` starts a stack, which writes them", FAILED)
    config, why = _config()
    chosen = choose_programs(programs or [], there, config)
    choice = choose_lines(model, request, there, config, why)
    with ends_quietly():
        follower = Follower(home.logs, chosen)
        show = _shower(home, as_json)
        found = follower.last(lines, choice, choice.hints, WHOLE_MAX_BYTES if model or request else BACK_MAX_BYTES)
        show(found)
        if request and lines and not found and not follow:
            raise CommandFailed(f"no line is about request {request}: {NO_LINE}", FAILED)
        while follow:
            show([line for line in follower.read() if choice(line)])
            time.sleep(LOOK_EVERY_S)


def _config() -> tuple["Config | None", str]:
    """The configuration, or why there is none: the logs may be read because of just that."""
    import os
    from pathlib import Path

    from control.config import ConfigError, load_config

    try:
        return load_config(os.environ, Path.cwd(), models_must_be_whole=False), ""
    except ConfigError as problem:
        return None, str(problem)


def choose_programs(given: list[str], there: list[str], config: "Config | None") -> list[str] | None:
    """Those meant, None for all: also those that begin later.

    Raises: CommandFailed, for a name that is neither there, nor configured, nor how several begin.
    """
    if not given:
        return None
    known = {*there, *OURS}
    if config is not None:
        known |= {f"{WORKER}{model.slug}" for model in config.models} | set(config.relays.values())
        known |= {f"http-{number}" for number in range(config.http_processes)} if config.http_processes > 1 else set()
    chosen: set[str] = set()
    for name in given:
        meant = {each for each in known if each == name or each.startswith(f"{name}-")}
        model = config.find(name) if config is not None and not meant else None
        meant |= {f"{WORKER}{model.slug}"} if model else set()
        if not meant:
            raise CommandFailed(f"no program is called {name!r}; there are {', '.join(sorted(known))}", USAGE)
        chosen |= meant
    return sorted(chosen)


def choose_lines(model: str, request: str, there: list[str], config: "Config | None", why: str) -> Choice:
    """Raises: CommandFailed, for a model that is neither configured nor has a log from before."""
    from control.config import slug_of

    if not model:
        return Choice(request=request)
    found = config.find(model) if config is not None else None
    if found is not None:
        return Choice(frozenset({found.name, found.slug, *found.aliases}), f"{WORKER}{found.slug}", request)
    slug = slug_of(model)
    if f"{WORKER}{slug}" in there:
        return Choice(frozenset({model, slug}), f"{WORKER}{slug}", request)
    if config is None:
        raise CommandFailed(f"no log is of a model {model!r}, and the configuration cannot be read: {why}", USAGE)
    names = config.close_names(model) or [each.name for each in config.models]
    raise CommandFailed(f"no model is called {model!r}; "
                        f"{'did you mean' if config.close_names(model) else 'there are'} {', '.join(names)}", USAGE)


def _shower(home: "Home", as_json: bool) -> Callable[[list["LogLine"]], None]:
    """Prints lines, at once."""
    from datetime import datetime

    from control.log_files import programs_in
    from gateway.cli import log_text
    from gateway.cli.screen import wants_colour

    paint = log_text.coloured if wants_colour() else log_text.plain
    columns = max(map(len, programs_in(home.logs)), default=0)

    def show(lines: list["LogLine"]) -> None:
        today = datetime.now() if sys.stdout.isatty() else None
        for line in lines:
            print(log_text.as_json(line) if as_json else log_text.shown(line, columns, today, paint))
        sys.stdout.flush()

    return show
