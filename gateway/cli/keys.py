"""`warden key create`, `list`, `revoke`: who may ask, and what. They change the home's file, with or without a stack.

The key itself is printed once, alone on stdout; the file keeps its hash, and nothing here can show it again. A running
stack knows a new or revoked key within a second (`gateway.key_file`); answers that have begun are not broken off.
"""

import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from control.config import Config
    from gateway.keys import Key

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
HEADER = ["NAME", "AUDIENCE", "UP TO", "RATE", "CREATED", "MODELS"]

app = typer.Typer(help="API keys: who may ask, and what.", no_args_is_help=True, rich_markup_mode=None,
                  pretty_exceptions_enable=False)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is: 1 to 64 letters, digits and . _ @ + -", show_default=False)],
    audience: Annotated[Literal["person", "agent"],
                        typer.Option(help="An agent may also ask models that are reserved for agents.")] = "person",
    max_priority: Annotated[Literal["high", "medium", "low"], typer.Option(help="The highest class it gets.")] = "high",
    models: Annotated[str, typer.Option(metavar="NAME,...", help="The only models it may ask. Default: all.")] = "",
    rate: Annotated[int | None, typer.Option(min=0, max=10**9, help="Requests in rate_limit_window_s; 0: any number. "
                                             "Default: as configured.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it. It is shown this once only."""
    import os
    import time

    from gateway import keys

    if not NAME.fullmatch(name):
        raise CommandFailed(f"--name: {name!r} is not 1 to {keys.NAME_MAX_CHARS} letters, digits and . _ @ + -", USAGE)
    listed = read_models(models, audience)
    secret = keys.secret_of(os.urandom(keys.SECRET_BYTES))
    made = keys.Key(name, keys.hash_of(secret), audience, max_priority, listed, rate, int(time.time()))

    def add(old: "list[Key]") -> "list[Key]":
        if any(key.name == name for key in old):
            raise CommandFailed(f"--name: there is a key {name} already; choose another name, or run `warden key "
                                f"revoke {name}` first", USAGE)
        if len(old) >= keys.KEYS_MAX:
            raise CommandFailed(f"there are {keys.KEYS_MAX} keys already, which is the limit; revoke some", USAGE)
        return [*old, made]

    change(add)
    if as_json:
        print_json({"key": secret} | described(made))
    else:
        print(secret, flush=True)
    print("this is the only time it is shown; send it as `Authorization: Bearer KEY`, or set WARDEN_KEY for warden's "
          "own commands", file=sys.stderr)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """The keys and what they allow. The keys themselves are not kept and not shown."""
    from control.home import HomeRefused
    from gateway.cli.settings import read_home
    from gateway.cli.text_table import print_table
    from gateway.key_file import key_path, read_keys
    from gateway.keys import KeysRefused

    try:
        found = read_keys(key_path(read_home()))
    except (KeysRefused, HomeRefused) as refused:
        raise CommandFailed(str(refused), USAGE) from None
    if as_json:
        print_json([described(key) for key in found])
    elif found:
        print_table(HEADER, [cells(key) for key in found])
    else:
        print("no keys; `warden key create --name NAME` makes one", file=sys.stderr)


@app.command()
def revoke(name: Annotated[str, typer.Argument(metavar="NAME", help="As `warden key list` shows it.")],
           as_json: Json = False) -> None:
    """Make a key worthless. A running stack refuses it within a second."""
    import difflib

    left: list[Key] = []

    def remove(old: "list[Key]") -> "list[Key]":
        left[:] = [key for key in old if key.name != name]
        if len(left) == len(old):
            near = difflib.get_close_matches(name, [key.name for key in old], 1)
            advice = f"did you mean {near[0]}?" if near else "`warden key list` shows those there are"
            raise CommandFailed(f"there is no key {name}; {advice}", USAGE)
        return left

    change(remove)
    if as_json:
        print_json({"name": name, "revoked": True, "keys_left": len(left)})
    else:
        print(f"{name} is revoked")
    if not left:
        print("no key is left: where one is needed, nobody is let in", file=sys.stderr)


def change(how: "Callable[[list[Key]], Sequence[Key]]") -> None:
    """Raises: CommandFailed."""
    from control.home import HomeRefused, LockHeld, prepare_home
    from gateway.cli.settings import read_home
    from gateway.key_file import change_keys
    from gateway.keys import KeysRefused

    home = read_home()
    try:
        prepare_home(home)
        change_keys(home, how)
    except LockHeld as held:
        raise CommandFailed(f"another `warden key` (pid {held.pid}) is at work on {home.root}; try again") from None
    except (HomeRefused, KeysRefused) as refused:
        raise CommandFailed(str(refused), USAGE) from None


def read_models(given: str, audience: str) -> list[str]:
    """The configured names of those given. Raises: CommandFailed."""
    from gateway.cli.settings import read_config

    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        return []
    config = read_config()
    return list(dict.fromkeys(find_model(config, name, audience) for name in names))


def find_model(config: "Config", name: str, audience: str) -> str:
    """What only a relay's server has may stand there by its name there. Raises: CommandFailed."""
    model = config.find(name)
    if model is None:
        if name in ("victoria", config.ollama_vision_model, config.ollama_document_model):
            return name
        near = config.close_names(name)
        advice = f"did you mean {near[0]}?" if near else "`warden ls` lists them"
        raise CommandFailed(f"--models: {name!r} is no configured model; {advice}", USAGE)
    if model.audience == "agents" and audience != "agent":
        raise CommandFailed(f"--models: {model.name} is reserved for agents; add --audience agent", USAGE)
    return model.name


def described(key: "Key") -> dict:
    """For `--json`. `rate` None: as configured; 0: any number. `models` empty: all."""
    return {"name": key.name, "audience": key.audience, "max_priority": key.max_priority, "models": key.models,
            "rate": key.rate, "created_at": key.created_at}


def cells(key: "Key") -> list[str]:
    rate = "as configured" if key.rate is None else str(key.rate) if key.rate else "any"
    created = datetime.fromtimestamp(key.created_at).strftime("%Y-%m-%d") if key.created_at else "-"
    return [key.name, key.audience, key.max_priority, rate, created, ", ".join(key.models) or "all"]
