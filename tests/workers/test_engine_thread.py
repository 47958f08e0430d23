"""The engine thread with a scripted engine: joining between steps, pausing when nobody reads, ending with its trace."""

import threading
from queue import Queue

import pytest

from tests.support.supervisor_home import wait_until
from workers.engine import EngineJob, JobRefused, MemoryFacts, ModelFacts, Output
from workers.engine_thread import BACKLOG_POSTS_MAX, EngineThread, Fatal, JobRejected, Loaded, LoadFailed, Outputs


class Scripted:
    """Every step waits for a permit, so that the test decides what happens between two of them."""

    batch_max = 8

    def __init__(self):
        self.permits = threading.Semaphore(0)
        self.stepping = Queue()
        self.keys = []
        self.load_error = self.step_error = None
        self.threads = set()

    def prepare(self):
        self.threads.add(threading.get_ident())

    def load(self, on_progress):
        on_progress(0.5)
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

    @property
    def active(self):
        return len(self.keys)

    def memory(self):
        return MemoryFacts(1, 2, 3)

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
    thread.load()
    loaded = take(thread, Loaded)
    assert loaded.facts == ModelFacts(512, 100) and loaded.load_ms >= 1
    assert thread.load_progress == 1.0 and thread.memory == MemoryFacts(1, 2, 3)


def test_a_load_that_fails_is_told_with_its_reason(engine):
    engine.load_error = AttributeError("no such weights")  # whatever a library may raise
    thread = start(engine)
    thread.load()
    assert take(thread, LoadFailed).reason == "AttributeError: no such weights"


def test_a_refused_job_touches_nobody_else(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="too long"))
    assert take(thread, JobRejected) == JobRejected((1, 1), "context_length_exceeded", "600 > 512")


def test_what_breaks_in_a_step_is_posted_with_its_trace(engine):
    engine.step_error = RuntimeError("out of memory")
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    engine.permits.release()
    fatal = take(thread, Fatal)
    assert fatal.reason == "RuntimeError: out of memory" and "in step" in fatal.trace


def test_it_pauses_when_nobody_reads_and_goes_on_afterwards(engine):
    thread = start(engine)
    thread.add(EngineJob((1, 1), prompt="x"))
    engine.permits.release(BACKLOG_POSTS_MAX * 3)
    wait_until("a full backlog", lambda: thread.steps == BACKLOG_POSTS_MAX)
    assert engine.stepping.qsize() == BACKLOG_POSTS_MAX, "no step beyond the limit"
    assert len(thread.take()) == BACKLOG_POSTS_MAX
    wait_until("the next full backlog", lambda: thread.steps == 2 * BACKLOG_POSTS_MAX)
