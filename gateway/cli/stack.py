"""`warden up`, `warden down`, `warden ctl`: the stack of one home as a whole."""

import os
import sys
from typing import Annotated

import typer

from gateway.cli.options import Json, print_json

READY_WAIT_S = 60.0


def up(
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait until it answers; 0: do not wait.")
    ] = READY_WAIT_S,
    as_json: Json = False,
) -> None:
    """Start the stack of this home ($WARDEN_HOME) and wait until it answers. Changes nothing if it runs."""
    from control.home import HomeRefused, prepare_home
    from gateway.cli.clients import place_of
    from gateway.cli.exits import USAGE, CommandFailed
    from gateway.cli.first_model import add_a_model, warden_as_called, where_lines
    from gateway.cli.init import Offered, offer
    from gateway.cli.paste_lines import short_block
    from gateway.cli.settings import read_config, read_home
    from gateway.cli.starting import Stack, start_stack

    config, home, warden = read_config(), read_home(), warden_as_called(sys.argv[0])
    tell = say_aside if as_json else say
    try:
        prepare_home(home)
    except HomeRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None
    offered = Offered(config) if as_json else offer(config, home, tell)
    url = start_stack(Stack(offered.config, home, dict(os.environ), tell), wait)
    if as_json:
        print_json({"url": url, "home": str(home.root), "endpoint": home.endpoint("clients"),
                    "default_model": offered.config.default.name, "configuration": offered.config.source})
        return
    lines = where_lines(url, home.endpoint("clients"), offered.config, warden)
    if offered.ceiling:  # a first start
        lines += ["", *short_block(place_of(offered.config, home))]
    if offered.ceiling and not offered.was_taken:
        lines += ["", *add_a_model(offered.ceiling, warden, own=offered.is_open)]
    print("\n".join(lines))


def down(as_json: Json = False) -> None:
    """Stop the stack of this home: running answers end first. Also stops what a killed supervisord has left."""
    from gateway.cli.settings import read_home
    from gateway.cli.stopping import stop_stack

    home = read_home()
    stop_stack(home, say_aside if as_json else say)
    if as_json:
        print_json({"home": str(home.root), "runs": False})


def ctl(context: typer.Context) -> None:
    """supervisorctl of this home. It has verbs for models too: models, load, unload, evict, pin, unpin."""
    from gateway.cli.exits import CommandFailed
    from gateway.cli.settings import import_path, read_home

    conf = read_home().supervisor_conf
    if not conf.exists():
        raise CommandFailed(f"{conf} is missing: this home does not run; start it with `warden up`")
    sys.stdout.flush()
    program = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(conf), *context.args]
    os.execve(sys.executable, program, {**os.environ, "PYTHONPATH": import_path()})  # it loads control.ctl_plugin


def say(line: str) -> None:
    print(line, flush=True)


def say_aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
