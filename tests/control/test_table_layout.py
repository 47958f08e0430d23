"""Where every word stands (a golden map: a change needs a new LAYOUT_VERSION), and what a damaged record reads as."""

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.table_layout import (
    FILE_BYTES,
    LAYOUT_VERSION,
    LAYOUTS,
    MAGIC,
    ROW_BYTES,
    ROWS,
    VersionDiffers,
    decode_header,
    encode_header,
)
from control.table_records import RowControl, RowWorker
from control.table_writer import RecordWriter

GOLDEN_VERSION = 5
GOLDEN_ROWS = 66  # 64 models and two relays
GOLDEN_FILE_BYTES = 77_312
GOLDEN_ROW_BYTES = 1152
GOLDEN = {  # kind -> first byte (in row 0), bytes, names in order; each name is one word, from the second word on
    "ControlWords": (128, 256, "epoch heartbeat_ns pid pressure_permille overload spill supervisord_at_ns "
                               "pressure_level pressure_read_at_ns ceiling_bytes reserved_bytes leaked_bytes "
                               "available_bytes total_bytes evictions evictions_refused forced_kills "
                               "refused_by_control refused_by_gateway refused_by_worker refused_by_nobody"),
    "ControlWarning": (384, 512, " ".join(f"text_{word}" for word in range(62))),
    "GatewayWords": (896, 384, "epoch heartbeat_ns pid running_high running_medium running_low paused_high "
                               "paused_medium paused_low queued_high queued_medium queued_low admitted_high "
                               "admitted_medium admitted_low finished failed cancelled rejected displaced expired "
                               "retried dropped_frames lost_to_eviction relay_running relay_queued rate_limited hops "
                               "spilled preemptions resumptions continuations"),
    "RowName": (1280, 128, " ".join(f"text_{word}" for word in range(12))),
    "RowControl": (1408, 256, "incarnation phase pid start_time_us fence_id fence_cleared share_bytes load_id "
                              "load_deadline_ns backoff_until_ns crashes loads starts need_bytes batch_max "
                              "context_length pinned keep_until_ns fence_at_ns evictions shrink"),
    "RowReason": (1664, 256, " ".join(f"text_{word}" for word in range(30))),
    "RowGateway": (1920, 256, "epoch incarnation gate fence_seen dispatched finished paused waiting_high "
                              "waiting_medium waiting_low oldest_wait_since_ns last_dispatch_ns use_count unfinished "
                              "last_end_ns keep_alive_ms last_class oldest_any_since_ns"),
    "RowWorker": (2176, 256, "incarnation phase accepted finished active load_progress_permille tokens_out "
                             "mlx_active_bytes mlx_peak_bytes mlx_cache_bytes footprint_bytes heartbeat_ns progress_ns "
                             "steps load_ms context_length batch_max pid gateway_epoch share_bytes device_bytes "
                             "breaker tokens_per_ks paused kept_bytes spilled_bytes"),
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
    start = first_byte + (row * GOLDEN_ROW_BYTES if per_row else 0)
    found = {field: file.index(struct.pack("=Q", value)) for field, value in zip(kind._fields, values, strict=True)}
    assert found == {field: start + 8 * place for place, field in enumerate(fields.split(), 1)}
    assert file[start:start + 8] != bytes(8) != file[start + size - 8:start + size]
    assert not file[:start].strip(b"\0") and not file[start + size:].strip(b"\0")


def test_size_and_version_of_the_golden_map() -> None:
    assert (LAYOUT_VERSION, FILE_BYTES, ROWS, ROW_BYTES) == (
        GOLDEN_VERSION, GOLDEN_FILE_BYTES, GOLDEN_ROWS, GOLDEN_ROW_BYTES)
    assert set(GOLDEN) == set(KINDS)


def test_the_header_words() -> None:
    header = encode_header(77)
    assert len(header) == 128
    assert struct.unpack("=5Q", header[:40]) == (MAGIC, GOLDEN_VERSION, 77, GOLDEN_ROWS, GOLDEN_FILE_BYTES)
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
    header[8:16] = struct.pack("=Q", GOLDEN_VERSION - 1)
    with pytest.raises(VersionDiffers, match="layout version 4, and this program reads version 5"):
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
    some = st.lists(WORDS, min_size=len(kind._fields), max_size=len(kind._fields))
    for values in data.draw(st.lists(some, min_size=2, max_size=2)):
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
    body = struct.pack("=Q", sequence) + bytes(LAYOUTS[RowControl].bytes - 16)
    assert LAYOUTS[RowControl].decode(body + struct.pack("=Q", crc32(body))) is None


@pytest.mark.parametrize("row", [None, -1, ROWS, 10**6])
def test_a_row_that_does_not_exist_is_refused(row: int | None) -> None:
    with pytest.raises(ValueError, match="RowControl needs a row from 0 to 65"):
        LAYOUTS[RowControl].at(row)


def test_a_record_that_stands_once_takes_no_row() -> None:
    with pytest.raises(ValueError, match="stands once in the table"):
        LAYOUTS[KINDS["GatewayWords"]].at(0)
