"""From a job to the ids of its prompt, or a refusal that names the field, the limit and the remedy.

Checks, in this order: something is there; it is text; the chat template takes the messages; every id is one of the
model's; at least one token of the context is left for the answer. `prompt` is taken as it is (no template), with the
token that begins a text in front unless it stands there already. A model without a chat template gets messages as
"role: content" lines. Text that cannot fit is refused without encoding all of it.

What a request may ask besides (`workers.job_parts.Extras`): tools, reasoning and a template of its own
(`chat_template`), a text after the answer (`fill_in`), a smaller context, and to lose the oldest part of the prompt
instead of being refused (`truncation`).
"""

from collections.abc import Callable
from typing import NamedTuple

from workers.chat_template import ChatTemplate
from workers.chat_turns import link_calls, tell_tools
from workers.engine import EngineJob, JobRefused
from workers.fill_in import Gap, fill_in_within, find_gap
from workers.job_parts import Extras
from workers.protocol import ChatMessage
from workers.text_tokens import (
    LONG_TEXT_CHARS_PER_TOKEN,
    SLICE_BORDER_TOKENS,
    SLICE_CHARS,
    TextTokens,
    Tokenizer,
    check_ids,
    check_length,
    check_present,
    check_text_only,
    refuse,
)
from workers.truncation import Room, choose_room, clip, cut_tokens, drop_oldest, shrink_longest

__all__ = ["LONG_TEXT_CHARS_PER_TOKEN", "SLICE_BORDER_TOKENS", "SLICE_CHARS", "Prompt", "PromptEncoder", "check_ids",
           "check_length", "check_present", "choose_context", "refuse"]

CONTEXT_FALLBACK_TOKENS = 4096  # for a model that does not say, if the operator does not either
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")


class Prompt(NamedTuple):
    """`context_length`: tokens that prompt and answer may have together. `thinks`: the answer begins inside a block of
    reasoning that the prompt has opened. What was left out to make it fit: whole messages, then `dropped_tokens` of
    what the rest made (of a text that is far too long the characters that went first are not counted).
    """

    tokens: list[int]
    context_length: int
    thinks: bool = False
    dropped_messages: int = 0
    dropped_tokens: int = 0


def choose_context(config: dict, configured: int) -> int:
    """The smaller of what the model was made for and what the operator set (0: nothing), in tokens."""
    parts = (config, config.get("text_config") or {})
    said = [part[name] for part in parts for name in CONTEXT_NAMES if isinstance(part.get(name), int)]
    return min((tokens for tokens in (*said[:1], configured) if tokens > 0), default=CONTEXT_FALLBACK_TOKENS)


class PromptEncoder:
    """`context_length` in tokens, the answer included; ids are below `vocabulary`. Of the model only its tokenizer is
    needed. `knows_tools`: its template tells tools, and mlx_lm reads the calls that come of it.

    `why_too_long` is asked, with the tokens of a prompt that is too long, what else its caller should know.
    """

    def __init__(self, tokenizer: Tokenizer, context_length: int, vocabulary: int,
                 why_too_long: Callable[[int], str] = lambda tokens: "") -> None:
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._vocabulary = vocabulary
        self._why_too_long = why_too_long
        self._texts = TextTokens(tokenizer, self._why)
        self._template = ChatTemplate(tokenizer, self._texts)
        self._gap: Gap | None = None

    @property
    def knows_tools(self) -> bool:
        return self._template.knows_tools

    def encode(self, job: EngineJob) -> Prompt:
        """At least one id and fewer than the context holds. Raises JobRefused."""
        check_present(job)
        check_text_only(job.messages or [])
        extras = job.extras
        context_length = min(self._context_length, extras.num_ctx or self._context_length)
        room = choose_room(context_length, job.max_tokens, extras.truncate)
        made = self._make(job, room)
        check_ids(made.tokens, self._vocabulary)
        tokens = made.tokens
        if extras.truncate and len(tokens) > room.whole:
            begins = int(tokens[0] == self._tokenizer.bos_token_id)
            tokens = cut_tokens(tokens, max(begins, extras.num_keep), room.shortened)
        check_length(len(tokens), context_length, why=lambda tokens: self._why(tokens, context_length))
        return made._replace(tokens=tokens, thinks=self._thinks(job, tokens),
                             dropped_tokens=made.dropped_tokens + len(made.tokens) - len(tokens))

    def _make(self, job: EngineJob, room: Room) -> Prompt:
        """The prompt, which may still be too long."""
        extras, context_length = job.extras, room.context_length
        if job.tokens is not None:
            return Prompt(list(job.tokens), context_length)
        if job.prompt is not None and extras.suffix:
            return self._make_insert(job, room)
        if job.prompt is not None and not extras.template:
            text = job.prompt
            if extras.truncate:
                text = self._texts.clip(text, context_length, extras.num_keep)
            else:
                self._texts.check(text, context_length)
            return Prompt(self._texts.encode(text), context_length)
        return self._make_chat(link_calls(job.messages or [ChatMessage("user", job.prompt or "")]), extras, room)

    def _make_chat(self, messages: list[ChatMessage], extras: Extras, room: Room) -> Prompt:
        context_length = room.context_length
        most_chars = LONG_TEXT_CHARS_PER_TOKEN * context_length
        self._texts.check(tell_tools(extras), context_length)  # of tools nothing can be left out
        messages = [clip(message, most_chars, ["thinking"]) for message in messages]  # many templates leave it out
        try:
            self._texts.check("".join(map(_words, messages)), context_length)
            tokens = self._template.render(messages, extras)
        except JobRefused as refused:
            if not extras.truncate or refused.code != "context_length_exceeded":
                raise
        else:
            if not extras.truncate or len(tokens) <= room.whole:
                return Prompt(tokens, context_length)
        clipped = [clip(message, most_chars) for message in messages]
        tokens, kept = drop_oldest(clipped, lambda some: self._template.render(some, extras),
                                   lambda text: len(self._texts.inside(text)), room.shortened)
        dropped_messages, excess = len(messages) - len(kept), len(tokens) - room.shortened
        if excess <= 0 or extras.num_keep:
            return Prompt(tokens, context_length, dropped_messages=dropped_messages)
        shorter = shrink_longest(kept, self._texts.inside, self._tokenizer.decode, excess + SLICE_BORDER_TOKENS)
        fewer = self._template.render(shorter, extras)
        return Prompt(fewer, context_length, False, dropped_messages, len(tokens) - len(fewer))

    def _make_insert(self, job: EngineJob, room: Room) -> Prompt:
        """What asks for the text between the prompt and the suffix."""
        before, after, truncate = job.prompt or "", job.extras.suffix or "", job.extras.truncate
        most_chars = LONG_TEXT_CHARS_PER_TOKEN * room.context_length
        if truncate:
            before, after = before[-most_chars:], after[:most_chars]
        else:
            self._texts.check(before + after, room.context_length)
        if job.extras.template:
            return Prompt(self._template.render_insert(before, job.extras), room.context_length)
        if self._gap is None:
            self._gap = find_gap(self._tokenizer.get_vocab())
        tokens, dropped = fill_in_within(
            self._gap, self._texts.inside(before), self._texts.inside(after), self._texts.begin(),
            lambda length: length <= room.whole or not truncate, room.shortened)
        return Prompt(tokens, room.context_length, dropped_tokens=dropped)

    def _thinks(self, job: EngineJob, tokens: list[int]) -> bool:
        if job.messages is not None or job.extras.template:
            return self._template.opens_thinking(tokens)
        if not self._tokenizer.has_thinking or job.extras.suffix:
            return False
        return self._tokenizer.rfind_think_start(tokens) > self._tokenizer.rfind_think_end(tokens)

    def _why(self, tokens: int, context_length: int) -> str:
        return self._why_too_long(tokens) if context_length == self._context_length else "; num_ctx asks for no more"


def _words(message: ChatMessage) -> str:
    """What every template writes of a message."""
    return message.content + "".join(call.arguments for call in message.tool_calls)
