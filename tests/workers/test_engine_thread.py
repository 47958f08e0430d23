"""The engine thread with a scripted engine: joining between steps, pausing when nobody reads, ending with its trace."""

import threading
from queue import Queue

import pytest

from tests.support.supervisor_home import wait_until
from workers.engine import EngineJob, JobRefused, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.engine_thread import (
    BACKLOG_POSTS_MAX,
    EngineThread,
    Fatal,
    JobRejected,
    Loaded,
    LoadFailed,
    Outputs,
    PausedNow,
    ShortOf,
    name_problem,
)

WITHIN_S = 10.0
PLAN = LoadPlan(share_bytes=5, batch_max=2)


class Scripted:
    """Every step waits for a permit, so that the test decides what happens between two of them."""

    batch_max = 8

    def __init__(self):
        self.permits = threading.Semaphore(0)
        self.stepping = Queue()
        self.keys = []
        self.load_error = self.step_error = None
        self.threads = set()
        self.plan = None
        self.trims = 0
        self.away, self.told, self.short = [], [], None
        self.untidy = 0

    def prepare(self):
        self.threads.add(threading.get_ident())

    def load(self, on_progress, plan):
        on_progress(0.5)
        self.plan = plan
        if self.load_error:
            raise self.load_error
        return ModelFacts(512, 100)

    def add(self, job):
        if job.prompt == "too long":
            raise JobRefused("context_length_exceeded", "600 > 512")
        self.keys.append(job.key)

    def remove(self, key):
        if key in self.keys:
            self.keys.remove(key)

    def pause(self, key):
        if key in self.keys:
            self.keys.remove(key)
            self.away.append(key)
        if key in self.away:
            self.told.append((key, True))

    def take_paused(self):
        told, self.told = self.told, []
        return told

    def resume(self, key):
        if key in self.away:
            self.away.remove(key)
            self.keys.append(key)

    @property
    def active(self):
        return len(self.keys)

    @property
    def paused(self):
        return len(self.away)

    def idle(self):
        self.untidy = max(0, self.untidy - 1)
        return self.untidy > 0

    def memory(self):
        return MemoryFacts(1, 2, 3, 4)

    def trim(self):
        self.trims += 1

    def step(self):
        self.threads.add(threading.get_ident())
        self.stepping.put(list(self.keys))
        self.permits.acquire()
        if self.step_error:
            raise self.step_error
        return [Output(key, 0, [1], "t") for key in self.keys]


@pytest.fixture
def engine():
    engine = Scripted()
    yield engine
    engine.permits.release(100_000)


def start(engine) -> EngineThread:
    thread = EngineThread(engine, lambda: None)
    thread.start()
    return thread


def take(thread, kind):
    """Wait for posts; returns the first of that kind."""
    found = []

    def look():
        found.extend(post for post in thread.take() if isinstance(post, kind))
        return found

    return wait_until(kind.__name__, look)[0]


def test_a_job_joins_between_two_steps(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    assert engine.stepping.get(timeout=10) == [(1, 1)]
    thread.add(EngineJob((2, 1), prompt="x"))
    engine.permits.release()
    assert engine.stepping.get(timeout=10) == [(1, 1), (2, 1)]
    assert [out.key for out in take(thread, Outputs).outputs] == [(1, 1)]
    assert len(engine.threads) == 1, "one thread for the engine's whole life"


def test_it_sleeps_when_nothing_is_active(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    engine.stepping.get(timeout=10)
    thread.remove((1, 1))
    engine.permits.release()
    wait_until("the removal", lambda: not engine.keys)
    engine.permits.release(10)
    thread.add(EngineJob((2, 1), prompt="x"))
    assert engine.stepping.get(timeout=10) == [(2, 1)], "no step ran with an empty batch"


def test_load_and_its_facts(engine):
    thread = start(engine)
    thread.load(PLAN)
    loaded = take(thread, Loaded)
    assert loaded.facts == ModelFacts(512, 100) and loaded.load_ms >= 1
    assert thread.load_progress == 1.0 and engine.plan == PLAN


def test_a_load_that_fails_is_told_with_its_reason(engine):
    engine.load_error = AttributeError("no such weights")  # whatever a library may raise
    thread = start(engine)
    thread.load(PLAN)
    assert take(thread, LoadFailed).reason == "AttributeError: no such weights"


def test_a_refused_job_touches_nobody_else(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="too long"))
    assert take(thread, JobRejected) == JobRejected((1, 1), "context_length_exceeded", "600 > 512")


def test_what_breaks_in_a_step_is_posted_with_its_trace(engine):
    engine.step_error = RuntimeError("shapes differ")
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    engine.permits.release()
    fatal = take(thread, Fatal)
    assert fatal.reason == "RuntimeError: shapes differ" and "in step" in fatal.trace


def test_it_pauses_when_nobody_reads_and_goes_on_afterwards(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    engine.permits.release(BACKLOG_POSTS_MAX * 3)
    wait_until("a full backlog", lambda: thread.steps == BACKLOG_POSTS_MAX)
    assert engine.stepping.qsize() == BACKLOG_POSTS_MAX, "no step beyond the limit"
    assert len(thread.take()) == BACKLOG_POSTS_MAX
    wait_until("the next full backlog", lambda: thread.steps == 2 * BACKLOG_POSTS_MAX)


def test_what_the_engine_holds_counts_until_it_has_let_go(engine):
    thread = start(engine)
    assert thread.held == 0
    thread.add(EngineJob((1, 1), prompt="x"))
    assert thread.held == 1, "on its way"
    engine.stepping.get(timeout=10)
    thread.remove((1, 1))
    assert thread.held == 1, "its step still runs"
    engine.permits.release()
    wait_until("the removal", lambda: thread.held == 0)
    thread.add(EngineJob((2, 1), prompt="too long"))
    wait_until("the refusal", lambda: thread.held == 0)


def test_a_paused_job_is_held_and_told_and_who_is_short_is_told_again_after_it(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    thread.add(EngineJob((2, 1), prompt="x"))
    engine.stepping.get(timeout=10)
    engine.short = (2, 1)
    engine.permits.release()
    assert take(thread, ShortOf) == ShortOf((2, 1))
    engine.stepping.get(timeout=10)
    thread.pause((1, 1))
    engine.permits.release()
    assert take(thread, PausedNow) == PausedNow((1, 1), True)
    assert engine.stepping.get(timeout=10) == [(2, 1)] and thread.held == 2
    engine.permits.release()
    assert take(thread, ShortOf) == ShortOf((2, 1)), "one pause may not have been enough"
    engine.stepping.get(timeout=10)
    thread.resume((1, 1))
    thread.remove((2, 1))
    engine.permits.release()
    assert engine.stepping.get(timeout=10) == [(1, 1)]


def test_what_can_wait_is_done_while_nothing_is_asked(engine):
    engine.untidy = 3
    thread = start(engine)
    wait_until("all of it", lambda: engine.untidy == 0)
    engine.untidy = 3
    thread.tidy(WITHIN_S)
    assert engine.untidy == 0, "at once, before the process ends"
    thread.add(EngineJob((1, 1), prompt="x"))
    assert engine.stepping.get(timeout=10) == [(1, 1)], "and no step was run for it"


def test_memory_is_known_before_a_model_is_loaded(engine):
    thread = start(engine)
    wait_until("the first reading", lambda: thread.memory == MemoryFacts(1, 2, 3, 4))


def test_trims_asked_while_a_step_runs_are_one_and_count_as_no_work(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    engine.stepping.get(timeout=10)
    for _ in range(5):
        thread.trim()
    assert engine.trims == 0
    thread.remove((1, 1))
    engine.permits.release()
    wait_until("the removal", lambda: thread.held == 0)
    assert engine.trims == 1
    thread.trim()
    assert thread.held == 0
    wait_until("the next trim", lambda: engine.trims == 2)


OUT_OF_MEMORY_ERRORS = [
    RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory "
                 "(00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"),
    RuntimeError("[METAL] Command buffer execution failed: (kIOGPUCommandBufferCallbackErrorOutOfMemory)"),
    RuntimeError("[metal::malloc] Attempting to allocate 137438953472 bytes which is greater than the maximum allowed "
                 "buffer size of 77309411328 bytes."),
    RuntimeError("[metal::malloc] Resource limit (499000) exceeded."),
    RuntimeError("[malloc_or_wait] Unable to allocate 8589934592 bytes."),
    RuntimeError("cudaMallocAsync(&data, size, stream) failed: out of memory"),
    MemoryError("std::bad_alloc"),
]


@pytest.mark.parametrize("problem", OUT_OF_MEMORY_ERRORS, ids=str)
def test_want_of_memory_is_recognised_by_its_text(problem):
    assert name_problem(problem) == f"out of memory: {type(problem).__name__}: {problem}"


@pytest.mark.parametrize("problem", [
    RuntimeError("[METAL] Command buffer execution failed: Caused GPU Timeout Error"),
    ValueError("the prompt says: out of memory"), KeyError("x")], ids=str)
def test_other_problems_are_not_want_of_memory(problem):
    assert name_problem(problem) == f"{type(problem).__name__}: {problem}"


@pytest.mark.parametrize("kind", [LoadFailed, Fatal])
def test_want_of_memory_stands_first_in_the_reason(engine, kind):
    engine.load_error = engine.step_error = RuntimeError("[malloc] Unable to allocate 5 bytes.")
    thread = start(engine)
    if kind is LoadFailed:
        thread.load(PLAN)
    else:
        thread.add(EngineJob((1, 1), prompt="x"))
        engine.permits.release()
    assert take(thread, kind).reason.startswith("out of memory: ")
