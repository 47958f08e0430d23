"""`warden route --dry-run`: who would answer this request now, and why? The running gateway is asked, and nobody else.

The request is a text (what a user says), a JSON object as a line of `warden batch` has it, a file with either, or `-`.
In JSON the fields kind, priority, victoria, demanding and hop of the client protocol may stand too; the options say
the same and win. Exit code 0: somebody would answer. 1: nobody would now, and why. 2: the request itself is wrong.
"""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.options import Json, Key, ModelOption, print_json

if TYPE_CHECKING:
    from gateway.client import BlockingClient
    from gateway.protocol import RouteInfo

STREAM = "-"
MORE = ("kind", "priority", "victoria", "demanding", "hop")
REASONS = {
    "": "the first of its chain that can",
    "overloaded": "MLX is overloaded, and this is simple work",
    "down": "what comes before it in the chain cannot answer now",
    "failed": "what comes before it in the chain failed",
    "images": "only Ollama reads images",
}
HEADER = ["", "BACKEND", "MODEL THERE", "STATE", "WHY"]


def route(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="What to ask, a JSON object, a file with either, or "
                                           "- for stdin.")],
    model: ModelOption = "",
    category: Annotated[str, typer.Option(help="Chooses a model where none is named.")] = "",
    kind: Annotated[Literal["chat", "task", "batch", "agent"] | None,
                    typer.Option(help="Chooses the chain. Default: task.", show_default=False)] = None,
    priority: Annotated[Literal["high", "medium", "low"] | None,
                        typer.Option(help="Class of the request. Default: medium.", show_default=False)] = None,
    victoria: Annotated[bool, typer.Option("--victoria", help="A chat that wants the Victoria agent.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask nobody. This command never does.",
                                         show_default=False)] = True,
    as_json: Json = False,
    key: Key = "",
) -> None:
    """Show who would answer a request now: its chain, how each step is, and the choice."""
    from gateway.cli.connection import connected
    from gateway.cli.request_fields import FieldsRefused
    from gateway.cli.settings import read_home

    said = {"model": model, "category": category, "kind": kind, "priority": priority}
    try:
        fields = read_request(request) | {name: value for name, value in said.items() if value}
    except FieldsRefused as refused:
        raise CommandFailed(f"REQUEST: {refused}", USAGE) from None
    if victoria or fields.get("victoria"):
        fields = {"kind": "chat", **fields, "victoria": True}
        if fields["kind"] != "chat":
            raise CommandFailed(f"--victoria: is for chats, and the kind is {fields['kind']}; leave one of them out",
                                USAGE)
    with connected(read_home(), key=key) as client:
        info = client.route(**fields)
        states = how_models_are(client, info)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(info))
    else:
        show(info, states)
    if info.chosen < 0:
        raise typer.Exit(FAILED)


def read_request(given: str) -> dict[str, object]:
    """Fields of `protocol.Submit` but id. Raises: FieldsRefused, CommandFailed."""
    from gateway.cli.request_fields import fields_of, read_object

    text = given
    if given == STREAM:
        text = sys.stdin.read()
    elif len(given) < 4096 and os.path.isfile(given):
        try:
            with open(given, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as problem:
            raise CommandFailed(f"{given}: cannot be read as text ({problem}); correct the path", USAGE) from None
    elif looks_like_a_path(given):
        raise CommandFailed(f"REQUEST: there is no file {given}; correct the path, or give the text itself", USAGE)
    if text.lstrip().startswith("{"):
        found = read_object(text)
        found.pop("id", None)
        return fields_of(found, MORE)
    return fields_of({"prompt": text})


def looks_like_a_path(given: str) -> bool:
    """Nobody asks a model that: one word, or something with the beginning of a path, which ends like a file of ours."""
    is_one = not any(c.isspace() for c in given) or given.startswith(("/", "./", "../", "~/"))
    return is_one and given.endswith((".json", ".jsonl")) and "\n" not in given


def how_models_are(client: "BlockingClient", info: "RouteInfo") -> dict[str, str]:
    """Of the steps that run here: whether the model is loaded, and why it is as it is."""
    from control.states import LOCAL
    from gateway.client import GatewayError

    found = {}
    for step in info.steps:
        if step.backend in LOCAL and step.state == "open":
            try:
                model = client.show(step.model)
            except GatewayError:
                continue  # it answers this caller's requests, but is not shown to it
            found[step.model] = "loaded" if model.state == "ready" else f"{model.state}: {model.reason}"
    return found


def show(info: "RouteInfo", states: dict[str, str]) -> None:
    from gateway.cli.text_table import print_table

    print(f"model {info.model}, kind {info.kind}, class {info.priority}, asked by {a(info.audience)}")
    print(f"{'simple' if info.simple else 'not simple'} work; MLX is {'' if info.overloaded else 'not '}overloaded for "
          "its kind")
    print_table(HEADER, [["->" if number == info.chosen else "", step.backend, step.model or "-", step.state,
                          step.why or states.get(step.model, "") or "-"]
                         for number, step in enumerate(info.steps)])
    if info.chosen >= 0:
        print(f"answered by {info.steps[info.chosen].backend}: {REASONS.get(info.reason, info.reason)} "
              f"(route {info.route})")
    else:
        print(f"answered by nobody: {info.message} ({info.code})")


def a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
