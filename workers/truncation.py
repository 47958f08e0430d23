"""What of a prompt that is too long is kept: which messages, then which tokens. Pure.

How much room there is (`choose_room`): a prompt is left whole while an answer of an eighth of the context (or of
`max_tokens`, if that is less) fits after it. One that must be shortened leaves room for `max_tokens`, at most half of
the context; without `max_tokens` for an eighth.

Of messages the oldest go first, never one of the system and never the last, which keeps the call that it is the result
of. What is kept begins with a question wherever that is possible, since templates ask for it. The template is rendered
a few times only, however many messages there are: a first guess counts the newest messages' tokens, and each further
one has at least twice the step of the one before. If what must be kept is too long still, the longest message of it
loses its first words, so that the prompt keeps its form; with a `num_keep`, or if that does not help, tokens go.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from workers.engine import JobRefused
from workers.protocol import ChatMessage

SPARE_PART = 8  # of the context: 1/8
ANSWER_PART = 2  # 1/2 at most
OF_SYSTEM = ("system", "developer")


class Room(NamedTuple):
    """In tokens of a prompt: it is left whole up to `whole`, and shortened to `shortened` beyond."""

    context_length: int
    whole: int
    shortened: int


def choose_room(context_length: int, max_tokens: int, truncate: bool) -> Room:
    """Without `truncate` only one token of the context must be left. `max_tokens` 0: not said."""
    if not truncate:
        return Room(context_length, context_length - 1, context_length - 1)
    eighth = max(1, context_length // SPARE_PART)
    spare = min(max_tokens or eighth, eighth)
    answer = max(1, min(max_tokens or eighth, context_length // ANSWER_PART))
    return Room(context_length, max(1, context_length - spare), max(1, context_length - answer))


def cut_tokens(tokens: list[int], keep: int, most: int) -> list[int]:
    """At most `most` of them: the first `keep`, then the newest, of which at least one stays."""
    if len(tokens) <= most:
        return tokens
    keep = max(0, min(keep, most - 1))
    return tokens[:keep] + tokens[len(tokens) - (most - keep):]


def clip(message: ChatMessage, max_chars: int, fields: Sequence[str] = ("content", "thinking")) -> ChatMessage:
    """A message that alone would take far too long to encode keeps its newest characters."""
    long = {name: getattr(message, name)[-max_chars:] for name in fields if len(getattr(message, name)) > max_chars}
    return msgspec.structs.replace(message, **long) if long else message


def shrink_longest(messages: Sequence[ChatMessage], encode: Callable[[str], list[int]],
                   decode: Callable[[list[int]], str], excess: int) -> list[ChatMessage]:
    """The longest of the messages without its first `excess` tokens, the others as they are."""
    at = max(range(len(messages)), key=lambda index: len(messages[index].content))
    ids = encode(messages[at].content)[excess:]
    shorter = msgspec.structs.replace(messages[at], content=decode(ids) if ids else "")
    return [*messages[:at], shorter, *messages[at + 1:]]


class Shortened(NamedTuple):
    """`messages` are those that `tokens` were made of."""

    tokens: list[int]
    messages: list[ChatMessage]


def drop_oldest(messages: Sequence[ChatMessage], render: Callable[[Sequence[ChatMessage]], list[int]],
                count: Callable[[str], int], most: int) -> Shortened:
    """The prompt with as many of the newest messages as fit into `most` tokens, or with as few as may be kept.

    Raises JobRefused as `render` does, if it refuses whatever is kept.
    """
    cuts = _cuts(messages)
    newest = _count_newest(messages, count, most)
    best: Shortened | None = None
    each_more, step, at = 0.0, 1, _first_fit(cuts, newest, messages, 0.0, most, 0)
    while True:
        kept = _from(messages, cuts[at])
        try:
            best = Shortened(render(kept), kept)
        except JobRefused:
            if at == 0:
                raise
        else:
            if len(best.tokens) <= most:
                return best
            each_more = max(each_more, (len(best.tokens) - _sum_from(messages, cuts[at], newest)) / len(kept))
        if at == len(cuts) - 1:
            break
        at = min(len(cuts) - 1, max(at + step, _first_fit(cuts, newest, messages, each_more, most, at + 1)))
        step *= 2
    if best is None:  # only the last was tried, which need not begin with a question
        kept = _from(messages, cuts[-2])
        best = Shortened(render(kept), kept)
    return best


def _cuts(messages: Sequence[ChatMessage]) -> list[int]:
    """Indices from which on messages may be kept, rising; the first keeps all, the last as few as may be."""
    last = len(messages) - 1
    while last > 0 and messages[last].role == "tool":
        last -= 1
    loose = [at for at, message in enumerate(messages) if message.role not in OF_SYSTEM]
    cuts = [0, *(at for at in loose[1:] if messages[at].role == "user" and at < last), last]
    return list(dict.fromkeys(cuts))


def _from(messages: Sequence[ChatMessage], cut: int) -> list[ChatMessage]:
    return [message for at, message in enumerate(messages) if at >= cut or message.role in OF_SYSTEM]


def _count_newest(messages: Sequence[ChatMessage], count: Callable[[str], int], most: int) -> list[int]:
    """Tokens of each message's words; of those before the ones that fit, `most`, without counting."""
    tokens, left = [most] * len(messages), most
    for at in [at for at, message in enumerate(messages) if message.role in OF_SYSTEM]:
        tokens[at] = count(messages[at].content)
        left -= tokens[at]
    for at in range(len(messages) - 1, -1, -1):
        if left < 0:
            break
        if messages[at].role not in OF_SYSTEM:
            tokens[at] = count(messages[at].content)
            left -= tokens[at]
    return tokens


def _sum_from(messages: Sequence[ChatMessage], cut: int, tokens: list[int]) -> int:
    return sum(tokens[at] for at, message in enumerate(messages) if at >= cut or message.role in OF_SYSTEM)


def _first_fit(cuts: list[int], tokens: list[int], messages: Sequence[ChatMessage], each_more: float, most: int,
               start: int) -> int:
    """Which of the cuts, from `start` on, is the first after which the guessed length fits; else the last."""
    length = 0.0
    fits = [False] * (len(messages) + 1)
    for at, message in enumerate(messages):
        if message.role in OF_SYSTEM:
            length += tokens[at] + each_more
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role not in OF_SYSTEM:
            length += tokens[at] + each_more
        fits[at] = length <= most
    return next((index for index in range(start, len(cuts)) if fits[cuts[index]]), len(cuts) - 1)
