"""workers/kv_room.py: what a batch takes, and who joins it; rules as properties over random jobs."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.kv_room import STEP_TOKENS, KvRoom, LayerKv, measure_layers

PLAIN = [LayerKv(token_bytes=10)] * 4
CONTEXT_TOKENS = 8192

layers_of_a_model = st.lists(
    st.builds(LayerKv, st.integers(0, 4096), st.sampled_from([0, 512, 4096]), st.integers(0, 100_000)),
    min_size=1, max_size=8)
rooms = st.integers(0, 2**28)
rows = st.lists(st.integers(1, CONTEXT_TOKENS), min_size=1, max_size=12)


class Cache(NamedTuple):
    nbytes: int
    tokens: int
    max_size: int = 0

    def size(self):
        return self.tokens


class Several(NamedTuple):
    caches: list


def test_layers_are_measured_from_the_caches_of_one_row():
    caches = [Cache(3300, 33), Several([Cache(3301, 33), Cache(640, 0)]), Cache(3300, 33, 512)]
    assert measure_layers(caches) == [
        LayerKv(100), LayerKv(101), LayerKv(row_bytes=640), LayerKv(100, window=512)]


@pytest.mark.parametrize(("rows", "longest", "slots"), [(1, 1, 512), (1, 256, 512), (1, 257, 768), (8, 1000, 1280)])
def test_a_batch_is_padded_to_its_longest_row_and_copied_as_rows_come_and_go(rows, longest, slots):
    row = 4 * 10 * slots
    assert KvRoom(PLAIN).needs_bytes(rows, longest) == rows * row + (rows - 1) * row + 2 * rows * 10 * slots


def test_nothing_takes_nothing():
    assert KvRoom(PLAIN).needs_bytes(0, 0) == 0


def test_a_window_and_a_state_do_not_grow():
    room = KvRoom([LayerKv(10, window=512), LayerKv(row_bytes=7)])
    assert room.needs_bytes(1, 8000) == room.needs_bytes(1, 4000) == 5120 + 7 + 2 * 5127 - 2 * 7


@given(layers_of_a_model, rooms, st.integers(0, CONTEXT_TOKENS))
def test_the_longest_row_fits_alone_and_a_longer_one_does_not(layers, room_bytes, context):
    room = KvRoom(layers, room_bytes)
    longest = room.choose_longest(context)
    assert 0 <= longest <= context
    assert not longest or room.needs_bytes(1, longest) <= room_bytes
    assert longest == context or room.needs_bytes(1, longest + 1) > room_bytes


@pytest.mark.parametrize(("prompt", "asked", "reserved"), [
    (100, 50, 150), (100, 5000, 3000),  # as asked, or as long as fits
    (100, 0, 1000), (1500, 0, 2000), (2900, 0, 3000), (2999, 0, 3000)])  # a planned row, or half a row of answer
def test_a_job_reserves_its_prompt_and_its_answer(prompt, asked, reserved):
    assert KvRoom(PLAIN, 1, row_tokens=1000).choose_reservation(prompt, asked, 3000) == reserved


@pytest.mark.parametrize("room", [KvRoom(PLAIN, None, row_tokens=1000), KvRoom(PLAIN, 1)])
def test_without_a_limit_or_a_planned_row_an_answer_may_take_the_context(room):
    assert room.choose_reservation(100, 0, 3000) == 3000


@given(rows)
def test_without_a_limit_everybody_joins_at_once(waiting):
    assert KvRoom(PLAIN).choose_joining([], waiting) == len(waiting)


def test_a_short_row_does_not_join_a_long_one_that_it_would_be_padded_to():
    room = KvRoom(PLAIN)
    room = KvRoom(PLAIN, room.needs_bytes(1, 4096))
    assert room.choose_joining([4096], [10]) == 0
    assert room.choose_joining([], [10, 10, 4096]) == 2, "nor does the long one join the short ones"


@given(layers_of_a_model, rooms, rows, rows)
def test_who_joins_fits_at_its_longest_and_the_next_one_would_not(layers, room_bytes, inside, waiting):
    room = KvRoom(layers, room_bytes)
    joining = room.choose_joining(inside, waiting)
    batch = [*inside, *waiting[:joining]]
    assert not joining or room.needs_bytes(len(batch), max(batch)) <= room_bytes
    if joining < len(waiting):
        batch.append(waiting[joining])
        assert room.needs_bytes(len(batch), max(batch)) > room_bytes


@given(layers_of_a_model, rooms, st.data())
def test_nobody_starves_and_nobody_is_overtaken(layers, room_bytes, data):
    """A life: jobs come, join and end in any order; the sum is never above the room, and all get their turn."""
    room = KvRoom(layers, room_bytes)
    longest = room.choose_longest(CONTEXT_TOKENS)
    if not longest:
        return
    coming = data.draw(st.lists(st.integers(1, longest), max_size=12))
    inside, waiting, joined = [], [], []
    for _ in range(4 * len(coming) + 1):
        if coming and data.draw(st.booleans()):
            waiting.append(coming.pop())
        count = room.choose_joining(inside, waiting)
        inside, joined, waiting = inside + waiting[:count], joined + waiting[:count], waiting[count:]
        assert not inside or room.needs_bytes(len(inside), max(inside)) <= room_bytes
        assert inside or not waiting, "a step with nothing running while somebody waits"
        if inside and data.draw(st.booleans()):
            inside.pop(data.draw(st.integers(0, len(inside) - 1)))
    order = [*joined, *waiting, *reversed(coming)]
    while inside or waiting or coming:  # everything ends, in the order it came
        waiting, coming = waiting + coming[::-1], []
        count = room.choose_joining(inside, waiting)
        joined, inside, waiting = joined + waiting[:count], (inside + waiting[:count])[1:], waiting[count:]
    assert joined == order


def test_a_step_of_slots_is_what_the_caches_of_mlx_lm_grow_by():
    from mlx_lm.models.cache import BatchKVCache, KVCache

    assert BatchKVCache.step == KVCache.step == STEP_TOKENS
