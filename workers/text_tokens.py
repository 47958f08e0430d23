"""Texts as ids, each checked for its length before it is encoded whole: nobody waits long for a refusal.

What a job may not be is refused here in the same words for all that encode one: `JobRefused` names the field, the
limit and the remedy.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from workers.engine import EngineJob, JobRefused
from workers.protocol import ChatMessage

LONG_TEXT_CHARS_PER_TOKEN = 16  # a text longer than this times the context is first counted in slices
SLICE_CHARS = 32_768
SLICE_BORDER_TOKENS = 16  # how many tokens a slice may have more because of where it was cut


class Tokenizer(Protocol):
    """What is used of mlx_lm's tokenizer."""

    has_chat_template: bool
    has_thinking: bool
    has_tool_calling: bool
    think_start: str | None
    think_end: str | None
    bos_token: str | None
    bos_token_id: int | None
    chat_template: str | dict[str, str] | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...

    def get_vocab(self) -> Mapping[str, int]: ...

    def rfind_think_start(self, tokens: list[int]) -> int: ...

    def rfind_think_end(self, tokens: list[int]) -> int: ...

    def apply_chat_template(self, messages: list[dict], *, add_generation_prompt: bool, **asked: Any) -> list[int]: ...


class TextTokens:
    """`why_too_long` is asked, with the tokens and the context, what else the caller of a long text should know."""

    def __init__(self, tokenizer: Tokenizer, why_too_long: Callable[[int, int], str]) -> None:
        self._tokenizer = tokenizer
        self._why_too_long = why_too_long

    def encode(self, text: str) -> list[int]:
        """With the token that begins a text in front, once."""
        begin = self._tokenizer.bos_token
        return self._tokenizer.encode(checked(text), add_special_tokens=not (begin and text.startswith(begin)))

    def inside(self, text: str) -> list[int]:
        """Without the token that begins a text."""
        return self._tokenizer.encode(checked(text), add_special_tokens=False)

    def begin(self) -> list[int]:
        """What stands in front of any text: one id or none."""
        first = self._tokenizer.bos_token_id
        return [first] if first is not None and first in self._tokenizer.encode("", add_special_tokens=True) else []

    def check(self, text: str, context_length: int) -> None:
        """Raises JobRefused for a text that has certainly more tokens than the context."""
        if len(text) <= LONG_TEXT_CHARS_PER_TOKEN * context_length:
            return
        tokens = 0
        for start in range(0, len(text), SLICE_CHARS):
            tokens += max(0, len(self.inside(text[start : start + SLICE_CHARS])) - SLICE_BORDER_TOKENS)
            check_length(tokens, context_length, "at least ", lambda tokens: self._why_too_long(tokens, context_length))

    def clip(self, text: str, context_length: int, keep_tokens: int) -> str:
        """A text that is far too long as its first and its newest characters, enough of them for any context."""
        try:
            self.check(text, context_length)
        except JobRefused:
            newest = LONG_TEXT_CHARS_PER_TOKEN * context_length
            return text[: LONG_TEXT_CHARS_PER_TOKEN * min(keep_tokens, context_length)] + text[-newest:]
        return text


def checked(text: str) -> str:
    """The text, which a template or a call's arguments may have made of escapes. Raises JobRefused for half a
    character: what tokenizers raise there would end the engine.
    """
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        refuse(f"messages: \\u{ord(text[problem.start]):04x}, in a template or in arguments of a call, is half a "
               "character; write both halves, or leave it out")
    return text


def check_present(job: EngineJob) -> None:
    """Raises JobRefused unless the job says something, and its stop strings are usable."""
    if "" in job.stop:
        refuse("stop: an empty string cannot end an answer; leave it out")
    for name, value in (("tokens", job.tokens), ("prompt", job.prompt), ("messages", job.messages)):
        if value or value == "" and name == "prompt" and job.extras.suffix:
            return
        if value is not None:
            refuse(f"{name}: it is empty; give at least one")
    refuse("prompt: nothing was given; give messages, prompt or tokens")


def check_text_only(messages: list[ChatMessage]) -> None:
    """Raises JobRefused for images."""
    if any(message.images for message in messages):
        raise JobRefused("not_offered", "images: this model reads text only; leave them out, or ask a model that reads "
                         "images, such as moondream on a relayed Ollama")


def check_ids(tokens: list[int], vocabulary: int) -> None:
    """Raises JobRefused if an id is not one of the model's."""
    if not tokens:
        refuse("prompt: this model's tokenizer makes no token of it")
    if min(tokens) < 0 or max(tokens) >= vocabulary:
        refuse(f"tokens: ids must be from 0 to {vocabulary - 1}, the vocabulary of this model")


def check_length(tokens: int, context_length: int, about: str = "",
                 why: Callable[[int], str] = lambda tokens: "") -> None:
    """Raises JobRefused unless one token of the context is left for the answer."""
    if tokens >= context_length:
        raise JobRefused(
            "context_length_exceeded",
            f"the prompt has {about}{tokens} tokens; the context holds {context_length}, the answer included"
            f"{why(tokens)}",
        )


def refuse(message: str) -> NoReturn:
    raise JobRefused("invalid_request", message)
