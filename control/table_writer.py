"""How a record is written: a local copy that is changed freely, and a `flush` that no reader can catch half done.

Theory
------
1. Stores go through `memoryview.cast("Q")`, one whole word each: never `struct.pack_into`, which shows readers zeros in
   the middle of a word, nor a slice, whose copy may take any steps.
2. The order is: sequence odd, words, CRC, sequence even. The CRC is of the record as it will be when it is whole, so a
   copy taken at any moment in between is refused by the reader (`RecordLayout.decode`), whatever order it saw.
3. A writer that dies in the middle leaves an unreadable record until its successor flushes; that one goes on from the
   sequence it finds. Every flush stores every word, so a damaged word mends by itself.
4. One record has one writer, and the writer belongs to one thread. Nothing here checks that.
"""

from array import array
from collections.abc import Callable
from zlib import crc32

from control.table_layout import WORD_BYTES, RecordLayout

SEQUENCE_MASK = (1 << 62) - 2  # even, and far from the end of a word whatever a damaged file says


class RecordWriter:
    """The one writer of one record: `set` and `add` change a local copy, `flush` publishes it.

    Args:
        layout: the kind of record.
        at: its first byte in the file.
        standing: its bytes as they stand in the file; the local copy starts from them, or from zeros if they cannot
            be read as a record.
        shared: gives all words of the file, mapped, or raises if a store would not be safe.
    """

    def __init__(self, layout: RecordLayout, at: int, standing: bytes, shared: Callable[[], memoryview]) -> None:
        self._shared = shared
        self._kind = layout.kind
        self._places = {name: place for place, name in enumerate(layout.kind._fields, 1)}
        self._first = at // WORD_BYTES
        self._last = self._first + layout.words - 1
        self._body = range(1, layout.words - 1)
        self._local = array("Q", bytes(layout.bytes))
        self._checked = memoryview(self._local).cast("B")[:-WORD_BYTES]
        self._local[0] = (array("Q", standing)[0] + 1) & SEQUENCE_MASK
        for place, value in enumerate(layout.decode(standing) or (), 1):
            self._local[place] = value

    def set(self, **words: int) -> None:
        """Change words of the local copy. Raises ValueError for an unknown name or a value outside 0 .. 2**64 - 1."""
        for name, value in words.items():
            try:
                self._local[self._places[name]] = value
            except (KeyError, OverflowError, TypeError):
                raise ValueError(f"{self._kind.__name__}.{name} = {value!r}: not a word of this record, or not "
                                 f"a whole number from 0 to 2**64 - 1") from None

    def put(self, record: tuple[int, ...]) -> None:
        """Change all words of the local copy: `record` is of this writer's kind. A sixth of the price of `set`.

        Raises ValueError for another kind, or a value outside 0 .. 2**64 - 1.
        """
        if type(record) is not self._kind:
            raise ValueError(f"{type(record).__name__} is no {self._kind.__name__}")
        try:
            self._local[1:1 + len(record)] = array("Q", record)
        except (OverflowError, TypeError):
            raise ValueError(f"{record!r}: not all of it are whole numbers from 0 to 2**64 - 1") from None

    def add(self, word: str, n: int = 1) -> None:
        """Add `n` (may be negative) to a word of the local copy. Raises ValueError if it leaves 0 .. 2**64 - 1."""
        self.set(**{word: self.get(word) + n})

    def get(self, word: str) -> int:
        """The word as it stands in the local copy. Raises ValueError for an unknown name."""
        place = self._places.get(word)
        if place is None:
            raise ValueError(f"{self._kind.__name__} has no word {word!r}")
        return self._local[place]

    def flush(self) -> None:
        """Publish the local copy. Raises what `shared` raises, and has then changed nothing in the file."""
        shared, local, first = self._shared(), self._local, self._first
        local[0] = sequence = local[0] + 2
        crc = crc32(self._checked)
        shared[first] = sequence - 1
        for place in self._body:
            shared[first + place] = local[place]
        shared[self._last] = crc
        shared[first] = sequence
