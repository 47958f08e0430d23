"""`warden clients`: what to paste so that a client talks to this home: its address, its model, its need of keys.

What runs counts before what is configured: the address of a stack that is up is the one that it was started with.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from control.config import Config
    from control.home import Home
    from gateway.cli.paste_lines import Client, Place


def clients(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="One of them: its text alone, to redirect.")] = "",
    as_json: Json = False,
) -> None:
    """What to paste into curl, open-webui, Claude Code, Continue and others, for this home."""
    from gateway.cli.exits import USAGE, CommandFailed
    from gateway.cli.paste_lines import CLIENTS, find_client
    from gateway.cli.settings import read_config, read_home

    chosen = [find_client(name)] if name else list(CLIENTS)
    if chosen == [None]:
        raise CommandFailed(f"there is no text for {name!r}; there is for "
                            f"{', '.join(client.name for client in CLIENTS)}", USAGE)
    place = place_of(read_config(), read_home())
    if as_json:
        told = [describe(client, place) for client in chosen]
        print_json(told[0] if name else told)
        return
    if name:
        print(chosen[0].write(place))
        for line in filter(None, (_into(chosen[0]), chosen[0].note)):
            print(line, file=sys.stderr)
    else:
        print("\n".join(all_lines(place)))
    if place.needs_key:
        print("A key is asked for: `export WARDEN_KEY=$(warden key create --name NAME)`", file=sys.stderr)


def place_of(config: "Config", home: "Home") -> "Place":
    """Where the stack of this home listens, or would listen."""
    from gateway.cli.exits import CommandFailed
    from gateway.cli.paste_lines import Place
    from gateway.cli.running import read_rendered

    host, port = config.host, config.port
    if home.supervisor_conf.exists():
        try:
            running = read_rendered(home.supervisor_conf)
            host, port = running.host, running.port
        except CommandFailed:
            pass  # what is configured will do: `warden up` and `doctor` say what is wrong with that file
    model = config.default.name if config.default else ""
    return Place(host, port, model, config.needs_key, sys.platform == "darwin")


def describe(client: "Client", place: "Place") -> dict:
    """Plain values for `--json`."""
    return {"name": client.name, "title": client.title, "where": client.where, "language": client.language,
            "text": client.write(place), "note": client.note, "tried": client.tried}


def all_lines(place: "Place") -> list[str]:
    """All of them, one below the other."""
    from gateway.cli.paste_lines import CLIENTS

    lines = []
    for client in CLIENTS:
        into = f", in {client.where}" if "." in client.where else ""
        lines += ["", f"--- {client.title}{into} ({client.name})", *client.write(place).splitlines()]
        lines += [f"({client.note})"] if client.note else []
    return [*lines[1:], "", "`warden clients NAME` prints one of them alone."]


def _into(client: "Client") -> str:
    return f"(for {client.where})" if "." in client.where else ""
