"""The items of a step as frames that the gateway takes: none of them larger than FRAME_MAX_BYTES. Pure.

Nearly always the whole step is one frame. But what an answer has held back (blanks that may stand before a call, with
the chances of each, say) comes all at once, and a frame that is too large would cost everybody in the batch: its sender
is cut off, and all that stood in it is lost. So what is large is told in parts, in frames of its own, in order.

A call cannot be told in parts; a job whose call fits into no frame is given back as one that fails.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from msgspec.structs import replace

from workers.job_parts import CallPiece, More, TokenLogprob
from workers.protocol import FRAME_MAX_BYTES, Item

PART_MAX_BYTES = FRAME_MAX_BYTES // 4  # what goes into one frame, but for one thing that is larger by itself
CALL_MAX_BYTES = FRAME_MAX_BYTES // 2
# Never less than what MessagePack makes of it:
ITEM_BYTES, ID_BYTES, CHAR_BYTES, CHANCE_BYTES, CALL_BYTES = 128, 5, 4, 64, 64
PART_MAX_CHARS = PART_MAX_BYTES // CHAR_BYTES // 2
NO_MORE = More()


def frames_of(items: Sequence[Item]) -> tuple[list[list[Item]], list[Item]]:
    """(what stands in each frame, items of jobs that cannot be told)."""
    sizes = [size_of(item) for item in items]
    if sum(sizes) <= PART_MAX_BYTES:
        return [list(items)], []
    frames, failed, together, filled = [], [], [], 0
    for item, size in zip(items, sizes, strict=True):
        if any(_size_of_call(call) > CALL_MAX_BYTES for call in (item.more or NO_MORE).calls):
            failed.append(item)
        elif size > PART_MAX_BYTES:
            frames += [[part] for part in _parts(item)]
        else:
            if filled + size > PART_MAX_BYTES:
                frames.append(together)
                together, filled = [], 0
            together.append(item)
            filled += size
    return [*frames, together] if together else frames, failed


def size_of(item: Item) -> int:
    """In bytes, rather more than less."""
    size = ITEM_BYTES + CHAR_BYTES * len(item.text) + ID_BYTES * len(item.ids)
    if item.more is not None:
        more = item.more
        size += CHAR_BYTES * len(more.thinking) + sum(map(_size_of_call, more.calls))
        size += sum(map(_size_of_chance, more.logprobs)) + sum(map(len, more.vectors))
    return size


def _size_of_call(call: CallPiece) -> int:
    return CALL_BYTES + len(call.id) + CHAR_BYTES * len(call.name) + len(call.arguments.encode())


def _size_of_chance(chance: TokenLogprob) -> int:
    return CHANCE_BYTES + len(chance.piece) + sum(CHANCE_BYTES + len(top.piece) for top in chance.top)


def _parts(item: Item) -> Iterator[Item]:
    """Reasoning, then words with their chances, then calls and vectors, which stand at the end of what they belong to.
    The first part has the ids, the last one the end.
    """
    more = item.more or NO_MORE
    said = [("", More(thinking=piece)) for piece in _texts(more.thinking)]
    said += [(text or "", More(logprobs=chances or []))
             for text, chances in zip_longest(_texts(item.text), _chances(more.logprobs))]
    said += [("", More(calls=[call])) for call in more.calls]
    if more.vectors:
        said.append(("", More(vectors=more.vectors)))
    for number, (text, rest) in enumerate(said):
        position = item.position + (len(item.ids) if number else 0)
        yield replace(item, position=position, ids=item.ids if not number else [], text=text,
                      more=rest if rest != NO_MORE else None, end=item.end if number == len(said) - 1 else None)


def _texts(text: str) -> list[str]:
    return [text[at : at + PART_MAX_CHARS] for at in range(0, len(text), PART_MAX_CHARS)]


def _chances(chances: Sequence[TokenLogprob]) -> Iterator[list[TokenLogprob]]:
    some: list[TokenLogprob] = []
    filled = 0
    for chance in chances:
        size = _size_of_chance(chance)
        if some and filled + size > PART_MAX_BYTES // 2:
            yield some
            some, filled = [], 0
        some.append(chance)
        filled += size
    if some:
        yield some
