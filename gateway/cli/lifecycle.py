"""`warden load`, `unload`, `pin`, `unpin`: which models are loaded, as far as people have a say in it.

Control decides and may refuse; its answer is the one line on stdout, its refusal the one line on stderr. Exit code 2 if
there is no such model for this caller, 1 for every other refusal. None of them ends an answer: `unload` waits until the
model is idle.
"""

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.options import Json, Key, Model, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.client import BlockingClient
    from gateway.protocol import ModelInfo, Progress, Result

FOR_EVER_S = -1.0  # in the client protocol


def load(
    model: Model,
    keep_alive: Annotated[
        str, typer.Option(metavar="TIME", help="How long it stays loaded unused: 10m, 24h, 90; -1 for ever.")
    ] = "",
    as_json: Json = False,
    key: Key = "",
) -> None:
    """Load a model and wait until it is loaded. Idle models make room for it if that is needed."""
    seconds = keep_alive_s(keep_alive)
    with connected_for(model, key) as client:
        info = told(client.ask_load(model, seconds))
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(info))
        return
    from control.overview import size_text

    size = size_text(info.memory_bytes or info.share_bytes)
    tokens = info.context_length or "-"
    print(f"{info.name} is loaded (memory {size}, context {tokens}, in {info.load_ms / 1000:.1f} s)")


def unload(model: Model, as_json: Json = False, key: Key = "") -> None:
    """Unload a model as soon as it is idle. Whoever waits for it still gets an answer."""
    order("unload", model, key, as_json=as_json)


def pin(model: Model, as_json: Json = False, key: Key = "") -> None:
    """Never unload a model, whoever needs the memory. Ends with `warden unpin` or `warden down`."""
    order("pin", model, key, as_json=as_json)


def unpin(model: Model, as_json: Json = False, key: Key = "") -> None:
    """Let a pinned model be unloaded like any other."""
    order("unpin", model, key, as_json=as_json)


def order(verb: str, model: str, key: str = "", *, as_json: bool = False) -> None:
    """Print control's line. Raises: CommandFailed."""
    with connected_for(model, key) as client:
        done = getattr(client, verb)(model)
    if as_json:
        print_json({"model": done.model, "text": done.text})
    else:
        print(done.text)


@contextmanager
def connected_for(model: str, key: str) -> "Iterator[BlockingClient]":
    """A client to ask something about `model`. Raises: CommandFailed, also if that is a relay."""
    from control.config import NO_MODEL, RELAYS
    from gateway.cli.connection import connected
    from gateway.cli.settings import read_home
    from gateway.client import GatewayError

    with connected(read_home(), is_usage, key=key) as client:
        try:
            yield client
        except GatewayError as error:
            if error.code == "model_not_found" and model in RELAYS.values():
                raise CommandFailed(NO_MODEL.format(slug=model), USAGE) from None
            raise


def is_usage(code: str) -> bool:
    return code in ("model_not_found", "model_reserved", "model_not_allowed", "unauthorized")


def keep_alive_s(given: str) -> float | None:
    """Seconds, FOR_EVER_S, or None for "as configured". Raises: CommandFailed."""
    from control.keep_alive import parse_keep_alive
    from gateway.protocol import KEEP_ALIVE_MAX_S

    if not given:
        return None
    try:
        seconds = parse_keep_alive(given)
    except ValueError as problem:
        raise CommandFailed(f"--keep-alive: {problem}", USAGE) from None
    return FOR_EVER_S if seconds > KEEP_ALIVE_MAX_S else seconds


def told(events: "Iterator[Progress | Result]") -> "ModelInfo":
    """Show on stderr how far the load is and what it waits for; the model as it is in the end. Raises: GatewayError."""
    from gateway.cli.waiting import shown
    from gateway.protocol import Progress, decode_model

    with shown(sys.stderr) as show:
        for event in events:
            if isinstance(event, Progress):
                show.update(event)
            else:
                return decode_model(event.value)
    raise AssertionError("a load ends with a result or an error")
