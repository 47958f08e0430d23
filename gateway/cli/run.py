"""`warden run MODEL [PROMPT]`: a chat at the terminal; with a PROMPT, or a question through a pipe, one answer.

    on a terminal without PROMPT         the chat (`chat`)
    PROMPT                               one answer; what is piped in besides stands below the PROMPT
    a pipe or a file as standard input   one answer to what it holds

One answer goes to stdout as in `warden ask`, with the same exit codes. A model that is not there is refused before
anything is typed; one that has the id of a repository may be fetched at once, if the person agrees.
"""

import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.completion import complete_model
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.options import Json, Key

if TYPE_CHECKING:
    from control.home import Home
    from gateway.cli.chat_session import Conversation
    from gateway.client import BlockingClient, GatewayError

TERMINATED = 128 + 15
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def run(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or alias. Default: the default model.",
                                         show_default=False, autocompletion=complete_model)] = "",
    prompt: Annotated[list[str] | None, typer.Argument(metavar="PROMPT", help="Ask this and end.",
                                                       show_default=False)] = None,
    system: Annotated[str, typer.Option(metavar="TEXT", help="What the model is told first.")] = "",
    priority: Annotated[Literal["high", "medium", "low"], typer.Option(help="Class of the requests.")] = "high",
    victoria: Annotated[bool, typer.Option("--victoria", help="Ask the Victoria agent.")] = False,
    as_json: Json = False,
    key: Key = "",
) -> None:
    """Chat with a model. With a PROMPT, or a question through a pipe: one answer."""
    from gateway.cli.chat_session import Conversation
    from gateway.cli.settings import read_home

    home = read_home()
    question = read_question(" ".join(prompt or []))
    conversation = Conversation(model, system)
    fields: dict[str, object] = {"kind": "chat", "priority": priority} | ({"victoria": True} if victoria else {})
    if question:
        answer_once(home, conversation.asking(question), fields, key, as_json=as_json)
    elif as_json or not sys.stdout.isatty():
        raise CommandFailed("PROMPT: is missing; a chat needs a terminal, and with --json or into a pipe there is one "
                            "answer: give a PROMPT, or pipe it in", USAGE)
    else:
        chat_with(home, conversation, fields, key)


def read_question(prompt: str) -> str:
    """What to ask once; "" for a chat. Raises: CommandFailed."""
    from gateway.protocol import BODY_MAX_BYTES

    if sys.stdin.isatty() or (prompt and not _holds_text(sys.stdin.fileno())):
        return prompt
    data = sys.stdin.buffer.read(BODY_MAX_BYTES + 1)
    if len(data) > BODY_MAX_BYTES:
        raise CommandFailed(f"stdin: holds more than {BODY_MAX_BYTES} bytes, the limit of a question; split it", USAGE)
    try:
        piped = data.decode().strip()
    except UnicodeDecodeError:
        raise CommandFailed("stdin: is no text in UTF-8; convert it", USAGE) from None
    question = "\n\n".join(filter(None, (prompt, piped)))
    if not question:
        raise CommandFailed("stdin: is empty; pipe a question in, or give a PROMPT", USAGE)
    return question


def _holds_text(descriptor: int) -> bool:
    """A pipe or a file, which end; not a socket or a device that somebody left there."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def answer_once(home: "Home", conversation: "Conversation", fields: dict[str, object], key: str, *,
                as_json: bool) -> None:
    """Raises: CommandFailed."""
    from gateway.cli.connection import connected
    from gateway.cli.one_answer import show_answer

    with connected(home, key=key) as client:
        show_answer(client.generate(**conversation.request(), **fields), as_json=as_json)


def chat_with(home: "Home", conversation: "Conversation", fields: dict[str, object], key: str) -> None:
    """Raises: CommandFailed, typer.Exit."""
    import asyncio

    from gateway.cli.connection import connected
    from gateway.client import GatewayError
    from gateway.protocol import Message

    with connected(home, key=key) as client:  # what is wrong is told before the prompt, as every command tells it
        try:
            client.route(model=conversation.model, messages=[Message("user", "?")], **fields)
        except GatewayError as error:
            if error.code != "model_not_found" or not REPOSITORY.fullmatch(conversation.model):
                raise
            fetch_if_wanted(client, conversation.model, error)
    try:
        asyncio.run(_chat(home, conversation, fields, key))
    except asyncio.CancelledError:
        raise typer.Exit(TERMINATED) from None


def fetch_if_wanted(client: "BlockingClient", name: str, error: "GatewayError") -> None:
    """Ask the person. Raises: `error` if it is not wanted, GatewayError, typer.Exit after Ctrl-C."""
    from gateway.cli.pull import fetch

    if not typer.confirm(f"{name} is not here. Fetch it now?"):
        raise error
    fetch(client.ask_pull(name), name)


async def _chat(home: "Home", conversation: "Conversation", fields: dict[str, object], key: str) -> None:
    import asyncio
    import signal

    from gateway.cli.chat import Chat
    from gateway.cli.chat_file import TypedBefore
    from gateway.client import GatewayClient, GatewayError

    loop, us = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, us.cancel)
    try:
        async with GatewayClient(home.endpoint("clients"), key=key) as client:
            await Chat(client, TypedBefore(home.root), conversation, fields).run()
    except GatewayError as error:
        raise CommandFailed(error.message) from None
