"""`warden pull`, `cp`, `rm`: which models this home has, changed while it runs.

The gateway decides and may refuse; its refusal is the one line on stderr. Ctrl-C stops a pull, and the same command
again goes on from there. Exit codes as in `lifecycle`.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.completion import complete_model
from gateway.cli.exits import INTERRUPTED
from gateway.cli.lifecycle import connected_for
from gateway.cli.options import Json, Key, Model, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.protocol import Fetching, PullDone, Result

COPY_OF = Annotated[str, typer.Argument(metavar="SOURCE", help="Name or alias.", autocompletion=complete_model)]
NEW_NAME = Annotated[str, typer.Argument(metavar="NAME", help="The further name.")]


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A repository of Hugging Face with MLX weights, such as "
                                                             "mlx-community/Qwen3-4B-4bit, or any name with --from.")],
    source: Annotated[str, typer.Option("--from", metavar="ID|DIRECTORY", help="Where it is, if NAME does not say it.")
                      ] = "",
    as_json: Json = False,
    key: Key = "",
) -> None:
    """Fetch a model and make it usable at once. Goes on where it was, if it was stopped."""
    with connected_for(name, key) as client:
        done = fetch(client.ask_pull(name, source), name)
    if as_json:
        print_json({"model": done.model, "path": done.path, "bytes": done.bytes, "text": done.text})
    else:
        from gateway.cli.pull_progress import amount

        size = f" ({amount(done.bytes)})" if done.bytes else ""
        more = f": {done.text}" if done.text else ""
        print(f"{done.model} is here{size}{more}; ask it: warden run {done.model}")


def fetch(events: "Iterator[Fetching | Result]", name: str) -> "PullDone":
    """How far it is goes to stderr. Raises: GatewayError, typer.Exit after Ctrl-C."""
    from gateway.cli.pull_progress import Tally, shown
    from gateway.protocol import Fetching, decode_pull

    tally = Tally()
    try:
        with shown(name, sys.stderr) as show:
            for event in events:
                if isinstance(event, Fetching):
                    tally = tally.with_news(event)
                    show.update(tally)
                else:
                    return decode_pull(event.value)
    except KeyboardInterrupt:
        how_far = f" at {tally.how_far}" if tally.total_bytes else ""
        print(f"stopped{how_far}; the same command again goes on from there", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    raise AssertionError("a pull ends with a result or an error")


def cp(source: COPY_OF, name: NEW_NAME, as_json: Json = False, key: Key = "") -> None:
    """Give a model a further name, which lasts. Takes no memory and no disk."""
    with connected_for(source, key) as client:
        done = client.copy(source, name)
    if as_json:
        print_json({"model": done.model, "name": name, "text": done.text})
    else:
        print(done.text)


def rm(model: Model, as_json: Json = False, key: Key = "") -> None:
    """Delete a pulled model, or a name that `cp` made. Weights that others use stay."""
    with connected_for(model, key) as client:
        done = client.delete(model)
    if as_json:
        print_json({"model": done.model, "text": done.text})
    else:
        print(done.text)
