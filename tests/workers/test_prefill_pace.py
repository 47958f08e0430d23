"""workers/prefill_pace.py: the next chunk from the last one's time and bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.prefill_pace import (
    PREFILL_CHUNK_FIRST_TOKENS,
    PREFILL_CHUNK_MAX_TOKENS,
    PREFILL_CHUNK_MIN_TOKENS,
    STEP_BESIDE_S,
    STEP_TARGET_S,
    PrefillPace,
)


@pytest.mark.parametrize(("tokens", "elapsed_s", "chunk"), [
    (32, STEP_TARGET_S, 32), (32, STEP_TARGET_S / 2, 64), (32, STEP_TARGET_S * 1.5, 21),
    (32, STEP_TARGET_S / 1000, PREFILL_CHUNK_MAX_TOKENS), (32, STEP_TARGET_S * 1000, PREFILL_CHUNK_MIN_TOKENS),
    (0, STEP_TARGET_S, PREFILL_CHUNK_FIRST_TOKENS),
    (10, STEP_TARGET_S / 10, PREFILL_CHUNK_FIRST_TOKENS),  # too few to tell that more would do
    (10, STEP_TARGET_S, 10)])
def test_a_step_takes_about_its_target(tokens, elapsed_s, chunk):
    pace = PrefillPace()
    pace.on_chunk(tokens, elapsed_s)
    assert pace.chunk_tokens == chunk


@pytest.mark.parametrize(("token_bytes", "free", "chunk"), [(0, 100, 50), (1, None, 50), (1, 100, 50), (1, 20, 20)])
def test_the_first_chunk_is_what_the_warm_up_showed(token_bytes, free, chunk):
    assert PrefillPace(STEP_TARGET_S / 50, token_bytes, free).chunk_tokens == chunk
    assert PrefillPace().chunk_tokens == PREFILL_CHUNK_FIRST_TOKENS


@pytest.mark.parametrize(("transient", "free", "chunk"), [
    (100, 100, 32), (100, 75, 24), (100, 0, PREFILL_CHUNK_MIN_TOKENS), (0, 0, 64), (100, None, 64), (10, 1000, 64)])
def test_a_chunk_finds_room_beside_everything_else(transient, free, chunk):
    pace = PrefillPace()
    pace.on_chunk(32, STEP_TARGET_S / 2, transient, free)
    assert pace.chunk_tokens == chunk


def test_a_chunk_grows_again_when_there_is_room_again():
    pace = PrefillPace()
    pace.on_chunk(32, STEP_TARGET_S / 100, 100, 10)
    assert pace.chunk_tokens == PREFILL_CHUNK_MIN_TOKENS
    pace.on_chunk(16, STEP_TARGET_S / 100, 50, 400)
    assert pace.chunk_tokens == 128


def test_a_chunk_beside_streams_is_shorter_and_knows_how_long_they_take_themselves():
    pace = PrefillPace()
    pace.on_decode(STEP_BESIDE_S / 2)
    pace.aim(beside=True)
    pace.on_chunk(20, STEP_BESIDE_S * 1.5, beside=True)
    assert pace.chunk_tokens == 20, "it took what it should, beside a decode step"
    pace.aim(beside=False)
    assert pace.chunk_tokens == round(20 * STEP_TARGET_S / STEP_BESIDE_S)


def test_beside_slow_streams_a_chunk_takes_as_long_as_they_do():
    pace = PrefillPace()
    pace.on_decode(STEP_BESIDE_S * 4)
    pace.aim(beside=True)
    pace.on_chunk(20, STEP_BESIDE_S * 8, beside=True)
    assert pace.chunk_tokens == 20


def test_a_chunk_behind_a_much_longer_cache_is_tried_small():
    pace = PrefillPace()
    pace.on_chunk(64, STEP_TARGET_S, behind=1000)
    assert pace.choose_chunk(2000) == 64 and pace.choose_chunk(4000) == 16
    pace.on_chunk(16, STEP_TARGET_S / 2, behind=4000)
    assert pace.choose_chunk(4016) == 32, "all that it was allowed, so it tells what tokens cost there"


@given(st.floats(1e-6, 0.02), st.floats(0, 1e-3), st.floats(0.001, 0.4), st.integers(0, 20_000))
def test_no_chunk_beside_streams_overshoots_once_the_machine_is_known(token_s, behind_part, decode_s, known):
    """Of a machine whose tokens cost more the more stand before them: twice as much from 1,000 on."""
    pace, target_s = PrefillPace(), max(STEP_BESIDE_S, decode_s)
    pace.on_decode(decode_s)
    pace.aim(beside=True)
    for prompt, behind in enumerate([0, known]):
        for _ in range(20):
            chunk = pace.choose_chunk(behind)
            chunk_s = chunk * token_s * (1 + behind * behind_part)
            least_s = PREFILL_CHUNK_MIN_TOKENS * token_s * (1 + behind * behind_part)
            if prompt:
                assert chunk_s <= max(2 * target_s, least_s)
            pace.on_chunk(chunk, decode_s + chunk_s, behind=behind, beside=True)
            behind += chunk
