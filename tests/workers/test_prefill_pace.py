"""workers/prefill_pace.py: the next chunk from the last one's time and bytes."""

import pytest

from workers.prefill_pace import (
    PREFILL_CHUNK_FIRST_TOKENS,
    PREFILL_CHUNK_MAX_TOKENS,
    PREFILL_CHUNK_MIN_TOKENS,
    STEP_TARGET_S,
    PrefillPace,
)


@pytest.mark.parametrize(("tokens", "elapsed_s", "chunk"), [
    (32, STEP_TARGET_S, 32), (32, STEP_TARGET_S / 2, 64), (32, STEP_TARGET_S * 1.5, 21),
    (32, STEP_TARGET_S / 1000, PREFILL_CHUNK_MAX_TOKENS), (32, STEP_TARGET_S * 1000, PREFILL_CHUNK_MIN_TOKENS),
    (0, STEP_TARGET_S, PREFILL_CHUNK_FIRST_TOKENS),
    (10, STEP_TARGET_S / 10, PREFILL_CHUNK_FIRST_TOKENS),  # too few to tell that more would do
    (10, STEP_TARGET_S, PREFILL_CHUNK_MIN_TOKENS)])
def test_a_step_takes_about_its_target(tokens, elapsed_s, chunk):
    pace = PrefillPace()
    pace.on_chunk(tokens, elapsed_s)
    assert pace.chunk_tokens == chunk


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
