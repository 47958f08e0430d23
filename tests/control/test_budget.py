"""The arithmetic of memory: its parts add up, more room or rows never means less, and the least is never undercut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.budget import (
    KV_STEP_TOKENS,
    PREFILL_CHUNK_TOKENS,
    ROW_TOKENS_PLANNED,
    RUNTIME_BYTES,
    SMALLEST_ROW_TOKENS,
    Ceiling,
    ModelFacts,
    Plan,
    Profile,
    choose_ceiling,
    empty_bytes,
    explain,
    make_plan,
    parts_of,
    size,
)

GIB, MIB = 1024**3, 1024**2
LLAMA = ModelFacts(  # 8 billion parameters in 4 bits, bfloat16 activations
    tensor_bytes=int(4.2 * GIB), kv_token_bytes=32 * 2 * 8 * 128 * 2, context_length=131_072,
    prefill_token_bytes=(8 * 4096 + 4 * 14_336) * 2, engine="mlx", score_token_bytes=64, vocabulary=128_256, layers=32)
ECHO = ModelFacts(0, 0, 4096, 0, "echo")

sizes = st.integers(0, 200 * GIB)
facts_of_any = st.builds(
    ModelFacts, tensor_bytes=st.integers(0, 100 * GIB), kv_token_bytes=st.integers(0, 2**24),
    context_length=st.integers(1, 2**20), prefill_token_bytes=st.integers(0, 2**24),
    engine=st.sampled_from(["mlx", "echo"]),
    score_token_bytes=st.integers(0, 2**10), vocabulary=st.integers(0, 300_000), layers=st.integers(1, 200))
profiles = st.none() | st.builds(Profile, loaded_bytes=st.integers(1, 120 * GIB), peak_bytes=st.integers(1, 200 * GIB),
                                 load_s=st.just(1.0))
asked = st.fixed_dictionaries({
    "batch": st.integers(1, 64), "context": st.just(0) | st.integers(1, 2**20), "memory_bytes": st.just(0) | sizes,
    "profile": profiles, "shrink": st.integers(0, 12), "room_bytes": st.none() | sizes})


def plan(facts: ModelFacts = LLAMA, **said) -> Plan:
    return make_plan(facts, **{"batch": 8, "context": 0, "memory_bytes": 0, "profile": None, "shrink": 0,
                               "room_bytes": None} | said)


# -- properties


@given(facts_of_any, asked)
def test_the_share_is_the_sum_of_its_parts_and_the_plan_is_within_what_was_asked(facts, said):
    made = plan(facts, **said)
    assert made.share_bytes == sum(part.bytes for part in parts_of(made))
    assert min(made[:7]) >= 0 and min(made.copy_bytes, made.spare_bytes) >= 0
    longest = min(tokens for tokens in (said["context"], facts.context_length) if tokens)
    assert 1 <= made.rows <= said["batch"]
    assert made.row_tokens <= made.context_length <= longest
    assert made.row_tokens >= min(SMALLEST_ROW_TOKENS, longest)


@given(facts_of_any, asked)
def test_no_share_is_less_than_what_its_process_counts_for_before_it_is_loaded(facts, said):
    """Else a process is started where its model would fit, and counts for more than is free."""
    assert plan(facts, **said).share_bytes >= empty_bytes(facts.engine)


@given(facts_of_any, asked)
def test_a_plan_stays_within_the_room_unless_it_is_the_smallest(facts, said):
    made = plan(facts, **said)
    room = said["memory_bytes"] or said["room_bytes"] or 0
    assert made.share_bytes <= room or made == plan(facts, **said | {"room_bytes": None})
    assert made.share_bytes >= said["memory_bytes"]


@given(facts_of_any, asked, sizes)
def test_more_room_never_means_less(facts, said, more):
    room = said["room_bytes"] or 0
    small, large = (plan(facts, **said | {"room_bytes": each}) for each in (room, room + more))
    assert large.share_bytes >= small.share_bytes and large.rows >= small.rows
    assert large.context_length >= small.context_length


@given(facts_of_any, asked, st.integers(0, 64))
def test_a_larger_batch_never_means_less(facts, said, more):
    small, large = (plan(facts, **said | {"batch": each}) for each in (said["batch"], said["batch"] + more))
    assert large.share_bytes >= small.share_bytes and large.rows >= small.rows


@given(facts_of_any, asked, st.integers(0, 2**20), st.sampled_from([None, 2**60]))
def test_a_longer_context_never_means_less_where_there_is_room_for_all_or_for_the_least(facts, said, more, room):
    context = said["context"] or 1
    small, large = (plan(facts, **said | {"context": each, "room_bytes": room, "memory_bytes": 0})
                    for each in (context, context + more))
    assert large.share_bytes >= small.share_bytes and large.context_length >= small.context_length


@given(facts_of_any, asked)
def test_each_death_for_want_of_memory_makes_the_plan_no_larger(facts, said):
    before, after = (plan(facts, **said | {"shrink": said["shrink"] + each}) for each in (0, 1))
    assert after.share_bytes <= before.share_bytes
    assert after.rows * after.row_tokens <= before.rows * before.row_tokens
    assert after.context_length <= before.context_length


@given(facts_of_any, asked)
def test_a_row_of_the_longest_context_fits_alone(facts, said):
    """Worked out again the slow way: the share that one such row takes is no more than the share of the plan."""
    made = plan(facts, **said)
    if made.context_length > made.row_tokens:
        kept = (-(-made.context_length // KV_STEP_TOKENS) + 1) * KV_STEP_TOKENS
        kv = kept * facts.kv_token_bytes
        prefill = PREFILL_CHUNK_TOKENS * (facts.prefill_token_bytes + kept * facts.score_token_bytes)
        room = made.share_bytes - made.weights_bytes - made.runtime_bytes
        assert kv + 2 * kv // facts.layers + prefill + 17 * 4 * facts.vocabulary <= room


@given(sizes, sizes, sizes, sizes)
def test_the_ceiling_is_above_none_of_its_inputs(configured, device, total, limit):
    found = choose_ceiling(configured, device, total, limit)
    assert all(found.bytes <= bound for bound in (configured, device, total * 9 // 10, limit * 9 // 10) if bound > 0)
    assert found.bytes > 0 or not any(bound >= 2 for bound in (configured, device, total, limit))
    assert found.why


# -- single rules


def test_the_smallest_plan_is_one_row_and_the_largest_the_whole_batch():
    least, most = plan(), plan(room_bytes=100 * GIB)
    assert (least.rows, least.row_tokens, least.context_length) == (1, ROW_TOKENS_PLANNED, ROW_TOKENS_PLANNED)
    assert (most.rows, most.row_tokens) == (8, ROW_TOKENS_PLANNED)
    assert most.context_length > 8 * ROW_TOKENS_PLANNED, "one row may have what eight have together"
    assert plan(LLAMA._replace(context_length=1000)).row_tokens == 1000


def test_in_between_as_many_rows_as_fit():
    row_bytes = plan(room_bytes=100 * GIB, batch=2).share_bytes
    assert plan(room_bytes=row_bytes).rows == 2
    assert plan(room_bytes=row_bytes - 1).rows == 1
    assert plan(room_bytes=1) == plan(room_bytes=None)


def test_the_kv_of_a_plan_is_rows_times_longest_in_steps_and_one_step_more():
    assert plan(room_bytes=100 * GIB).kv_bytes == 8 * (4096 + 256) * LLAMA.kv_token_bytes
    assert plan(context=1).kv_bytes == 512 * LLAMA.kv_token_bytes
    assert plan(context=257).kv_bytes == 768 * LLAMA.kv_token_bytes


def test_of_n_rows_n_less_one_may_exist_twice():
    assert plan(room_bytes=100 * GIB).copy_bytes >= plan(room_bytes=100 * GIB).kv_bytes * 7 // 8
    least = plan()
    assert least.copy_bytes == 2 * least.kv_bytes // 32


def test_a_configured_context_gets_room_for_one_such_row_as_far_as_there_is_any():
    small_batch = plan(batch=1, context=65_536, room_bytes=100 * GIB)
    assert small_batch.context_length == 65_536 and small_batch.spare_bytes > 0
    assert plan(batch=1, room_bytes=100 * GIB).context_length == ROW_TOKENS_PLANNED, "only if it is configured"
    tight = plan(batch=1, context=65_536, room_bytes=8 * GIB)
    assert tight.share_bytes == 8 * GIB and ROW_TOKENS_PLANNED < tight.context_length < 65_536
    assert plan(context=65_536).share_bytes == plan().share_bytes


def test_what_was_measured_replaces_weights_and_runtime():
    made = plan(profile=Profile(5 * GIB, 6 * GIB, 1.0))
    assert made.measured and made.weights_bytes + made.runtime_bytes == 5 * GIB
    assert made.share_bytes < 6 * GIB, "an earlier peak does not make the least larger"
    assert plan(batch=1, profile=Profile(5 * GIB, 9 * GIB, 1.0), room_bytes=20 * GIB).share_bytes == 9 * GIB
    assert plan(batch=1, profile=Profile(5 * GIB, 9 * GIB, 1.0), room_bytes=7 * GIB).share_bytes == 7 * GIB
    assert plan(batch=1, profile=Profile(5 * GIB, 9 * GIB, 1.0), room_bytes=20 * GIB, shrink=1).share_bytes < 6 * GIB


def test_a_measurement_below_what_an_empty_process_counts_is_taken_for_that():
    made = plan(ECHO, profile=Profile(22 * MIB, 22 * MIB, 0.0))
    assert made.measured and made.share_bytes == made.runtime_bytes == empty_bytes("echo") > 22 * MIB


def test_a_measurement_below_the_weights_themselves_is_none():
    assert plan(profile=Profile(GIB, 2 * GIB, 1.0)) == plan()


def test_memory_gb_is_the_share_whatever_the_room():
    for room in (None, GIB, 100 * GIB):
        made = plan(memory_bytes=8 * GIB, room_bytes=room, profile=Profile(5 * GIB, 20 * GIB, 1.0))
        assert made.share_bytes == 8 * GIB and made.rows > 1
    too_little = plan(memory_bytes=GIB)
    assert too_little.share_bytes == plan().share_bytes and too_little.rows == 1
    assert plan(ECHO, memory_bytes=GIB).share_bytes == GIB


def test_rows_are_halved_first_then_the_tokens_of_the_last():
    made = [plan(room_bytes=100 * GIB, shrink=shrink) for shrink in range(10)]
    assert [(each.rows, each.row_tokens) for each in made] == [
        (8, 4096), (4, 4096), (2, 4096), (1, 4096), (1, 2048), (1, 1024), (1, 512), (1, 256), (1, 256), (1, 256)]
    assert made[-1].context_length == 256
    assert plan(LLAMA._replace(context_length=100), shrink=3).row_tokens == 100


def test_a_death_halves_what_there_was_room_for_and_not_what_was_configured():
    two_rows = plan(room_bytes=100 * GIB, batch=2).share_bytes
    assert plan(room_bytes=two_rows, shrink=1).rows == 1


def test_a_configured_share_stays_after_a_death_but_no_row_gets_what_the_others_gave_up():
    before, after = (plan(LLAMA, batch=4, memory_bytes=10 * GIB, shrink=shrink) for shrink in (0, 1))
    assert after.share_bytes == before.share_bytes == 10 * GIB
    assert (before.rows, after.rows) == (4, 2) and after.context_length < before.context_length // 2


def test_an_echo_model_counts_its_process_and_gets_its_whole_context():
    made = plan(ECHO._replace(context_length=100_000), room_bytes=GIB)
    assert made.share_bytes == RUNTIME_BYTES["echo"] and made.rows == 8 and made.context_length == 100_000
    assert 0 < empty_bytes("echo") < empty_bytes("mlx")
    with pytest.raises(KeyError):
        empty_bytes("none")


@pytest.mark.parametrize(("bounds", "gib", "why"), [
    ((4 * GIB, 12 * GIB, 16 * GIB, 16 * GIB), 4.0, "memory_budget_gb, as configured"),
    ((0, 12 * GIB, 16 * GIB, 16 * GIB), 12.0, "what the GPU is recommended to use"),
    ((0, 0, 20 * GIB, 20 * GIB), 18.0, "90 % of this machine's memory"),
    ((0, 12 * GIB, 20 * GIB, 10 * GIB), 9.0, "90 % of this control group's limit"),
    ((64 * GIB, 0, 20 * GIB, 0), 18.0, "90 % of this machine's memory; memory_budget_gb = 64 is more, and was cut"),
    ((4 * GIB, 0, 0, 0), 4.0, "memory_budget_gb, as configured"),
    ((0, 0, 0, 0), 0.0, "neither configured nor known"),
])
def test_the_ceiling_says_which_bound_it_is(bounds, gib, why):
    found = choose_ceiling(*bounds)
    assert (found.bytes / GIB, found.why) == (pytest.approx(gib), why)


def test_explain_is_one_line_with_the_whole_sum():
    assert explain(plan(), Ceiling(4 * GIB, "memory_budget_gb, as configured"), 0) == (
        "needs at least 5.4 GiB (weights 4.2 GiB x 1.02, KV 544 MiB for 1 row of 4096 tokens, copies 34 MiB, "
        "prefill 232 MiB, runtime 317 MiB); the budget for all models is 4.0 GiB (memory_budget_gb, as configured)")
    whole, ceiling = plan(room_bytes=100 * GIB), Ceiling(16 * GIB, "why")
    beside = explain(whole, ceiling, GIB)
    assert beside.startswith("needs 13.1 GiB (") and "KV 4.2 GiB for 8 rows of 4096 tokens" in beside
    assert beside.endswith("; the budget for all models is 16.0 GiB (why), of which others hold 1.0 GiB: it fits")
    assert explain(whole, ceiling, 4 * GIB).endswith("hold 4.0 GiB: it fits when 1.1 GiB of those have made room")
    assert "needs at least 13.1 GiB" in explain(whole, Ceiling(GIB, "why"), 0)


def test_explain_says_what_was_measured_and_what_memory_gb_could_not_hold():
    measured = explain(plan(profile=Profile(5 * GIB, 6 * GIB, 1.0)), Ceiling(16 * GIB, "why"), 0)
    assert "weights 4.2 GiB, " in measured and "weights and runtime as measured)" in measured and "1.02" not in measured
    assert ", more than its memory_gb = 1; " in explain(plan(memory_bytes=GIB), Ceiling(16 * GIB, "why"), 0)
    assert "memory_gb" not in explain(plan(memory_bytes=8 * GIB), Ceiling(16 * GIB, "why"), 0)
    assert "spare" in explain(plan(ECHO, memory_bytes=GIB), Ceiling(16 * GIB, "why"), 0)


def test_sizes_are_in_the_unit_that_people_read():
    assert [size(count * MIB) for count in (0, 523, 1024, 5220)] == ["0 MiB", "523 MiB", "1.0 GiB", "5.1 GiB"]


def test_the_formula_covers_what_was_measured():
    """Beyond the weights, in MB: the model of workers.random_model, 8 rows of 1,500 and one of 3,000 tokens."""
    tiny = ModelFacts(4_198_912, 2048, 4096, 10_240, "mlx", 16, 1024, 4)
    for rows, tokens, peak_mb in ((8, 1510, 52.1), (1, 3020, 34.9)):
        made = plan(tiny, batch=rows, context=tokens, room_bytes=GIB)
        covered_mb = (made.kv_bytes + made.copy_bytes + made.prefill_bytes) / 1e6
        assert peak_mb < covered_mb < 2 * peak_mb
