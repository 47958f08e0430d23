"""From token ids to the text that callers see: incremental detokenising and stop strings. Pure.

Detokenising guarantees: no piece holds a part of a character; the pieces joined, with the one from `finish`, are what
the tokenizer's own `decode(ids, skip_special_tokens=True)` gives; the cost of a token does not depend on the length of
the answer; ids that are special or unknown to the tokenizer add nothing. Bytes that never became a character appear as
U+FFFD as soon as that is certain, at the latest in `finish`: the same places as in the tokenizer's decode.

Why of our own: mlx_lm's streaming detokenizers strip a leading space, show special tokens and are quadratic on invalid
bytes; `tokenizers.decoders.DecodeStream` keeps back any text that ends in invalid bytes, is quadratic there too, and
raises where a byte-fallback tokenizer takes a character back. Random weights and cut answers meet all of these.

Nearly every tokenizer of a language model is one of two kinds whose tokens *are* bytes (`ByteDetokenizer`): byte-level
BPE, and SentencePiece with byte fallback. There we differ from decode in one case: decode turns a whole run of byte
tokens into U+FFFD if one of them is wrong; we have shown the good characters of the run already, and keep them.
Any other decoder is asked again over a short window of tokens (`WindowDetokenizer`).

Special tokens are not shown, but for those that `shown` names (the markers of reasoning and calls), and while a
detokenizer is set `verbatim` (inside a call, whose reader needs them).

Stop strings: an answer ends where a stop string is first *complete*; of two that complete together, the one that began
earlier counts. That does not depend on how the text was cut into pieces. Only text that may still become a stop
string is held back.
"""

import codecs
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple, Protocol

HOLD_MAX_TOKENS = 8  # a window whose text ends in U+FFFD is held back this long; a character has at most 4 bytes
WINDOW_MAX_TOKENS = 32
WINDOW_KEEP_TOKENS = 4
UNFINISHED = "\ufffd"


class Detokenizer(Protocol):
    """One answer's. `add` returns the text that the id completes, `finish` what was still held back."""

    verbatim: bool

    def add(self, token: int) -> str: ...

    def finish(self) -> str: ...


class ByteDetokenizer:
    """For tokens that are bytes. `strip_spaces` is how many leading spaces of the answer the tokenizer drops."""

    def __init__(self, bytes_of: Callable[[int], bytes], hidden: Collection[int] = (), strip_spaces: int = 0) -> None:
        self.verbatim = False
        self._bytes_of = bytes_of
        self._hidden = hidden
        self._strip_spaces = strip_spaces
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode

    def add(self, token: int) -> str:
        if token in self._hidden and not self.verbatim:
            return ""
        piece = self._decode(self._bytes_of(token))
        return self._without_leading_spaces(piece) if self._strip_spaces else piece

    def finish(self) -> str:
        return self._decode(b"", final=True)

    def _without_leading_spaces(self, piece: str) -> str:
        while self._strip_spaces and piece.startswith(" "):
            piece = piece[1:]
            self._strip_spaces -= 1
        if piece:
            self._strip_spaces = 0
        return piece


class WindowDetokenizer:
    """For any other tokenizer: decodes a few tokens again each time and releases what is new. It shows the same tokens
    whether `verbatim` or not.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self.verbatim = False
        self._decode = decode
        self._window: list[int] = []
        self._said = 0  # characters of the window's text that were released
        self._held = 0  # tokens since the last release

    def add(self, token: int) -> str:
        self._window.append(token)
        text = self._decode(self._window)
        if text.endswith(UNFINISHED) and self._held < HOLD_MAX_TOKENS:
            self._held += 1
            return ""
        return self._release(text)

    def finish(self) -> str:
        return self._release(self._decode(self._window)) if self._window else ""

    def _release(self, text: str) -> str:
        piece, self._said, self._held = text[self._said :], len(text), 0
        if len(self._window) > WINDOW_MAX_TOKENS:
            self._window = self._window[-WINDOW_KEEP_TOKENS:]
            self._said = len(self._decode(self._window))
        return piece


class Vocabulary(NamedTuple):
    """What detokenising needs to know about a tokenizer.

    `decoder` is the decoder of its tokenizer.json (None if it has none), `piece_of` the token of an id as written there
    (None if unknown), `skip` the ids never shown, `decode` the tokenizer's own way, for ids that it knows.
    """

    decoder: Mapping | None
    piece_of: Callable[[int], str | None]
    skip: Collection[int]
    decode: Callable[[list[int]], str]


def vocabulary_of(tokenizer: Any, shown: Collection[int] = ()) -> Vocabulary:
    """What is used of mlx_lm's tokenizer to make text of ids. `shown`: special tokens that are shown all the same."""
    backend, known = getattr(tokenizer, "backend_tokenizer", None), len(tokenizer)

    def decode(ids: list[int]) -> str:
        parts: list[str] = []
        for is_shown, some in groupby((token for token in ids if token < known), shown.__contains__):
            parts.append(tokenizer.decode(list(some), skip_special_tokens=not is_shown))
        return "".join(parts)

    if backend is None:
        return Vocabulary(decoder=None, piece_of=lambda token: None, skip=(), decode=decode)
    return Vocabulary(
        decoder=json.loads(backend.decoder.__getstate__()) if backend.decoder else None,
        piece_of=backend.id_to_token,
        skip=[token for token, added in backend.get_added_tokens_decoder().items()
              if added.special and token not in shown],
        decode=decode,
    )


def special_ids(tokenizer: Any, texts: Iterable[str]) -> frozenset[int]:
    """The special tokens of which these texts are made, as far as they are made of such."""
    special = set(getattr(tokenizer, "all_special_ids", ()))
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        special |= {token for token, added in backend.get_added_tokens_decoder().items() if added.special}
    made_of = {token for text in texts if text for token in tokenizer.encode(text, add_special_tokens=False)}
    return frozenset(made_of & special)


def choose_detokenizer(vocabulary: Vocabulary) -> Callable[[], Detokenizer]:
    """A maker of detokenizers, one per answer; they share a table of the tokens seen so far."""
    bytes_of, strip_spaces = _token_bytes(vocabulary)
    if bytes_of is None:
        return lambda: WindowDetokenizer(vocabulary.decode)
    hidden = frozenset(vocabulary.skip)
    return lambda: ByteDetokenizer(bytes_of, hidden, strip_spaces)


def choose_pieces(vocabulary: Vocabulary) -> Callable[[int], bytes]:
    """From an id to the bytes that it stands for by itself, special tokens as they are written."""
    bytes_of, _ = _token_bytes(vocabulary)
    return bytes_of or (lambda token: (vocabulary.decode([token]) or vocabulary.piece_of(token) or "").encode())


def _token_bytes(vocabulary: Vocabulary) -> tuple[Callable[[int], bytes] | None, int]:
    """What a token's bytes are, None if tokens of this vocabulary are no bytes; and how many leading spaces go."""
    steps = _decoder_steps(vocabulary.decoder)
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return _remembered(vocabulary, byte_level_bytes), 0
    if kinds[:3] == ["Replace", "ByteFallback", "Fuse"] and kinds[3:] in ([], ["Strip"]):
        pattern, content = steps[0]["pattern"].get("String"), steps[0]["content"]
        strip_spaces = steps[3]["start"] if len(steps) == 4 else 0
        if pattern and all(step.get("content") == " " for step in steps[3:]):
            return _remembered(vocabulary, lambda piece: byte_fallback_bytes(piece.replace(pattern, content))), \
                strip_spaces
    return None, 0


def _decoder_steps(decoder: Mapping | None) -> list[Mapping]:
    if decoder is None:
        return []
    return list(decoder["decoders"]) if decoder["type"] == "Sequence" else [decoder]


def _remembered(vocabulary: Vocabulary, to_bytes: Callable[[str], bytes]) -> Callable[[int], bytes]:
    table: dict[int, bytes] = {}

    def bytes_of(token: int) -> bytes:
        found = table.get(token)
        if found is None:
            piece = vocabulary.piece_of(token)
            if piece is None:
                return b""  # not remembered: there is no limit on unknown ids
            found = table[token] = to_bytes(piece)
        return found

    return bytes_of


def _byte_alphabet() -> dict[str, int]:
    """Byte-level BPE writes each byte as a printable character: itself if it is one, else the next from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def byte_level_bytes(piece: str) -> bytes:
    """The bytes of a byte-level token; an added token, which is plain text, is its own UTF-8."""
    try:
        return bytes([_BYTE_OF[character] for character in piece])
    except KeyError:
        return piece.encode("utf-8")


def byte_fallback_bytes(piece: str) -> bytes:
    """The bytes of a SentencePiece token: `<0xE2>` is one byte, all else is text."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        try:
            return bytes([int(piece[3:5], 16)])
        except ValueError:
            pass
    return piece.encode("utf-8")


class Needles:
    """Strings looked for in a text that comes in pieces. Raises ValueError for an empty one."""

    def __init__(self, needles: Iterable[str]) -> None:
        self._needles = tuple(dict.fromkeys(needles))
        if "" in self._needles:
            raise ValueError("stop: an empty string cannot end an answer; leave it out")
        self._first = frozenset(needle[0] for needle in self._needles)
        self._longest = max(map(len, self._needles), default=0)

    def __bool__(self) -> bool:
        return bool(self._needles)

    def first_complete(self, text: str) -> tuple[int, int, str] | None:
        """(begin, end, needle) of the one that is complete first; of two, the one that began earlier."""
        found = [(at + len(needle), at, needle) for needle in self._needles if (at := text.find(needle)) >= 0]
        if not found:
            return None
        end, begin, needle = min(found)
        return begin, end, needle

    def safe_length(self, text: str) -> int:
        """How much of a text without a complete one can be no part of one, whatever follows."""
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[at] in self._first and any(needle.startswith(text[at:]) for needle in self._needles):
                return at
        return len(text)


class StopMatcher:
    """Finds stop strings in a text that comes in pieces.

    `feed` returns (text that is safe to show, whether a stop string was found); the stop string and what follows it are
    never shown, and after it `feed` and `flush` give nothing. Raises ValueError for an empty stop string.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = Needles(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> tuple[str, bool]:
        if self.stopped:
            return "", True
        if not self._stops:
            return text, False
        text = self._held + text
        found = self._stops.first_complete(text)
        if found is not None:
            self.stopped, self._held = True, ""
            return text[: found[0]], True
        safe = self._stops.safe_length(text)
        self._held = text[safe:]
        return text[:safe], False

    def flush(self) -> str:
        """The text held back, now that nothing follows it."""
        held, self._held = self._held, ""
        return held
