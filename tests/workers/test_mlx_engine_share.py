"""workers/mlx_engine.py inside a share of memory, with real MLX: what it holds, who joins when, what is refused.

Greedy float32 answers do not depend on who else is in the batch, so those within a share are compared token by token
with those of an engine that has none.
"""

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
import pytest

from control.states import Priority
from tests.support.engines import Answer, EngineInThread, Transcript, kept_limits, run, steps
from tests.support.models import model_path
from workers.engine import EngineJob, JobRefused, LoadPlan
from workers.kv_room import KvRoom, LayerKv
from workers.mlx_engine import MlxEngine
from workers.protocol import Sampling

MIB = 2**20
RUNTIME_BYTES = 100 * MIB  # of the share, and not MLX's: nothing here takes it
RESERVE_BYTES = {"1m": 6 * MIB, "26m": 8 * MIB}  # about what the warm-up finds that a step takes
LAYERS = {"1m": [LayerKv(512)] * 4, "26m": [LayerKv(2048)] * 8}  # heads x width x 4 bytes, keys and values
CONTEXT_TOKENS = 4096


@contextmanager
def loaded(size: str, plan: LoadPlan = LoadPlan()) -> Iterator[EngineInThread]:
    with kept_limits():
        engine = EngineInThread(MlxEngine(str(model_path(size)), batch_max=8, context_length=0))
        engine.facts = engine.start(plan)
        yield engine
        engine.close()


def share_for(size: str, rows: int, longest: int, batch_max: int = 8, row_tokens: int = 0) -> LoadPlan:
    """A plan whose share has room for so many rows of that length beside the weights."""
    gc.collect()  # arrays that other tests left would count as weights, and be gone when the plan is carried out
    mx.clear_cache()
    with loaded(size) as engine:
        weights_bytes = engine.memory().active_bytes
    share_bytes = RUNTIME_BYTES + weights_bytes + KvRoom(LAYERS[size]).needs_bytes(rows, longest) + RESERVE_BYTES[size]
    return LoadPlan(share_bytes, RUNTIME_BYTES, batch_max, CONTEXT_TOKENS, row_tokens)


def job(number: int, prompt_tokens: int, max_tokens: int = 0, priority: int = Priority.MEDIUM, **sampling) -> EngineJob:
    ids = [random.Random(number).randrange(10, 1000) for _ in range(prompt_tokens)]
    return EngineJob(key=(number, 1), tokens=ids, max_tokens=max_tokens, sampling=Sampling(**sampling),
                     priority=priority)


@pytest.mark.integration
@pytest.mark.parametrize(("size", "rows", "prompts", "answer"), [
    ("1m", 3, [400, 100, 380, 256, 390, 370, 255, 60], 40), pytest.param("26m", 3, [
        60, 20, 50, 30, 58, 16, 40, 45], 6, marks=pytest.mark.long)])
def test_eight_long_jobs_stay_under_a_tight_share_and_say_what_they_would_without_one(size, rows, prompts, answer):
    jobs = [job(number, tokens, answer) for number, tokens in enumerate(prompts)]
    with loaded(size) as free:
        undisturbed = run(free, *jobs)
    plan = share_for(size, rows, max(prompts) + answer)
    with loaded(size, plan) as engine:
        for each in jobs:
            engine.add(each)
        assert engine.active == 8
        transcript, together = Transcript(), 0
        while engine.active:
            outputs = engine.step()
            transcript.take(outputs)
            together = max(together, len(outputs))
            facts = engine.memory()
            assert facts.active_bytes + facts.cache_bytes <= plan.share_bytes - RUNTIME_BYTES
    assert 2 <= together < 8, "the share was not tight, or nothing ran together"
    for number in range(8):
        assert transcript[number].ids == undisturbed[number].ids
        assert transcript[number].end.completion_tokens == answer


@pytest.fixture(scope="module")
def tight():
    """Room for two rows of 500 tokens."""
    plan = share_for("1m", 2, 500, row_tokens=300)
    with loaded("1m", plan) as engine:
        engine.share_bytes = plan.share_bytes
        yield engine


def speaking(engine: EngineInThread, transcript: Transcript, count: int) -> set[int]:
    """Which jobs say something in the next steps."""
    keys = set()
    for _ in range(count):
        outputs = engine.step()
        transcript.take(outputs)
        keys |= {output.key[0] for output in outputs}
    return keys


def test_a_job_that_does_not_fit_beside_the_running_ones_waits_and_joins_when_it_does(tight):
    transcript = Transcript()
    tight.add(job(1, 200, 300))
    tight.add(job(2, 20, 1000))  # alone it fits
    tight.add(job(3, 20, 5))  # fits beside the first, and yet does not overtake
    assert tight.active == 3
    while (1, 1) not in transcript.answers:
        steps(tight, 1, transcript)
    assert speaking(tight, transcript, 5) == {1}
    tight.remove((1, 1))
    assert tight.active == 2
    while (2, 1) not in transcript.answers:
        steps(tight, 1, transcript)
    assert speaking(tight, transcript, 5) == {2}, "the short one would be padded to the long one"
    tight.remove((2, 1))
    run(tight, transcript=transcript)
    assert len(transcript[3].ids) == 5


def test_a_high_job_that_memory_keeps_out_is_told_and_goes_first_when_another_is_paused(tight):
    whole = run(tight, job(1, 200, 60, seed=1, temperature=1.0))[1]
    transcript = Transcript()
    tight.add(job(1, 200, 60, seed=1, temperature=1.0))
    steps(tight, 2, transcript)
    tight.add(job(2, 300, 1000, Priority.LOW))
    tight.add(job(3, 40, 900, Priority.HIGH))
    steps(tight, 1, transcript)
    assert tight.short == (3, 1)
    while (1, 1) not in transcript.answers:
        steps(tight, 1, transcript)
    assert tight.pause((1, 1))[0][0] == (1, 1)
    while (3, 1) not in transcript.answers:
        steps(tight, 1, transcript)
    assert tight.short == (2, 1) and speaking(tight, transcript, 3) == {3}
    facts = tight.memory()
    assert facts.active_bytes + facts.cache_bytes <= tight.share_bytes - RUNTIME_BYTES
    tight.resume((1, 1))
    for number in (2, 3):
        tight.remove((number, 1))
    run(tight, transcript=transcript)
    assert transcript[1].ids == whole.ids and tight.short is None


def test_what_is_kept_of_a_paused_job_gives_way_to_one_that_joins_and_is_computed_again(tight):
    whole = run(tight, job(1, 400, 40, seed=1, temperature=1.0))[1]
    transcript = Transcript()
    tight.add(job(1, 400, 40, seed=1, temperature=1.0))
    while len(transcript.answers.get((1, 1), Answer()).ids) < 5:
        steps(tight, 1, transcript)
    assert tight.pause((1, 1)) == [((1, 1), True)] and tight.memory().kept_bytes > 0
    run(tight, job(2, 1000, 40), transcript=transcript)
    kept_bytes = tight.memory().kept_bytes
    tight.resume((1, 1))
    run(tight, transcript=transcript)
    assert transcript[1].ids == whole.ids and len(transcript[2].ids) == 40
    assert kept_bytes < tight.share_bytes - RUNTIME_BYTES


def test_what_mlx_keeps_for_later_gives_way_to_what_the_batch_may_need(tight):
    """MLX keeps freed memory up to a limit. Freed here is as much as the share has, in many sizes."""
    def leave_garbage():
        for size in range(1, 33):
            mx.eval(mx.zeros(size * MIB // 16))

    left_bytes = tight.share_bytes - RUNTIME_BYTES
    tight.add(job(1, 400, 100))
    steps(tight, 1, Transcript())
    tight.call(leave_garbage)
    facts = tight.memory()
    assert facts.cache_bytes > 0 and facts.active_bytes + facts.cache_bytes <= left_bytes
    tight.remove((1, 1))


def test_a_waiting_job_can_be_removed_and_its_key_used_again(tight):
    transcript = Transcript()
    tight.add(job(1, 450, 50))
    tight.add(job(2, 20, 1000))
    steps(tight, 1, transcript)
    tight.remove((2, 1))
    tight.add(job(2, 20, 5))
    run(tight, transcript=transcript)
    assert len(transcript[2].ids) == 5 and len(transcript[1].ids) == 50


def test_an_answer_of_no_given_length_gets_the_rest_of_a_planned_row_and_at_least_half_of_one(tight):
    transcript = run(tight, job(1, 40), job(2, 350))
    assert (len(transcript[1].ids), len(transcript[2].ids)) == (260, 150)
    assert transcript[1].end.reason == "length"


def test_the_context_is_what_fits_alone_and_a_longer_prompt_hears_why(tight):
    longest = tight.facts.context_length
    assert 1000 < longest < CONTEXT_TOKENS
    with pytest.raises(JobRefused) as refused:
        tight.add(job(1, longest))
    assert refused.value.code == "context_length_exceeded"
    for part in (f"has {longest} tokens", f"holds {longest}", f"{longest + 1} tokens need", "share of", "memory_gb"):
        assert part in refused.value.message
    assert tight.active == 0
    answer = run(tight, job(1, longest - 3, 100))[1]
    assert (len(answer.ids), answer.end.reason) == (3, "length"), "an answer is cut to the longest that fits alone"


def test_a_planned_context_and_batch_are_kept_to():
    plan = share_for("1m", 3, 4000, batch_max=2)
    with loaded("1m", LoadPlan(plan.share_bytes, RUNTIME_BYTES, 2, 512, 512)) as engine:
        assert (engine.facts.context_length, engine.batch_max) == (512, 2)
        with pytest.raises(JobRefused, match="Without its memory share the model would hold 4096"):
            engine.add(job(1, 512))


def test_mlx_is_held_to_the_models_part_of_the_share():
    aside = 2**40
    with loaded("1m", LoadPlan(2**30 + RUNTIME_BYTES, RUNTIME_BYTES)):
        weights = mx.get_active_memory()
        assert mx.set_memory_limit(aside) == 2**30
        assert 2**30 // 2 < mx.set_cache_limit(aside) <= 2**30 - weights  # beside them, and nobody runs
    with kept_limits():
        mx.set_memory_limit(aside)
        with loaded("1m"):
            assert mx.set_memory_limit(aside) == aside, "without a share nothing is limited"


def test_a_share_without_room_for_one_request_is_refused_at_load():
    with pytest.raises(MemoryError, match="less runtime 100.0 MiB less weights .* leaves"), loaded(
            "1m", LoadPlan(RUNTIME_BYTES + 4 * MIB, RUNTIME_BYTES)):
        pass
