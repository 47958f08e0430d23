"""The one store of KV caches that a worker keeps: of texts that others may begin with, and of paused jobs.

Guarantees
1. `find` hands back the entry that saves most: the longest beginning of the prompt that an entry holds, one token less
   than the prompt at most, since the model must read a token to say the next. An entry that trims serves with any
   beginning of its tokens, one that does not only as a whole.
2. The entries never take more than `max_bytes`. What was used least recently goes first, and what is pinned last, but
   it goes: a paused job whose cache is gone is computed again from its tokens.
3. An entry is never changed by being found: whoever uses it copies what it trims.
4. While `shared` is False an entry is found by the job that pinned it and by no other.

mlx_lm's own `LRUPromptCache` is not used. It knows no pins, an entry that is found gets no younger, it copies whatever
it hands out (BatchGenerator copies once more), refuses nothing that is too large, and walks a dictionary per token:
here a prompt is compared with each of a few dozen entries as arrays, which takes microseconds and no memory.

Pure: tokens, bytes and opaque caches.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

ENTRIES_MAX = 64
FOUND_MIN_TOKENS = 16  # what is shorter is computed as fast as it is looked for: the token that begins every text, say


class Found(NamedTuple):
    """`caches` hold the first `tokens` of the prompt and `excess` others behind them, which are to be trimmed off a
    copy.
    """

    tokens: int
    caches: Any
    excess: int


class Entry:
    """`pins`: jobs that will go on from here. `spilled`: it is on disk as well."""

    __slots__ = ("bytes", "caches", "pins", "spilled", "tokens", "trims")

    def __init__(self, tokens: np.ndarray, caches: Any, size_bytes: int, trims: bool) -> None:
        self.tokens, self.caches, self.bytes, self.trims = tokens, caches, size_bytes, trims
        self.pins: set[Hashable] = set()
        self.spilled = False


class PrefixCache:
    """`bytes`: of all entries; `pinned_bytes`: of those that a paused job goes on from."""

    def __init__(self, max_bytes: int, *, shared: bool = True) -> None:
        self.max_bytes, self.shared = max_bytes, shared
        self.bytes = 0
        self._entries: list[Entry] = []  # least recently used first

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Most recently used first."""
        return reversed(self._entries)

    @property
    def pinned_bytes(self) -> int:
        return sum(entry.bytes for entry in self._entries if entry.pins)

    def has_room(self, size_bytes: int) -> bool:
        """For an entry that nobody pins."""
        return self.shared and size_bytes <= self.max_bytes - self.pinned_bytes

    def put(self, tokens: Sequence[int], caches: Any, size_bytes: int, trims: bool,
            pinned: Hashable | None = None) -> Entry | None:
        """Keep `caches`, which hold exactly `tokens`. None: they are not kept, for want of room or of use. What is not
        pinned takes no room from what is.

        Of entries that trim, one that holds the beginning of another is kept in that other alone.
        """
        held = np.asarray(tokens, np.int32)
        if len(held) < FOUND_MIN_TOKENS or (pinned is None and not self.shared):
            return None
        entry = next((other for other in self._entries if _covers(other, held, trims)), None)
        if entry is None:
            entry = Entry(held, caches, size_bytes, trims)
            covered = [other for other in self._entries if other.trims and _covers(entry, other.tokens, True)]
            if size_bytes > self.max_bytes - (0 if pinned is not None else self._pinned_beside(covered)):
                return None
            for other in covered:
                entry.pins |= other.pins
                self._drop(other)
            self._drop_until(self.max_bytes - size_bytes, ENTRIES_MAX - 1)
            self._entries.append(entry)
            self.bytes += size_bytes
        self._touch(entry)
        if pinned is not None:
            entry.pins.add(pinned)
        return entry

    def find(self, tokens: Sequence[int], own: Hashable | None = None) -> Found | None:
        """For a prompt of `tokens`; `own`: the job that asks. None: nothing worth it is kept."""
        asked, best, most = np.asarray(tokens, np.int32), None, FOUND_MIN_TOKENS - 1
        for entry in self:
            if (self.shared or own in entry.pins) and (serves := usable(entry.tokens, asked, entry.trims)) > most:
                best, most = entry, serves
        if best is None:
            return None
        self._touch(best)
        return Found(most, best.caches, len(best.tokens) - most)

    def unpin(self, key: Hashable) -> None:
        """The job has gone on, or ended. What it left is kept like anything else, if others may find it."""
        for entry in [entry for entry in self._entries if key in entry.pins]:
            entry.pins.discard(key)
            if not self.shared and not entry.pins:
                self._drop(entry)

    def limit(self, max_bytes: int) -> None:
        """From now on; what is too much goes at once."""
        self.max_bytes = max_bytes
        self._drop_until(max_bytes, ENTRIES_MAX)

    def drop_unpinned(self) -> None:
        for entry in [entry for entry in self._entries if not entry.pins]:
            self._drop(entry)

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0

    def _pinned_beside(self, covered: list[Entry]) -> int:
        return self.pinned_bytes - sum(entry.bytes for entry in covered if entry.pins)

    def _touch(self, entry: Entry) -> None:
        self._entries.remove(entry)
        self._entries.append(entry)

    def _drop(self, entry: Entry) -> None:
        self._entries.remove(entry)
        self.bytes -= entry.bytes

    def _drop_until(self, max_bytes: int, count_max: int) -> None:
        while self._entries and (self.bytes > max_bytes or len(self._entries) > count_max):
            self._drop(next((entry for entry in self._entries if not entry.pins), self._entries[0]))


def usable(held: np.ndarray, asked: np.ndarray, trims: bool) -> int:
    """How many of the first tokens `asked` need not be computed by whoever has the caches of `held` (1)."""
    same = count_common(held, asked)
    if not trims and same < len(held):
        return 0
    most = len(asked) - 1
    return min(same, most) if trims or same <= most else 0


def count_common(one: np.ndarray, other: np.ndarray) -> int:
    """How many tokens both begin with."""
    shorter = min(len(one), len(other))
    differ = one[:shorter] != other[:shorter]
    first = int(differ.argmax()) if shorter else 0
    return first if shorter and differ[first] else shorter


def _covers(entry: Entry, tokens: np.ndarray, trims: bool) -> bool:
    """Whatever caches of `tokens` are good for, those of `entry` are as well."""
    same = count_common(entry.tokens, tokens) == len(tokens)
    return same and (len(entry.tokens) == len(tokens) or (entry.trims and trims))
