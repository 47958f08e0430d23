"""workers/memory_share.py: the sum of a share's parts, the limits MLX gets, and the texts with the numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine import LoadPlan
from workers.kv_room import LayerKv
from workers.memory_share import GIB, MIB, Transients, clamp_limits, divide_share, model_bytes, readable

LAYERS = [LayerKv(token_bytes=1024)] * 8  # 8 KiB for a token
STEP = Transients(chunk_token=64 * 1024, row=MIB)  # 32 MiB for the largest chunk
PLAN = LoadPlan(share_bytes=500 * MIB, runtime_bytes=100 * MIB, batch_max=2, context_length=8192, row_tokens=2048)


class FakeMlx:
    def __init__(self):
        self.said = {}

    def set_wired_limit(self, limit):
        self.said["wired"] = limit

    def set_memory_limit(self, limit):
        self.said["memory"] = limit

    def set_cache_limit(self, limit):
        self.said["cache"] = limit


@pytest.mark.parametrize(("limit", "device", "said"), [
    (400, 1000, {"wired": 400, "memory": 400, "cache": 400}),
    (400, 300, {"wired": 300, "memory": 300, "cache": 300}),  # never above what the GPU is recommended to use
    (400, 0, {"memory": 400, "cache": 400}),  # nothing is wired without a GPU
    (0, 300, {}), (0, 0, {})])
def test_limits_are_the_models_part_of_the_share(limit, device, said):
    mx = FakeMlx()
    clamp_limits(mx, limit, device)
    assert mx.said == said


@pytest.mark.parametrize(("share", "runtime", "left"), [(0, 0, 0), (0, 5, 0), (100, 40, 60), (40, 100, 1)])
def test_the_models_part(share, runtime, left):
    assert model_bytes(LoadPlan(share, runtime)) == left


def test_the_parts_add_up_to_the_share():
    share = divide_share(PLAN, 300 * MIB, STEP, LAYERS, 2, 8192)
    assert share.reserve_bytes + share.room.room_bytes == 100 * MIB
    assert share.reserve_bytes == (32 + 2) * MIB
    assert share.free_bytes(held_bytes=350 * MIB) == 50 * MIB and share.free_bytes(held_bytes=900 * MIB) == 0


@given(st.lists(st.integers(1, 2048), max_size=2))
def test_what_mlx_keeps_for_later_and_what_the_batch_can_need_are_within_the_share(reserved):
    share = divide_share(PLAN, 300 * MIB, STEP, LAYERS, 2, 8192)
    batch_bytes = share.room.needs_bytes(len(reserved), max(reserved, default=0))
    assert share.cache_bytes(reserved) + batch_bytes == 100 * MIB
    assert share.cache_bytes([8192] * 2) == 0


def test_the_planned_batch_fits_also_where_the_reserve_must_be_smaller():
    needs = 63 * MIB  # 3 rows of 2304 slots, the third for copies, and two layers of both
    for left, reserve in ((100, 34), (80, 17), (66, 3)):
        share = divide_share(PLAN, (400 - left) * MIB, STEP, LAYERS, 2, 8192)
        assert share.reserve_bytes == reserve * MIB and share.room.needs_bytes(2, 2048) == needs
        assert share.room.choose_joining([], [2048, 2048]) == 2
    too_tight = divide_share(PLAN, 340 * MIB, STEP, LAYERS, 2, 8192)  # not even the smallest chunk would be left
    assert too_tight.room.choose_joining([], [2048, 2048]) == 1 and too_tight.reserve_bytes == 30 * MIB


def test_without_a_share_only_the_plans_context_counts():
    share = divide_share(LoadPlan(context_length=512), 10**12, STEP, LAYERS, 8, 8192)
    assert (share.context_length, share.room.room_bytes, share.free_bytes(5)) == (512, None, None)
    assert divide_share(LoadPlan(), 10**12, STEP, LAYERS, 8, 8192).context_length == 8192
    assert share.why_too_long(600) == ""


@given(st.integers(1, 10**10), st.integers(0, 10**9), st.integers(0, 10**10), st.integers(0, 8192))
def test_the_context_is_what_fits_alone_or_the_load_fails(share_bytes, runtime, weights, planned):
    plan = LoadPlan(share_bytes, runtime, 4, planned, 1024)
    try:
        share = divide_share(plan, weights, STEP, LAYERS, 4, 8192)
    except MemoryError:
        return
    assert 2 <= share.context_length <= 8192 and (not planned or share.context_length <= planned)
    assert runtime + weights + share.reserve_bytes + share.room.room_bytes <= max(share_bytes, runtime + weights)
    assert share.room.needs_bytes(1, share.context_length) <= share.room.room_bytes


def test_a_share_that_holds_no_request_is_refused_with_the_numbers():
    with pytest.raises(MemoryError, match=r"500\.0 MiB less runtime 100\.0 MiB less weights 399\.0 MiB leaves 1"):
        divide_share(PLAN, 399 * MIB, STEP, LAYERS, 2, 8192)


def test_a_prompt_that_is_too_long_hears_the_numbers_and_the_remedy():
    share = divide_share(PLAN, 380 * MIB, STEP, LAYERS, 2, 8192)
    assert share.context_length < 8192
    text = share.why_too_long(9000)
    for part in ("would hold 8192", "9001 tokens need 92.5 MiB", "500.0 MiB leaves 10.0 MiB", "weights 380.0 MiB",
                 "runtime 100.0 MiB", "Shorten the prompt", "memory_gb", "memory_budget_gb"):
        assert part in text
    roomy = divide_share(PLAN, 100 * MIB, STEP, LAYERS, 2, 8192)
    assert roomy.context_length == 8192 and roomy.why_too_long(9000) == ""


@pytest.mark.parametrize(("count", "text"), [(0, "0.0 MiB"), (5 * MIB, "5.0 MiB"), (GIB, "1.00 GiB")])
def test_sizes_are_readable(count, text):
    assert readable(count) == text
