"""What the `/` commands of `warden run` do: each changes the chat, or says something, and the prompt comes back."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.cli import chat_file
from gateway.cli.answer_screen import say
from gateway.cli.chat_lines import COMMANDS, Command
from gateway.cli.chat_session import Conversation, ConversationRefused, options_given, with_parameter, with_think
from gateway.cli.terminal_size import columns_of_output
from gateway.cli.text_table import aligned, print_table
from gateway.client import GatewayError

if TYPE_CHECKING:
    from gateway.cli.chat import Chat

NOTHING_ASKED = "nothing was asked yet"


async def carry_out(chat: "Chat", command: Command) -> None:
    """Raises: Leave, ConversationRefused, GatewayError."""
    ready = DOES[command.name](chat, command.argument)
    if ready is not None:
        await ready


class Leave(Exception):
    """The person wants to go."""


def show_help(chat: "Chat", _: str) -> None:
    print_lines([[f"{name} {what}".rstrip(), text] for name, (what, text) in COMMANDS.items()])
    print_lines([
        ['"""', "Begins and ends a message of several lines; so does a backslash at the end of a line."],
        ["Alt+Enter", "A further line. Ctrl-R: look through what you typed before."],
        ["Ctrl-C", "Stop the answer; at the prompt, clear the line."]])
    kept = f"What you type is kept in {chat.typed.path}, for you alone" if chat.typed.keeps else (
        f"What you type is not kept; what was before stands in {chat.typed.path}")
    say(f"{kept}.")


def leave(chat: "Chat", _: str) -> None:
    raise Leave


def clear(chat: "Chat", _: str) -> None:
    chat.conversation = chat.conversation.cleared()
    say("the conversation begins anew")


async def retry(chat: "Chat", _: str) -> None:
    again = chat.conversation.retrying()
    if again is None:
        raise ConversationRefused(f"/retry: {NOTHING_ASKED}")
    chat.conversation = again
    await chat.answer()


def undo(chat: "Chat", _: str) -> None:
    before = chat.conversation.undone()
    if before is None:
        raise ConversationRefused(f"/undo: {NOTHING_ASKED}")
    chat.conversation = before
    say(f"taken back; the conversation holds {counted(before)}")


async def model(chat: "Chat", name: str) -> None:
    if name:
        chat.prepare_model(await chat.find_model(name))
        say(f"{chat.conversation.model} from the next answer")
        return
    models = await chat.client.list_models()
    print_table(["", "NAME", "STATE", "WHY"], [["->" if each.name == chat.conversation.model else "", each.name,
                                               each.state, each.reason or "-"] for each in models])


async def show(chat: "Chat", _: str) -> None:
    held = chat.conversation
    try:
        info = await chat.client.show(held.model)
        about = f"{held.model} ({info.engine}, {info.state}" + (
            f", context {info.context_length})" if info.context_length else ")")
    except GatewayError:
        about = held.model  # what only a relay's server has is not shown by the gateway
    options = ", ".join(f"{name} {value}" for name, value in options_given(held.options).items())
    think = {None: "auto", True: "on", False: "off"}.get(held.think, held.think)
    print_lines([
        ["model", about], ["system", held.system or "-"], ["parameters", options or "the model's own"],
        ["think", think], ["class", str(chat.fields["priority"])], ["length", counted(held)],
        ["history", str(chat.typed.path) if chat.typed.keeps else "not kept"]])


def save(chat: "Chat", name: str) -> None:
    say(chat_file.save(chat.conversation, name))


async def load(chat: "Chat", name: str) -> None:
    found = chat_file.load(name)
    before = chat.conversation.model
    chat.conversation = replace(found, model=before)
    if found.model and found.model != before:
        try:
            chat.prepare_model(await chat.find_model(found.model))
        except GatewayError as error:
            say(f"{error.message}; it goes on with {before}")
    say(f"the conversation holds {counted(chat.conversation)}; model {chat.conversation.model}")


def set_system(chat: "Chat", text: str) -> None:
    chat.conversation = replace(chat.conversation, system=text)
    say("the system text is set" if text else "there is no system text")


def set_parameter(chat: "Chat", text: str) -> None:
    chat.conversation, line = with_parameter(chat.conversation, text)
    say(line)


def set_think(chat: "Chat", text: str) -> None:
    chat.conversation, line = with_think(chat.conversation, text)
    say(line)


def set_verbose(chat: "Chat", *, verbose: bool) -> None:
    chat.verbose = verbose
    say("times follow each answer" if verbose else "no times")


def set_wrap(chat: "Chat", *, wraps: bool) -> None:
    chat.wraps = wraps
    say("lines break between words" if wraps else "lines are left as they are")


def set_history(chat: "Chat", *, keeps: bool) -> None:
    chat.typed.keeps = keeps
    say(f"what you type is {'kept' if keeps else 'not kept from now on; what was before stands'} in {chat.typed.path}")


def print_lines(lines: list[list[str]]) -> None:
    for line in aligned(lines, columns_of_output()):
        print(line)


def counted(conversation: Conversation) -> str:
    count = len(conversation.turns) // 2
    held = {0: "nothing yet", 1: "one question and its answer"}.get(count, f"{count} questions and their answers")
    return held + ("; one question waits for /retry" if conversation.pending else "")


DOES: "dict[str, Callable[[Chat, str], Awaitable[None] | None]]" = {
    "help": show_help, "bye": leave, "clear": clear, "retry": retry, "undo": undo, "model": model, "show": show,
    "save": save, "load": load, "set system": set_system, "set parameter": set_parameter, "set think": set_think,
    "set verbose": lambda chat, _: set_verbose(chat, verbose=True),
    "set quiet": lambda chat, _: set_verbose(chat, verbose=False),
    "set wrap": lambda chat, _: set_wrap(chat, wraps=True),
    "set nowrap": lambda chat, _: set_wrap(chat, wraps=False),
    "set history": lambda chat, _: set_history(chat, keeps=True),
    "set nohistory": lambda chat, _: set_history(chat, keeps=False),
}
