"""Where every word stands (a golden map: a change needs a new LAYOUT_VERSION), and what a damaged record reads as."""

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.states import CONTROL_PHASES, HEARTBEAT_STALE_NS, WORKER_PHASES, Phase
from control.table_layout import (
    FILE_BYTES,
    LAYOUT_VERSION,
    LAYOUTS,
    MAGIC,
    ROW_BYTES,
    ROWS,
    Row,
    RowControl,
    RowName,
    RowWorker,
    VersionDiffers,
    decode_header,
    encode_header,
    slug_text,
    slug_words,
)
from control.table_writer import RecordWriter

GOLDEN_VERSION = 1
GOLDEN = {  # kind -> first byte (in row 0), bytes, names in order; each name is one word, from the second word on
    "ControlWords": (128, 128, "epoch heartbeat_ns pid pressure_permille overload spill supervisord_at_ns"),
    "GatewayWords": (256, 256, "epoch heartbeat_ns pid running_high running_medium running_low paused_high "
                               "paused_medium paused_low queued_high queued_medium queued_low admitted_high "
                               "admitted_medium admitted_low finished failed cancelled rejected displaced expired "
                               "retried dropped_frames"),
    "RowName": (512, 128, " ".join(f"text_{word}" for word in range(12))),
    "RowControl": (640, 128, "incarnation phase pid start_time_us fence_id fence_cleared share_bytes load_id "
                             "load_deadline_ns backoff_until_ns crashes loads starts"),
    "RowGateway": (768, 128, "epoch incarnation gate fence_seen dispatched finished paused waiting_high waiting_medium "
                             "waiting_low oldest_wait_since_ns last_dispatch_ns use_count"),
    "RowWorker": (896, 256, "incarnation phase accepted finished active load_progress_permille tokens_out "
                            "mlx_active_bytes mlx_peak_bytes mlx_cache_bytes footprint_bytes heartbeat_ns progress_ns "
                            "steps load_ms context_length batch_max pid gateway_epoch"),
}
KINDS = {kind.__name__: kind for kind in LAYOUTS}
WORDS = st.integers(0, 2**64 - 1)


def written(kind: type, values: list[int], at: int = 0, size: int | None = None) -> bytes:
    """The file after one flush of `values` through a writer."""
    file = bytearray(size or LAYOUTS[kind].bytes)
    writer = RecordWriter(LAYOUTS[kind], at, bytes(LAYOUTS[kind].bytes), lambda: memoryview(file).cast("Q"))
    writer.set(**dict(zip(kind._fields, values, strict=True)))
    writer.flush()
    return bytes(file)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("row", [0, ROWS - 1])
def test_every_word_stands_where_this_version_of_the_layout_puts_it(name: str, row: int) -> None:
    kind, (first_byte, size, fields) = KINDS[name], GOLDEN[name]
    per_row = name.startswith("Row")
    at = LAYOUTS[kind].at(row if per_row else None)
    values = [1_000_000_007 * place for place, _ in enumerate(fields.split(), 1)]
    file = written(kind, values, at, FILE_BYTES)
    start = first_byte + (row * 640 if per_row else 0)
    found = {field: file.index(struct.pack("=Q", value)) for field, value in zip(kind._fields, values, strict=True)}
    assert found == {field: start + 8 * place for place, field in enumerate(fields.split(), 1)}
    assert file[start:start + 8] != bytes(8) != file[start + size - 8:start + size]
    assert not file[:start].strip(b"\0") and not file[start + size:].strip(b"\0")


def test_size_and_version_of_the_golden_map() -> None:
    assert (LAYOUT_VERSION, FILE_BYTES, ROWS, ROW_BYTES) == (GOLDEN_VERSION, 41_472, 64, 640)
    assert set(GOLDEN) == set(KINDS)


def test_the_header_words() -> None:
    header = encode_header(77)
    assert len(header) == 128
    assert struct.unpack("=5Q", header[:40]) == (MAGIC, 1, 77, 64, 41_472)
    assert decode_header(header) == 77


@pytest.mark.parametrize("mask", [1, 128, 255])
def test_a_header_with_any_damaged_byte_is_refused(mask: int) -> None:
    for place in range(128):
        damaged = bytearray(encode_header(77))
        damaged[place] ^= mask
        with pytest.raises(ValueError, match=r"version|magic|damaged"):
            decode_header(bytes(damaged))


def test_another_version_is_told_apart_from_damage() -> None:
    header = bytearray(encode_header(77))
    header[8:16] = struct.pack("=Q", 2)
    with pytest.raises(VersionDiffers, match="layout version 2, and this program reads version 1"):
        decode_header(bytes(header))


@pytest.mark.parametrize("boot_id", [0, -1, 2**64])
def test_a_boot_id_that_is_no_word_is_refused(boot_id: int) -> None:
    with pytest.raises(ValueError, match="boot_id"):
        encode_header(boot_id)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_record_never_written_is_unknown(name: str) -> None:
    layout = LAYOUTS[KINDS[name]]
    assert layout.decode(bytes(layout.bytes)) is None


@given(st.sampled_from(list(GOLDEN)), st.data())
def test_what_was_written_is_what_is_read(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    values = data.draw(st.lists(WORDS, min_size=len(kind._fields), max_size=len(kind._fields)))
    assert LAYOUTS[kind].decode(written(kind, values)) == kind._make(values)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("mask", [1, 128, 255])
def test_a_record_with_any_damaged_byte_is_unknown(name: str, mask: int) -> None:
    kind = KINDS[name]
    record = written(kind, [2**40 + place for place, _ in enumerate(kind._fields)])
    for place in range(len(record)):
        damaged = bytearray(record)
        damaged[place] ^= mask
        assert LAYOUTS[kind].decode(bytes(damaged)) is None, place


@given(st.data())
def test_a_copy_that_mixes_two_writes_in_any_order_of_stores_is_unknown(data: st.DataObject) -> None:
    kind, words = RowWorker, 32
    file = bytearray(words * 8)
    writer = RecordWriter(LAYOUTS[kind], 0, bytes(words * 8), lambda: memoryview(file).cast("Q"))
    copies = []
    for values in data.draw(st.lists(st.lists(WORDS, min_size=19, max_size=19), min_size=2, max_size=2)):
        writer.set(**dict(zip(kind._fields, values, strict=True)))
        writer.flush()
        copies.append(bytes(file))
    choice = data.draw(st.lists(st.integers(0, 1), min_size=words, max_size=words))
    mixed = b"".join(copies[which][8 * word:8 * word + 8] for word, which in enumerate(choice))
    truths = {copy: LAYOUTS[kind].decode(copy) for copy in copies}
    assert None not in truths.values()
    assert LAYOUTS[kind].decode(mixed) == truths.get(mixed)


@pytest.mark.parametrize("sequence", [0, 1, 3, 2**64 - 1])
def test_a_sequence_that_is_odd_or_nought_is_unknown_whatever_the_checksum(sequence: int) -> None:
    body = struct.pack("=Q", sequence) + bytes(112)
    assert LAYOUTS[RowControl].decode(body + struct.pack("=Q", crc32(body))) is None


@pytest.mark.parametrize("row", [None, -1, ROWS, 10**6])
def test_a_row_that_does_not_exist_is_refused(row: int | None) -> None:
    with pytest.raises(ValueError, match="RowControl needs a row from 0 to 63"):
        LAYOUTS[RowControl].at(row)


def test_a_record_that_stands_once_takes_no_row() -> None:
    with pytest.raises(ValueError, match="stands once in the table"):
        LAYOUTS[KINDS["GatewayWords"]].at(0)


@pytest.mark.parametrize("slug", ["a", "llama-3.2-1b", "ü" * 48, "x" * 96])
def test_a_slug_is_words_and_back(slug: str) -> None:
    assert slug_text(slug_words(slug)) == slug


@pytest.mark.parametrize("slug", ["", "x" * 97, "ü" * 49, "a\0b"])
def test_a_slug_that_does_not_fit_is_refused(slug: str) -> None:
    with pytest.raises(ValueError, match="1 to 96 bytes"):
        slug_words(slug)


def test_a_name_that_cannot_be_read_is_empty() -> None:
    assert slug_text(None) == ""
    assert slug_text(RowName._make([2**64 - 1] * 12)) != ""  # whole, though not UTF-8: shown, never an exception


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
