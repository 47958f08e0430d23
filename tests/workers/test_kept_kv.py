"""workers/kept_kv.py inside the engine, with real MLX: who begins with what was computed before computes the rest only,
and says what it would have said anyway. Every answer is compared with one of an engine that keeps nothing.
"""

import gc
import random
from contextlib import closing
from pathlib import Path

import mlx.core as mx
import pytest

from tests.support.architectures import make_architecture
from tests.support.engines import EngineInThread, Transcript, kept_limits, run, steps
from tests.support.models import model_path
from workers.engine import EngineJob, LoadPlan, Spill
from workers.job_parts import Extras
from workers.kept_kv import LOAD_BESIDE_MAX_BYTES, LOAD_MIN_TOKENS, may_load
from workers.mlx_engine import MlxEngine
from workers.prefill_pace import PREFILL_CHUNK_FIRST_TOKENS, PrefillPace
from workers.prefix_cache import FOUND_MIN_TOKENS
from workers.protocol import ChatMessage, Sampling

MIB = 2**20
RUNTIME_BYTES = 100 * MIB
ROOM_BYTES = 24 * MIB + MIB // 2  # the weights, eight rows of a plan, and less than a step is measured to take


def text(seed: int, tokens: int) -> list[int]:
    return [random.Random(seed).randrange(10, 1000) for _ in range(tokens)]


HEAD = text(0, 100)  # what they all begin with; more than LOAD_MIN_TOKENS, also without its end


def started(path: Path, plan: LoadPlan = LoadPlan(), **settings) -> EngineInThread:
    settings = {"batch_max": 8, "context_length": 0} | settings
    engine = EngineInThread(MlxEngine(str(path), **settings))
    engine.start(plan)
    return engine


def job(number: int, tokens: list[int] | None = None, max_tokens: int = 10, **fields) -> EngineJob:
    return EngineJob(key=(number, 1), tokens=tokens, max_tokens=max_tokens, **fields)


@pytest.fixture(scope="module")
def cold():
    with closing(started(model_path("1m"), prefix_cache=False)) as engine:
        yield engine


@pytest.fixture
def warm():
    with closing(started(model_path("1m"))) as engine:
        yield engine


def same(answer, other) -> bool:
    chances = [[each.logprob for each in one.logprobs] for one in (answer, other)]
    assert chances[0] == pytest.approx(chances[1], abs=1e-3)
    return (answer.ids, answer.pieces, answer.end.reason, answer.end.prompt_tokens) == (
        other.ids, other.pieces, other.end.reason, other.end.prompt_tokens)


def test_a_conversation_that_grows_computes_what_is_new(warm, cold):
    tokens = HEAD
    for turn in range(3):
        answer, expected = (run(engine, job(turn, tokens))[turn] for engine in (warm, cold))
        assert same(answer, expected) and expected.end.cached_tokens == 0
        assert answer.end.cached_tokens == (len(tokens) - 5 if turn else 0)
        tokens = [*tokens, *answer.ids, *text(turn, 5)]
    assert warm.memory().kept_bytes > 0 == cold.memory().kept_bytes


KINDS = {
    "greedy": {}, "seeded": {"sampling": Sampling(temperature=1.0, seed=5)},
    "penalties": {"sampling": Sampling(temperature=0.8, seed=6, repeat_penalty=1.3, presence_penalty=0.5,
                                       frequency_penalty=0.5, repeat_last_n=-1)},
    "chances": {"extras": Extras(logprobs=3)}, "bias": {"extras": Extras(logit_bias={7: 50.0})},
    "grammar": {"extras": Extras(schema={"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]})},
    "shift": {"extras": Extras(shift=True, num_ctx=len(HEAD) + 10, num_keep=20), "max_tokens": 30},
}


def test_whatever_is_asked_the_answer_is_the_same(warm, cold):
    run(warm, job(99, HEAD))
    kinds = [job(number, [*HEAD, *text(number, 3)], **fields) for number, fields in enumerate(KINDS.values())]
    for each in kinds:
        number = each.key[0]
        answer, expected = (run(engine, each)[number] for engine in (warm, cold))
        assert same(answer, expected) and answer.end.cached_tokens == len(HEAD), list(KINDS)[number]
    together, expected = run(warm, *kinds), run(cold, *kinds)
    for number in range(len(kinds)):
        assert same(together[number], expected[number]), "what is kept was changed by who used it"


def test_a_prompt_that_was_just_answered_is_read_by_its_last_token(warm, cold):
    chat = EngineJob(key=(1, 1), messages=[ChatMessage("user", "tell me all there is to tell " * 5)], max_tokens=6)
    first, again = run(warm, chat)[1], run(warm, chat)[1]
    assert again.end.cached_tokens == again.end.prompt_tokens - 1
    assert same(again, first) and same(again, run(cold, chat)[1])


def test_what_ended_early_is_kept_as_well(warm, cold):
    whole = run(cold, job(1, HEAD, 40))[1]
    stop = next(piece for piece in whole.pieces[5:] if len(piece) > 1)
    assert run(warm, job(1, HEAD, 40, stop=[stop]))[1].end.stop == stop
    assert run(warm, job(2, HEAD, 1))[2].end.cached_tokens == len(HEAD) - 1
    warm.engine._rows.pace = PrefillPace()  # as if it knew nothing: the first chunk is as long as it begins
    warm.add(job(3, text(3, 100)))
    steps(warm, 1, Transcript())
    warm.remove((3, 1))
    answer = run(warm, job(4, text(3, 100)))[4]
    assert answer.end.cached_tokens == PREFILL_CHUNK_FIRST_TOKENS, "what of a prompt was read before it was cancelled"
    assert same(answer, run(cold, job(4, text(3, 100)))[4])


def test_a_pause_is_found_by_its_job_alone_where_nothing_is_shared(cold):
    kept, batch = cold.engine._kept, cold.engine._batch
    cold.add(job(1, HEAD, 100))
    steps(cold, 4, Transcript())
    [uid] = cold.engine._rows.places.running
    kv = cold.call(batch.take_out, [uid])[uid]
    assert not cold.call(kept.keep, kv) and cold.call(kept.keep, kv, (1, 1))
    assert cold.call(kept.find, [*kv.tokens, 1], (2, 1)) is None
    assert cold.call(kept.find, [*kv.tokens, 1], (1, 1)).tokens == kv.tokens
    assert kept.bytes == 0, "it has gone on"
    cold.remove((1, 1))


def test_within_a_share_it_gives_way_before_anybody_waits(cold):
    """The plan has room for eight such rows whatever a step was measured to take, so all eight join."""
    jobs = [job(number, text(number, 40), 4) for number in range(10)]
    expected = run(cold, *jobs[:8])
    gc.collect()
    part_bytes = mx.get_active_memory() + ROOM_BYTES  # what the other engine here holds counts as weights
    with kept_limits():
        plan = LoadPlan(RUNTIME_BYTES + part_bytes, RUNTIME_BYTES, 8, 4096, 44)
        with closing(started(model_path("1m"), plan)) as engine:
            division, kept, rows = engine.engine._share, engine.engine._kept, engine.engine._rows
            for each in jobs:
                run(engine, each)
                assert kept.bytes <= division.spare_bytes([44])
            assert kept.bytes > 0 == division.spare_bytes([44] * 8), "else nothing is shown here"
            for each in jobs[:8]:
                engine.add(each)
            transcript = Transcript()
            transcript.take(engine.step())
            assert len(rows.inside()) == 8 and not rows.places.waiting
            assert kept.bytes <= division.spare_bytes(rows.inside())
            run(engine, transcript=transcript)
            for number in range(8):
                assert transcript[number].ids == expected[number].ids
            assert engine.memory().peak_bytes <= part_bytes
            run(engine, jobs[0])
            assert kept.bytes > 0
            engine.call(engine.engine.trim)
            assert kept.bytes == 0, "the machine is short of memory"


@pytest.mark.parametrize("architecture", ["mamba", "gemma3_text"])
def test_what_does_not_trim_is_kept_at_the_end_of_the_prompt_too(architecture, tmp_path):
    path = make_architecture(tmp_path / architecture, architecture)
    sampling = Sampling(temperature=1.0, seed=3)
    with closing(started(path)) as warm, closing(started(path, prefix_cache=False)) as cold:
        first = run(warm, job(1, HEAD, sampling=sampling))[1]
        grown = [*HEAD, *first.ids, *text(1, 9)]
        without_reasoning = [*HEAD[:-2], *text(2, 30)]
        for number, tokens in enumerate([HEAD, grown, without_reasoning], 2):
            answer, expected = (run(engine, job(number, tokens, sampling=sampling))[number] for engine in (warm, cold))
            assert same(answer, expected) and answer.end.cached_tokens >= len(HEAD) - 2 * FOUND_MIN_TOKENS
        assert warm.memory().kept_bytes > 0


def spill(root: Path, notes: list, max_bytes: int = 2**30) -> Spill:
    return Spill(root / "cache", "some", max_bytes, lambda event, **facts: notes.append((event, facts)))


def idle(engine: EngineInThread) -> None:
    while engine.call(engine.engine.idle):
        pass


@pytest.mark.parametrize("architecture", ["llama", "mamba", "gemma3_text"])
def test_it_outlives_the_process_on_disk(architecture, tmp_path):
    path = model_path("1m") if architecture == "llama" else make_architecture(tmp_path / "model", architecture)
    notes: list = []
    with closing(started(path, spill=spill(tmp_path, notes))) as engine:
        first = run(engine, job(1, HEAD))[1]
        tokens = [*HEAD, *first.ids, *text(1, 9)]
        expected = run(engine, job(2, tokens))[2]
        idle(engine)
        assert 0 < engine.memory().kept_bytes < 2 * engine.memory().spilled_bytes
    with closing(started(path, spill=spill(tmp_path, notes))) as engine:
        assert engine.memory().spilled_bytes > 0 == engine.memory().kept_bytes
        answer = run(engine, job(2, tokens))[2]
        assert same(answer, expected) and answer.end.cached_tokens >= len(HEAD) - FOUND_MIN_TOKENS - 1
        again = run(engine, job(3, tokens))[3]
        assert same(again, expected)
        spilled = engine.memory().spilled_bytes
        idle(engine)
        assert engine.memory().spilled_bytes <= 2 * spilled
    assert notes == []
    files = list((tmp_path / "cache").glob("*/*"))
    assert files and all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in (tmp_path / "cache", files[0].parent))


def test_a_damaged_file_is_computed_again_and_said(tmp_path, cold):
    notes: list = []
    with closing(started(model_path("1m"), spill=spill(tmp_path, notes))) as engine:
        run(engine, job(1, HEAD))
        idle(engine)
    [file] = (tmp_path / "cache").glob("*/*")
    with open(file, "r+b") as opened:
        opened.seek(-3, 2)
        opened.write(b"\xff")
    with closing(started(model_path("1m"), spill=spill(tmp_path, notes))) as engine:
        answer = run(engine, job(1, HEAD))[1]
        assert answer.end.cached_tokens == 0 and same(answer, run(cold, job(1, HEAD))[1])
    assert [event for event, _ in notes] == ["prefix_cache_removed"] and not file.exists()


def test_a_folder_that_cannot_be_used_costs_no_answer(tmp_path):
    notes: list = []
    (tmp_path / "cache").write_text("a file")
    with closing(started(model_path("1m"), spill=spill(tmp_path, notes))) as engine:
        assert run(engine, job(1, HEAD))[1].end and not engine.call(engine.engine.idle)
    assert [event for event, _ in notes] == ["prefix_cache_not_on_disk"]


def test_what_is_short_is_not_written(tmp_path):
    with closing(started(model_path("1m"), spill=spill(tmp_path, []))) as engine:
        run(engine, job(1, HEAD[: LOAD_MIN_TOKENS // 2], 4))
        idle(engine)
        assert engine.memory().kept_bytes > 0 == engine.memory().spilled_bytes


def test_what_takes_long_to_read_from_disk_is_computed_beside_others():
    most = LOAD_BESIDE_MAX_BYTES
    assert may_load(most + 1, 1) and may_load(most, 2) and not may_load(most + 1, 2)


def test_an_array_that_is_kept_holds_no_more_than_its_row(warm):
    """A part of a batch's array would keep all of it."""
    run(warm, *(job(number, text(number, 100), 4) for number in range(8)))
    for entry in warm.engine._kept._store:
        assert sum(cache.nbytes for cache in entry.caches) == entry.bytes == len(entry.tokens) * 4 * 512
    del entry
    gc.collect()  # what other tests left would be gone later
    before = mx.get_active_memory()
    kept = warm.engine._kept.bytes
    warm.call(warm.engine.trim)
    assert before - mx.get_active_memory() == pytest.approx(kept, rel=0.05)
