"""`warden up`, `warden down`, `warden ctl`: the stack of one home as a whole."""

import os
import sys
from typing import Annotated

import typer

READY_WAIT_S = 60.0


def up(
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait until it answers; 0: do not wait.")
    ] = READY_WAIT_S,
) -> None:
    """Start the stack of this home ($WARDEN_HOME) and wait until it answers. Changes nothing if it runs."""
    from control.config import BUILT_IN, cached_models
    from control.home import HomeRefused, prepare_home
    from gateway.cli.exits import USAGE, CommandFailed
    from gateway.cli.first_model import add_a_model, programs_as_called
    from gateway.cli.settings import read_config, read_home
    from gateway.cli.starting import Stack, start_stack

    config, home = read_config(), read_home()
    try:
        prepare_home(home)
    except HomeRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None
    url = start_stack(Stack(config, home, dict(os.environ), say), wait)
    print(f"chat in the browser: {url}/chat")
    print(f"over ZeroMQ:         {home.endpoint('clients')}")
    if config.source == BUILT_IN:
        print(add_a_model(home.root / "warden.toml", cached_models(os.environ), *programs_as_called(sys.argv[0])))


def down() -> None:
    """Stop the stack of this home: running answers end first. Also stops what a killed supervisord has left."""
    from gateway.cli.settings import read_home
    from gateway.cli.stopping import stop_stack

    stop_stack(read_home(), say)


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
