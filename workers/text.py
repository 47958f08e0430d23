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

Stop strings: an answer ends where a stop string is first *complete*; of two that complete together, the one that began
earlier counts. That does not depend on how the text was cut into pieces. Only text that may still become a stop
string is held back.
"""

import codecs
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

HOLD_MAX_TOKENS = 8  # a window whose text ends in U+FFFD is held back this long; a character has at most 4 bytes
WINDOW_MAX_TOKENS = 32
WINDOW_KEEP_TOKENS = 4
UNFINISHED = "\ufffd"


class Detokenizer(Protocol):
    """One answer's. `add` returns the text that the id completes, `finish` what was still held back."""

    def add(self, token: int) -> str: ...

    def finish(self) -> str: ...


class ByteDetokenizer:
    """For tokens that are bytes. `strip_spaces` is how many leading spaces of the answer the tokenizer drops."""

    def __init__(self, bytes_of: Callable[[int], bytes], strip_spaces: int = 0) -> None:
        self._bytes_of = bytes_of
        self._strip_spaces = strip_spaces
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode

    def add(self, token: int) -> str:
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
    """For any other tokenizer: decodes a few tokens again each time and releases what is new."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
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


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """What is used of mlx_lm's tokenizer to make text of ids."""
    backend, known = getattr(tokenizer, "backend_tokenizer", None), len(tokenizer)

    def decode(ids: list[int]) -> str:
        return tokenizer.decode([token for token in ids if token < known], skip_special_tokens=True)

    if backend is None:
        return Vocabulary(decoder=None, piece_of=lambda token: None, skip=(), decode=decode)
    return Vocabulary(
        decoder=json.loads(backend.decoder.__getstate__()) if backend.decoder else None,
        piece_of=backend.id_to_token,
        skip=[token for token, added in backend.get_added_tokens_decoder().items() if added.special],
        decode=decode,
    )


def choose_detokenizer(vocabulary: Vocabulary) -> Callable[[], Detokenizer]:
    """A maker of detokenizers, one per answer; they share a table of the tokens seen so far."""
    steps = _decoder_steps(vocabulary.decoder)
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        bytes_of = _remembered(vocabulary, byte_level_bytes)
        return lambda: ByteDetokenizer(bytes_of)
    if kinds[:3] == ["Replace", "ByteFallback", "Fuse"] and kinds[3:] in ([], ["Strip"]):
        pattern, content = steps[0]["pattern"].get("String"), steps[0]["content"]
        strip_spaces = steps[3]["start"] if len(steps) == 4 else 0
        if pattern and all(step.get("content") == " " for step in steps[3:]):
            bytes_of = _remembered(vocabulary, lambda piece: byte_fallback_bytes(piece.replace(pattern, content)))
            return lambda: ByteDetokenizer(bytes_of, strip_spaces)
    return lambda: WindowDetokenizer(vocabulary.decode)


def _decoder_steps(decoder: Mapping | None) -> list[Mapping]:
    if decoder is None:
        return []
    return list(decoder["decoders"]) if decoder["type"] == "Sequence" else [decoder]


def _remembered(vocabulary: Vocabulary, to_bytes: Callable[[str], bytes]) -> Callable[[int], bytes]:
    table = dict.fromkeys(vocabulary.skip, b"")

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


class StopMatcher:
    """Finds stop strings in a text that comes in pieces.

    `feed` returns (text that is safe to show, whether a stop string was found); the stop string and what follows it are
    never shown, and after it `feed` and `flush` give nothing. Raises ValueError for an empty stop string.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(dict.fromkeys(stops))
        if "" in self._stops:
            raise ValueError("stop: an empty string cannot end an answer; leave it out")
        self._first = frozenset(stop[0] for stop in self._stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> tuple[str, bool]:
        if self.stopped:
            return "", True
        if not self._stops:
            return text, False
        text = self._held + text
        matches = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if matches:
            self.stopped, self._held = True, ""
            return text[: min(matches)[1]], True
        safe = self._safe_length(text)
        self._held = text[safe:]
        return text[:safe], False

    def flush(self) -> str:
        """The text held back, now that nothing follows it."""
        held, self._held = self._held, ""
        return held

    def _safe_length(self, text: str) -> int:
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[at] in self._first and any(stop.startswith(text[at:]) for stop in self._stops):
                return at
        return len(text)
