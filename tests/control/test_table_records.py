"""What the words of the table mean: texts, cut but never garbled, and the phase that control and worker tell."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.states import CONTROL_PHASES, HEARTBEAT_STALE_NS, WORKER_PHASES, Phase
from control.table_layout import LAYOUTS, record_text, slug_words, text_words
from control.table_records import (
    REASON_MAX_BYTES,
    SLUG_MAX_BYTES,
    SUPERVISORD_STALE_NS,
    WARNING_MAX_BYTES,
    WORD_BYTES,
    ControlWarning,
    ControlWords,
    Row,
    RowControl,
    RowName,
    RowReason,
    RowWorker,
)
from control.table_writer import RecordWriter

TEXTS = {RowName: SLUG_MAX_BYTES, RowReason: REASON_MAX_BYTES, ControlWarning: WARNING_MAX_BYTES}


# -- texts

@pytest.mark.parametrize("slug", ["a", "llama-3.2-1b", "ü" * 48, "x" * 96])
def test_a_slug_is_words_and_back(slug: str) -> None:
    assert record_text(slug_words(slug)) == slug


@pytest.mark.parametrize("slug", ["", "x" * 97, "ü" * 49, "a\0b"])
def test_a_slug_that_does_not_fit_is_refused(slug: str) -> None:
    with pytest.raises(ValueError, match="1 to 96 bytes"):
        slug_words(slug)


@pytest.mark.parametrize(("kind", "most"), TEXTS.items())
def test_each_kind_of_text_has_its_length(kind: type, most: int) -> None:
    assert len(kind._fields) * WORD_BYTES == most
    assert record_text(text_words(kind, "x" * most)) == "x" * most
    assert record_text(text_words(kind, "x" * (most + 1))) == "x" * (most - 3) + "..."
    assert record_text(text_words(kind, "")) == ""


@pytest.mark.parametrize("mark", ["é", "中", "\N{SLEEPING FACE}"])
@pytest.mark.parametrize("before", range(5))
def test_a_long_text_is_cut_between_two_characters(mark: str, before: int) -> None:
    text = "x" * before + mark * REASON_MAX_BYTES
    shown = record_text(text_words(RowReason, text))
    assert shown.endswith("...") and text.startswith(shown[:-3])
    assert REASON_MAX_BYTES - len(mark.encode()) < len(shown.encode()) <= REASON_MAX_BYTES


@given(st.sampled_from(list(TEXTS)), st.text(st.characters(codec=None), max_size=600))
def test_any_text_is_a_whole_record_that_says_it_or_its_beginning(kind: type, text: str) -> None:
    layout = LAYOUTS[kind]
    file = bytearray(layout.bytes)
    writer = RecordWriter(layout, 0, bytes(layout.bytes), lambda: memoryview(file).cast("Q"))
    writer.set(**text_words(kind, text)._asdict())
    writer.flush()
    shown, said = record_text(layout.decode(bytes(file))), text.replace("\0", " ").encode(errors="replace").decode()
    assert shown == said or (shown.endswith("...") and said.startswith(shown[:-3]))
    file[WORD_BYTES] ^= 1
    assert record_text(layout.decode(bytes(file))) == ""


def test_a_text_that_cannot_be_read_is_empty_and_one_that_is_not_utf_8_is_shown() -> None:
    for kind in TEXTS:
        assert record_text(None) == ""
        assert record_text(kind._make([2**64 - 1] * len(kind._fields))) != ""  # whole, though not UTF-8: never raises


def test_texts_are_stored_in_order() -> None:
    words = text_words(RowReason, "no room: 12.5 GiB of 16 GiB")
    assert struct.pack("=4Q", *words[:4]).rstrip(b"\0") == b"no room: 12.5 GiB of 16 GiB"


# -- times and phases

@pytest.mark.parametrize(("asked_at_ns", "silent"), [(0, False), (10**9, True), (10**9 + 1, False)])
def test_supervisord_is_silent_once_control_has_asked_in_vain_for_long(asked_at_ns: int, silent: bool) -> None:
    zeros = dict.fromkeys(ControlWords._fields, 0)
    words = {"heartbeat_ns": 10**9 + 1 + SUPERVISORD_STALE_NS, "supervisord_at_ns": asked_at_ns}
    assert ControlWords(**zeros | words).supervisord_is_silent is silent


NOW_NS = 1_000 * 10**9


def row(control: int | None, worker: int | None = None, incarnation: int = 5, silent_ns: int = 0) -> Row:
    """A row whose control welcomed incarnation 5."""
    zeros = dict.fromkeys(RowControl._fields, 0)
    about = None if control is None else RowControl(**zeros | {"incarnation": 5, "phase": control})
    zeros = dict.fromkeys(RowWorker._fields, 0)
    words = {"incarnation": incarnation, "phase": worker, "heartbeat_ns": NOW_NS - silent_ns}
    return Row(0, "m", about, None, None if worker is None else RowWorker(**zeros | words))


def test_the_phase_is_unknown_where_control_cannot_be_read() -> None:
    assert row(None, Phase.READY).phase(NOW_NS) is None
    assert row(0, Phase.READY).phase(NOW_NS) is None
    assert row(99, Phase.READY).phase(NOW_NS) is None
    assert row(Phase.READY, Phase.READY).phase(NOW_NS) is None  # not control's to say


def test_the_phase_is_the_workers_while_control_says_alive() -> None:
    for phase in WORKER_PHASES:
        assert row(Phase.ALIVE, phase).phase(NOW_NS) is phase
    assert row(Phase.ALIVE, None).phase(NOW_NS) is Phase.STARTING
    assert row(Phase.ALIVE, Phase.READY, incarnation=4).phase(NOW_NS) is Phase.STARTING


def test_the_phase_is_controls_otherwise_whatever_the_worker_says() -> None:
    for phase in CONTROL_PHASES - {Phase.ALIVE}:
        assert row(phase, Phase.READY, silent_ns=10**12).phase(NOW_NS) is phase


def test_a_silent_worker_is_unknown() -> None:
    assert row(Phase.ALIVE, Phase.READY, silent_ns=HEARTBEAT_STALE_NS - 1).phase(NOW_NS) is Phase.READY
    assert row(Phase.ALIVE, Phase.READY, silent_ns=HEARTBEAT_STALE_NS).phase(NOW_NS) is None
    assert row(Phase.ALIVE, Phase.READY, silent_ns=-HEARTBEAT_STALE_NS).phase(NOW_NS) is None  # before a reboot


def test_only_a_heartbeat_of_the_welcomed_incarnation_is_fresh() -> None:
    assert row(Phase.ALIVE, Phase.READY).worker_is_fresh(NOW_NS)
    assert not row(Phase.ALIVE, Phase.READY, incarnation=4).worker_is_fresh(NOW_NS)
    assert not row(Phase.ALIVE, Phase.READY, silent_ns=HEARTBEAT_STALE_NS).worker_is_fresh(NOW_NS)
    assert not row(Phase.ALIVE, None).worker_is_fresh(NOW_NS)
    assert not row(None, Phase.READY).worker_is_fresh(NOW_NS)
