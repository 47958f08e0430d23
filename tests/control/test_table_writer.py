"""A flush as a reader sees it after each single store, and what a writer takes over from the one before it."""

import sys

import pytest

from control.table_layout import LAYOUTS, RowControl, RowWorker
from control.table_writer import RecordWriter

LAYOUT = LAYOUTS[RowWorker]


class Stores:
    """Shared words that keep a copy of themselves after every store."""

    def __init__(self) -> None:
        self.file = bytearray(LAYOUT.bytes)
        self.copies: list[bytes] = []

    def __setitem__(self, place: int, word: int) -> None:
        assert type(place) is int and type(word) is int, "one word at a time"
        memoryview(self.file).cast("Q")[place] = word
        self.copies.append(bytes(self.file))

    def writer(self) -> RecordWriter:
        return RecordWriter(LAYOUT, 0, bytes(self.file), lambda: self)

    def read(self) -> RowWorker | None:
        return LAYOUT.decode(bytes(self.file))


def sequence(record: bytes) -> int:
    return int.from_bytes(record[:8], sys.byteorder)


@pytest.fixture
def stores() -> Stores:
    return Stores()


def test_nothing_is_published_before_the_flush(stores: Stores) -> None:
    writer = stores.writer()
    writer.set(accepted=3)
    assert stores.copies == []
    assert writer.get("accepted") == 3
    writer.flush()
    assert stores.read() == RowWorker._make([0] * len(RowWorker._fields))._replace(accepted=3)


def test_no_moment_between_two_stores_shows_a_record(stores: Stores) -> None:
    writer = stores.writer()
    for accepted in range(1, 4):
        stores.copies.clear()
        writer.set(accepted=accepted, finished=3 * accepted)
        writer.flush()
        *between, whole = stores.copies
        assert [LAYOUT.decode(copy) for copy in between] == [None] * len(between)
        assert LAYOUT.decode(whole).accepted == accepted
        assert len(stores.copies) == LAYOUT.words + 1  # every word once, the sequence twice


def test_the_sequence_is_odd_in_between_and_grows(stores: Stores) -> None:
    writer = stores.writer()
    for _ in range(3):
        writer.flush()
    assert [sequence(copy) for copy in stores.copies] == [*[1] * LAYOUT.words, 2, *[3] * LAYOUT.words, 4,
                                                          *[5] * LAYOUT.words, 6]


def test_a_writer_goes_on_from_what_stands(stores: Stores) -> None:
    first = stores.writer()
    first.set(incarnation=7, gateway_epoch=2**64 - 1)
    first.flush()
    second = stores.writer()
    second.add("incarnation")
    second.flush()
    assert stores.read()[::18] == (8, 2**64 - 1)
    assert sequence(stores.file) == 4


@pytest.mark.parametrize("last_store", range(LAYOUT.words))
def test_a_writer_that_died_in_the_middle_leaves_unknown_and_its_successor_mends_it(stores: Stores,
                                                                                   last_store: int) -> None:
    writer = stores.writer()
    for accepted in (1, 2):
        stores.copies.clear()
        writer.set(accepted=accepted, finished=accepted)
        writer.flush()
    stores.file[:] = stores.copies[last_store]
    assert stores.read() is None
    successor = stores.writer()
    assert (successor.get("accepted"), successor.get("finished")) == (0, 0)
    successor.set(accepted=9)
    successor.flush()
    assert stores.read().accepted == 9
    assert sequence(stores.file) >= 4


def test_any_damaged_byte_mends_with_the_next_flush(stores: Stores) -> None:
    writer = stores.writer()
    writer.set(accepted=5)
    writer.flush()
    for place in range(LAYOUT.bytes):
        stores.file[place] ^= 255
        assert stores.read() is None
        writer.flush()
        assert stores.read().accepted == 5


def test_a_damaged_sequence_does_not_run_out_of_its_word(stores: Stores) -> None:
    stores.file[:8] = b"\xff" * 8
    writer = stores.writer()
    writer.flush()
    assert stores.read() is not None


@pytest.mark.parametrize(("name", "value"), [("acepted", 1), ("accepted", -1), ("accepted", 2**64), ("accepted", 1.5),
                                             ("accepted", None), ("accepted", "1")])
def test_what_is_no_word_is_refused_by_name(stores: Stores, name: str, value: object) -> None:
    writer = stores.writer()
    with pytest.raises(ValueError, match=rf"RowWorker\.{name} = "):
        writer.set(**{name: value})


def test_a_whole_record_is_put_at_once_or_not_at_all(stores: Stores) -> None:
    writer = stores.writer()
    record = RowWorker._make(range(1, len(RowWorker._fields) + 1))
    writer.put(record)
    assert stores.copies == []
    writer.flush()
    assert stores.read() == record
    for wrong in (record._replace(active=-1), record._replace(active=2**64), record._replace(active=1.5), tuple(record),
                  LAYOUTS[RowControl].kind._make(range(len(RowControl._fields)))):
        with pytest.raises(ValueError):
            writer.put(wrong)
    writer.flush()
    assert stores.read() == record


def test_a_counter_below_zero_is_a_bug_and_raises(stores: Stores) -> None:
    writer = stores.writer()
    writer.add("active", 2)
    writer.add("active", -2)
    with pytest.raises(ValueError, match=r"RowWorker\.active = -1"):
        writer.add("active", -1)
    assert writer.get("active") == 0
    with pytest.raises(ValueError, match="no word 'actve'"):
        writer.add("actve")


def test_a_file_that_is_not_safe_to_touch_is_not_touched() -> None:
    def refuse() -> memoryview:
        raise OSError("gone")

    layout = LAYOUTS[RowControl]
    writer = RecordWriter(layout, 0, bytes(layout.bytes), refuse)
    with pytest.raises(OSError, match="gone"):
        writer.flush()
