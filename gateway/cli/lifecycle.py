"""`warden load`, `unload`, `pin`, `unpin`: which models are loaded, as far as people have a say in it.

Control decides and may refuse; its answer is the one line on stdout, its refusal the one line on stderr. Exit code 2 if
there is no such model for this caller, 1 for every other refusal. None of them ends an answer: `unload` waits until the
model is idle.
"""

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.options import Key
from gateway.cli.ps import size_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from gateway.client import BlockingClient
    from gateway.protocol import ModelInfo, Progress, Result

FOR_EVER_S = -1.0  # in the client protocol
STEP_PERCENT = 10  # of a load that is told in lines

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name or alias.")]


def load(
    model: Model,
    keep_alive: Annotated[
        str, typer.Option(metavar="TIME", help="How long it stays loaded unused: 10m, 24h, 90; -1 for ever.")
    ] = "",
    key: Key = "",
) -> None:
    """Load a model and wait until it is loaded. Idle models make room for it if that is needed."""
    seconds = keep_alive_s(keep_alive)
    with connected_for(model, key) as client:
        info = told(client.ask_load(model, seconds), model)
    size = size_text(info.memory_bytes or info.share_bytes)
    tokens = info.context_length or "-"
    print(f"{info.name} is loaded (memory {size}, context {tokens}, in {info.load_ms / 1000:.1f} s)")


def unload(model: Model, key: Key = "") -> None:
    """Unload a model as soon as it is idle. Whoever waits for it still gets an answer."""
    order("unload", model, key)


def pin(model: Model, key: Key = "") -> None:
    """Never unload a model, whoever needs the memory. Ends with `warden unpin` or `warden down`."""
    order("pin", model, key)


def unpin(model: Model, key: Key = "") -> None:
    """Let a pinned model be unloaded like any other."""
    order("unpin", model, key)


def order(verb: str, model: str, key: str = "") -> None:
    """Print control's line. Raises: CommandFailed."""
    with connected_for(model, key) as client:
        print(getattr(client, verb)(model).text)


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


def told(events: "Iterator[Progress | Result]", model: str) -> "ModelInfo":
    """Show on stderr how far the load is and what it waits for; the model as it is in the end. Raises: GatewayError."""
    from gateway.protocol import Progress, decode_model

    show = bar(model, sys.stderr) if sys.stderr.isatty() else lines()
    next(show)
    try:
        for event in events:
            if isinstance(event, Progress):
                show.send(event)
            else:
                return decode_model(event.value)
    finally:
        show.close()
    raise AssertionError("a load ends with a result or an error")


def lines() -> "Generator[None, Progress, None]":
    """A line whenever something else is waited for, or STEP_PERCENT more are loaded."""
    last = None
    while True:
        progress = yield
        step = (progress.reason, progress.detail, int(progress.load_progress * 100) // STEP_PERCENT)
        if step != last:
            about = "" if progress.reason == "memory" else f", about {progress.estimate_s:.0f} s"
            print(f"[{described(progress)}{about}]", file=sys.stderr)
        last = step


def bar(model: str, terminal: TextIO) -> "Generator[None, Progress, None]":
    """The same as one line that grows, for a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(file=terminal, force_terminal=True), transient=True) as shown:
        task = shown.add_task(escape(model), total=1.0)
        while True:
            progress = yield
            shown.update(task, completed=progress.load_progress, description=escape(described(progress)))


def described(progress: "Progress") -> str:
    """What is waited for, and how far it is."""
    percent = f" {progress.load_progress * 100:.0f} %" if progress.load_progress else ""
    more = f": {progress.detail}" if progress.detail not in ("", progress.reason) else ""
    return f"{progress.reason}{percent}{more}"
