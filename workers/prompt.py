"""From a job to the ids of its prompt, or a refusal that names the field, the limit and the remedy.

Checks, in this order: something is there; the chat template takes the messages; every id is one of the model's; at
least one token of the context is left for the answer. `prompt` is taken as it is (no template), with the token that
begins a text in front unless it stands there already. A model without a chat template gets messages as "role: content"
lines. Text that cannot fit is refused without encoding all of it: nobody waits long for a refusal.
"""

from collections.abc import Callable
from typing import NoReturn, Protocol

from workers.engine import EngineJob, JobRefused
from workers.protocol import ChatMessage

LONG_TEXT_CHARS_PER_TOKEN = 16  # a text longer than this times the context is first counted in slices
SLICE_CHARS = 32_768
CONTEXT_FALLBACK_TOKENS = 4096  # for a model that does not say, if the operator does not either
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
SLICE_BORDER_TOKENS = 16  # how many tokens a slice may have more because of where it was cut


class Tokenizer(Protocol):
    """What is used of mlx_lm's tokenizer."""

    has_chat_template: bool
    bos_token: str | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def apply_chat_template(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> list[int]: ...


def choose_context(config: dict, configured: int) -> int:
    """The smaller of what the model was made for and what the operator set (0: nothing), in tokens."""
    parts = (config, config.get("text_config") or {})
    said = [part[name] for part in parts for name in CONTEXT_NAMES if isinstance(part.get(name), int)]
    return min((tokens for tokens in (*said[:1], configured) if tokens > 0), default=CONTEXT_FALLBACK_TOKENS)


class PromptEncoder:
    """`context_length` in tokens, the answer included; ids are below `vocabulary`.

    `why_too_long` is asked, with the tokens of a prompt that is too long, what else its caller should know.
    """

    def __init__(self, tokenizer: Tokenizer, context_length: int, vocabulary: int,
                 why_too_long: Callable[[int], str] = lambda tokens: "") -> None:
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._vocabulary = vocabulary
        self._why_too_long = why_too_long

    def encode(self, job: EngineJob) -> list[int]:
        """At least one id and fewer than the context holds. Raises JobRefused."""
        check_present(job)
        if job.tokens is not None:
            tokens = list(job.tokens)
        elif job.prompt is not None:
            tokens = self._encode_text(job.prompt)
        else:
            tokens = self._encode_messages(job.messages or [])
        check_ids(tokens, self._vocabulary)
        check_length(len(tokens), self._context_length, why=self._why_too_long)
        return tokens

    def _encode_text(self, text: str) -> list[int]:
        self._check_text_length(text)
        begin = self._tokenizer.bos_token
        return self._tokenizer.encode(text, add_special_tokens=not (begin and text.startswith(begin)))

    def _encode_messages(self, messages: list[ChatMessage]) -> list[int]:
        from jinja2 import TemplateError  # not above: an echo worker starts without it

        if not self._tokenizer.has_chat_template:
            lines = [f"{message.role}: {message.content}\n" for message in messages]
            return self._encode_text("".join(lines) + "assistant:")
        self._check_text_length("".join(message.content for message in messages))
        spoken = [{"role": message.role, "content": message.content} for message in messages]
        try:
            tokens = self._tokenizer.apply_chat_template(spoken, add_generation_prompt=True)
        except (TemplateError, TypeError, ValueError, LookupError) as error:  # a program of the model's author
            raise JobRefused("invalid_request", f"messages: the model's chat template refuses them: {error}") from error
        return tokens or refuse("messages: the model's chat template makes nothing of them")

    def _check_text_length(self, text: str) -> None:
        if len(text) <= LONG_TEXT_CHARS_PER_TOKEN * self._context_length:
            return
        tokens = 0
        for start in range(0, len(text), SLICE_CHARS):
            piece = self._tokenizer.encode(text[start : start + SLICE_CHARS], add_special_tokens=False)
            tokens += max(0, len(piece) - SLICE_BORDER_TOKENS)
            check_length(tokens, self._context_length, "at least ", self._why_too_long)


def check_present(job: EngineJob) -> None:
    """Raises JobRefused unless the job says something, and its stop strings are usable."""
    if "" in job.stop:
        refuse("stop: an empty string cannot end an answer; leave it out")
    for name, value in (("tokens", job.tokens), ("prompt", job.prompt), ("messages", job.messages)):
        if value:
            return
        if value is not None:
            refuse(f"{name}: it is empty; give at least one")
    refuse("prompt: nothing was given; give messages, prompt or tokens")


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
