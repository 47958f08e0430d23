"""From an input that is to be embedded to its token ids: whole, cut to the context, or refused by its name.

A text gets what the tokenizer puts around texts (Qwen3-Embedding's end of text, say), also when it is cut: what stands
behind it stays. A text that cannot fit is refused without encoding all of it.

An empty text, as one of many often is, is what the tokenizer puts around texts; if that is nothing, it is the token
that begins or ends a text. A model that has none of these refuses it by its name.
"""

from collections.abc import Sequence
from typing import Protocol

from workers.engine import JobRefused
from workers.text_tokens import LONG_TEXT_CHARS_PER_TOKEN, SLICE_BORDER_TOKENS, SLICE_CHARS, refuse


class Tokenizer(Protocol):
    bos_token_id: int | None
    eos_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


class InputEncoder:
    """`context_length` in tokens: nothing is answered, so an input may fill it. Ids are below `vocabulary`."""

    def __init__(self, tokenizer: Tokenizer, context_length: int, vocabulary: int) -> None:
        self._tokenizer, self._context_length, self._vocabulary = tokenizer, context_length, vocabulary

    def encode(self, given: str | list[int], name: str, *, cut: bool, num_ctx: int = 0) -> Sequence[int]:
        """At least one id, at most as many as the context holds, or `num_ctx` if that is less. Raises: JobRefused."""
        limit = min(self._context_length, num_ctx or self._context_length)
        if isinstance(given, str):
            if cut:
                given = given[: LONG_TEXT_CHARS_PER_TOKEN * limit]
            self._check_text(given, name, limit)
            ids = self._tokenizer.encode(given, add_special_tokens=True) or self._bare()
        else:
            ids = given
            if min(ids) < 0 or max(ids) >= self._vocabulary:
                refuse(f"{name}: ids must be from 0 to {self._vocabulary - 1}, the vocabulary of this model")
        if not ids:
            refuse(f"{name}: this model's tokenizer makes no token of it; give some text or leave it out")
        if len(ids) <= limit:
            return ids
        if not cut:
            raise too_long(name, str(len(ids)), limit)
        last = self._closing(given, ids) if isinstance(given, str) else []
        return [*ids[: limit - len(last)], *last][:limit]

    def _bare(self) -> list[int]:
        """What stands for a text without tokens: one id or none."""
        begin, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        return [token for token in (begin, end) if token is not None and token < self._vocabulary][:1]

    def _check_text(self, text: str, name: str, limit: int) -> None:
        """A text that cannot fit is refused without encoding all of it. Raises: JobRefused."""
        if len(text) <= LONG_TEXT_CHARS_PER_TOKEN * limit:
            return
        tokens = 0
        for start in range(0, len(text), SLICE_CHARS):
            piece = self._tokenizer.encode(text[start : start + SLICE_CHARS], add_special_tokens=False)
            tokens += max(0, len(piece) - SLICE_BORDER_TOKENS)
            if tokens > limit:
                raise too_long(name, f"at least {tokens}", limit)

    def _closing(self, text: str, ids: list[int]) -> list[int]:
        """The tokens that the tokenizer puts behind a text."""
        plain = self._tokenizer.encode(text, add_special_tokens=False)
        for before in range(len(ids) - len(plain) + 1):
            if ids[before : before + len(plain)] == plain:
                return ids[before + len(plain) :]
        return []


def too_long(name: str, tokens: str, limit: int) -> JobRefused:
    return JobRefused("context_length_exceeded", f"{name}: it has {tokens} tokens; the context holds {limit}. Shorten "
                      "it, or ask for truncate where the dialect knows that")
