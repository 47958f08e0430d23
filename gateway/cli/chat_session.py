"""A conversation of `warden run`: who said what, what is asked next, and the file in which it is kept. Pure.

1. What was asked and not answered is no part of it; `pending` keeps it for `/retry`. So questions and answers alternate
   always, which many models need.
2. An answer that was stopped or broke off stays, as far as it came, and is marked.
3. What the model thought is kept for the file and not told to it again.
4. A conversation that is read from a file is checked whole, or refused with one line.
"""

import difflib
from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.cli.request_fields import SAMPLING, FieldsRefused, fields_of, read_object
from gateway.protocol import MESSAGES_MAX, Message, Options

FORMAT, VERSION = "warden-chat", 1
FILE_MAX_BYTES = 32 * 1024 * 1024
OLLAMAS = {"num_predict": "max_tokens"}  # what others call it
WORDS = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false", "array": "a list"}
THOUGHTS = {"on": True, "off": False, "auto": None, "low": "low", "medium": "medium", "high": "high"}


class ConversationRefused(Exception):
    """One line: the field, what is wrong, and the remedy."""


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one said. `cut`: an answer that did not come to its end: "stopped" by the person, or "broken" off."""

    role: Literal["user", "assistant"]
    content: str
    thinking: str = ""
    cut: Literal["", "stopped", "broken"] = ""


class Conversation(msgspec.Struct, frozen=True):
    """`pending`: asked, without an answer. `forgets`: the oldest turns may be left out, for it has become too long."""

    model: str
    system: str = ""
    options: Options = Options()
    think: bool | Literal["low", "medium", "high"] | None = None
    turns: tuple[Turn, ...] = ()
    pending: str = ""
    forgets: bool = False

    def asking(self, question: str) -> "Conversation":
        return replace(self, pending=question)

    def answered(self, text: str, thinking: str = "", cut: str = "") -> "Conversation":
        """With what came of the answer to `pending`. Nothing came: it stays pending (1)."""
        if not text and cut:
            return self
        turns = (*self.turns, Turn("user", self.pending), Turn("assistant", text, thinking, cut))
        return replace(self, turns=turns, pending="")

    def retrying(self) -> "Conversation | None":
        """The last question is pending again, its answer forgotten. None: there is none."""
        if self.pending:
            return self
        if not self.turns:
            return None
        return replace(self, turns=self.turns[:-2], pending=self.turns[-2].content)

    def undone(self) -> "Conversation | None":
        if self.pending:
            return replace(self, pending="")
        return replace(self, turns=self.turns[:-2]) if self.turns else None

    def cleared(self) -> "Conversation":
        return replace(self, turns=(), pending="", forgets=False)

    def request(self) -> dict[str, object]:
        """Fields of `protocol.Submit` that ask for an answer to `pending`."""
        said = [Message("system", self.system)] if self.system else []
        said += [Message(turn.role, turn.content) for turn in self.turns]
        return {"model": self.model, "messages": [*said, Message("user", self.pending)][-MESSAGES_MAX:],
                "options": self.options, "think": self.think, "truncate": self.forgets}


def with_parameter(conversation: Conversation, said: str) -> tuple[Conversation, str]:
    """After `/set parameter SAID`, and a line about it. Raises: ConversationRefused."""
    name, _, given = said.partition(" ")
    given = given.strip()
    if name not in SAMPLING:
        near = difflib.get_close_matches(OLLAMAS.get(name, name), SAMPLING, 1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(SAMPLING)}"
        raise ConversationRefused(f"there is no parameter {name}; {advice}")
    options = options_given(conversation.options)
    options.pop(name, None)
    if given:
        options[name] = [given] if name == "stop" and not given.startswith("[") else _value(given)
    line = f"{name} is {given} from the next answer" if given else f"{name} is the model's own from the next answer"
    return replace(conversation, options=_checked(options)), line


def with_think(conversation: Conversation, said: str) -> tuple[Conversation, str]:
    """After `/set think SAID`, and a line about it. Raises: ConversationRefused."""
    if said.lower() not in THOUGHTS:
        raise ConversationRefused(f"/set think {said.split()[0]}: say {', '.join(THOUGHTS)}")
    return replace(conversation, think=THOUGHTS[said.lower()]), f"think is {said.lower()} from the next answer"


def options_given(options: Options) -> dict[str, object]:
    """Those that are not the model's own."""
    return {name: value for name in SAMPLING if (value := getattr(options, name)) is not None}


def encode_conversation(conversation: Conversation) -> bytes:
    """The file: one JSON object, with a line for each message."""
    turns = [*conversation.turns, Turn("user", conversation.pending)] if conversation.pending else conversation.turns
    held = {"format": FORMAT, "version": VERSION, "model": conversation.model, "system": conversation.system,
            "options": options_given(conversation.options), "think": conversation.think, "messages": turns}
    return msgspec.json.format(msgspec.json.encode(held), indent=2) + b"\n"


def decode_conversation(data: bytes) -> Conversation:
    """Of `encode_conversation`, or an object with the `messages` of a chat, as other programs keep them.

    Raises: ConversationRefused.
    """
    if len(data) > FILE_MAX_BYTES:
        raise ConversationRefused(f"is larger than {FILE_MAX_BYTES} bytes, which is the limit")
    try:
        held = read_object(data)
    except FieldsRefused as refused:
        raise ConversationRefused(str(refused)) from None
    if held.get("format", FORMAT) != FORMAT or held.get("version", VERSION) != VERSION:
        raise ConversationRefused(f"is of another format or version; this program reads {FORMAT} {VERSION}")
    said = held.get("messages")
    if not isinstance(said, list):
        raise ConversationRefused("has no messages; a list of {\"role\": ..., \"content\": ...} is needed")
    if said and isinstance(said[0], dict) and said[0].get("role") == "system":
        held.setdefault("system", said[0].get("content"))
        said = said[1:]
    try:
        turns = msgspec.convert(said, tuple[Turn, ...])
        known = msgspec.convert({name: held[name] for name in ("model", "system", "think") if held.get(name)}, _Known)
    except msgspec.ValidationError as problem:
        raise ConversationRefused(f"is no conversation ({problem})") from None
    for number, turn in enumerate(turns):
        if turn.role != ("user", "assistant")[number % 2]:
            raise ConversationRefused(f"messages: number {number + 1} is of {turn.role}; user and assistant must take "
                                      "turns, the user first")
    pending = turns[-1].content if len(turns) % 2 else ""
    options = held.get("options") or {}
    if not isinstance(options, dict):
        raise ConversationRefused("options: must be an object")
    return Conversation(known.model, known.system, _checked(options), known.think,
                        turns[:len(turns) - len(turns) % 2], pending)


class _Known(msgspec.Struct):
    model: str = ""
    system: str = ""
    think: bool | Literal["low", "medium", "high"] | None = None


def _checked(options: dict[str, object]) -> Options:
    """Raises: ConversationRefused."""
    try:
        return fields_of(options | {"prompt": "?"})["options"]
    except FieldsRefused as refused:
        line = str(refused).replace(" | null", "")
        for of_program, word in WORDS.items():
            line = line.replace(f"`{of_program}`", word)
        raise ConversationRefused(line) from None


def _value(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text
