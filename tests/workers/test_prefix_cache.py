"""The store of KV caches against a naive model of it: whatever was put, found and pinned before."""

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.prefix_cache import ENTRIES_MAX, FOUND_MIN_TOKENS, PrefixCache

HEAD = list(range(FOUND_MIN_TOKENS))  # every text here begins so: what is shorter is never kept
TAIL = st.lists(st.integers(0, 1), max_size=5)
KEYS = st.one_of(st.none(), st.integers(0, 2))
PUTS = st.tuples(st.just("put"), TAIL, st.integers(1, 40), st.booleans(), KEYS)
CALLS = st.lists(st.one_of(
    PUTS, PUTS, st.tuples(st.just("find"), TAIL, KEYS), st.tuples(st.just("unpin"), KEYS),
    st.tuples(st.just("limit"), st.integers(0, 100)), st.tuples(st.just("drop"))), max_size=30)


class Naive:
    """The entries as plain lists: (tokens, caches, bytes, trims, pins), the least recently used first."""

    def __init__(self, max_bytes, shared):
        self.max_bytes, self.shared, self.entries = max_bytes, shared, []

    def put(self, tokens, caches, size_bytes, trims, pinned):
        if pinned is None and not self.shared:
            return False
        for entry in self.entries:
            if entry[0] == tokens or (entry[3] and trims and entry[0][: len(tokens)] == tokens):
                self.entries.remove(entry)
                break
        else:
            inside = [each for each in self.entries if each[0] == tokens[: len(each[0])] and (trims and each[3])]
            pinned_bytes = sum(each[2] for each in self.entries if each[4] and each not in inside)
            if size_bytes > self.max_bytes - (0 if pinned is not None else pinned_bytes):
                return False
            self.entries = [each for each in self.entries if each not in inside]
            self.shrink(self.max_bytes - size_bytes)
            entry = (tokens, caches, size_bytes, trims, set().union(*(each[4] for each in inside)))
        self.entries.append(entry)
        if pinned is not None:
            entry[4].add(pinned)
        return True

    def find(self, tokens, own):
        best, most = None, FOUND_MIN_TOKENS - 1
        for entry in reversed(self.entries):
            common = 0
            while common < min(len(entry[0]), len(tokens) - 1) and entry[0][common] == tokens[common]:
                common += 1
            if (entry[3] or common == len(entry[0])) and common > most and (self.shared or own in entry[4]):
                best, most = entry, common
        if best is None:
            return None
        self.entries.remove(best)
        self.entries.append(best)
        return most, best[1], len(best[0]) - most

    def unpin(self, key):
        for entry in list(self.entries):
            if key in entry[4]:
                entry[4].remove(key)
                if not self.shared and not entry[4]:
                    self.entries.remove(entry)

    def shrink(self, max_bytes):
        while sum(each[2] for each in self.entries) > max_bytes:
            self.entries.remove(next((each for each in self.entries if not each[4]), self.entries[0]))


@settings(max_examples=200, deadline=None)
@given(CALLS, st.booleans(), st.integers(20, 100))
def test_it_does_what_a_naive_one_does(calls, shared, max_bytes):
    store, naive = PrefixCache(max_bytes, shared=shared), Naive(max_bytes, shared)
    for number, call in enumerate(calls):
        match call:
            case "put", tail, size_bytes, trims, pinned:
                kept = store.put(HEAD + tail, number, size_bytes, trims, pinned)
                assert (kept is not None) == naive.put(HEAD + tail, number, size_bytes, trims, pinned)
            case "find", tail, own:
                assert store.find(HEAD + tail, own) == naive.find(HEAD + tail, own)
            case "unpin", key:
                store.unpin(key)
                naive.unpin(key)
            case "limit", limit:
                store.limit(limit)
                naive.max_bytes = limit
                naive.shrink(limit)
            case ("drop",):
                store.drop_unpinned()
                naive.entries = [entry for entry in naive.entries if entry[4]]
        assert [(entry.tokens.tolist(), entry.caches, entry.pins) for entry in store] == [
            (tokens, caches, pins) for tokens, caches, _, _, pins in reversed(naive.entries)]
        assert store.bytes == sum(entry[2] for entry in naive.entries) <= store.max_bytes


def test_a_conversation_that_grows_is_one_entry():
    store = PrefixCache(1000)
    assert store.put(HEAD, "first", 1, trims=True) and store.put([*HEAD, 7, 8], "second", 2, trims=True)
    assert len(store) == 1 and store.find([*HEAD, 7, 8, 9]) == (len(HEAD) + 2, "second", 0)
    assert store.find([*HEAD, 9, 9]) == (len(HEAD), "second", 2), "another that begins the same"
    assert store.find([*HEAD, 7, 8]) == (len(HEAD) + 1, "second", 1), "one token is left to be read"


def test_what_does_not_trim_is_found_whole_or_not_at_all():
    store = PrefixCache(1000)
    store.put([*HEAD, 7, 8], "whole", 1, trims=False)
    assert store.find([*HEAD, 7, 8, 9]) == (len(HEAD) + 2, "whole", 0)
    assert store.find([*HEAD, 7, 9]) is None and store.find([*HEAD, 7, 8]) is None
    store.put([*HEAD, 7], "part", 1, trims=False)
    assert store.find([*HEAD, 7, 8]) == (len(HEAD) + 1, "part", 0), "the longer one stands for no part of it"


def test_what_is_short_is_not_worth_it():
    store = PrefixCache(1000)
    assert store.put(HEAD[:-1], "short", 1, trims=True) is None
    store.put(HEAD, "long", 1, trims=True)
    assert store.find(HEAD) is None and store.find([*HEAD[:4], 99, 99]) is None
    assert store.find([]) is None


def test_pins_go_over_to_what_holds_the_same():
    store = PrefixCache(10)
    store.put(HEAD, "paused", 4, trims=True, pinned="job")
    store.put([*HEAD, 1], "longer", 5, trims=True)
    assert store.pinned_bytes == 5 and not store.has_room(6)
    assert store.put([9, *HEAD], "other", 6, trims=True) is None, "it takes no room from a paused job"
    assert store.put([9, *HEAD], "other", 6, trims=True, pinned="next") is not None, "but a paused job may"
    assert [entry.caches for entry in store] == ["other"]


def test_there_are_only_so_many():
    store = PrefixCache(10**9)
    for number in range(2 * ENTRIES_MAX):
        store.put([*HEAD, number], number, 1, trims=True)
    assert len(store) == store.bytes == ENTRIES_MAX
    assert next(iter(store)).caches == 2 * ENTRIES_MAX - 1
