"""Driving an engine in tests: its whole life in one thread of its own, and what its jobs said, checked as it comes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from workers.engine import Engine, EngineJob, JobKey, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.job_parts import CallPiece, TokenLogprob
from workers.protocol import End

STEPS_MAX = 5_000
LIMITS_ASIDE_BYTES = 2**40  # set for a moment: MLX tells a limit only when it is given another


class EngineInThread:
    """The engine was made in the caller's thread; everything else happens in another one, as in a worker."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.progress: list[float] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def call(self, function: Callable, *arguments: Any) -> Any:
        return self._thread.submit(function, *arguments).result()

    def start(self, plan: LoadPlan = LoadPlan()) -> ModelFacts:
        self.call(self.engine.prepare)
        return self.call(self.engine.load, self.progress.append, plan)

    def add(self, job: EngineJob) -> None:
        self.call(self.engine.add, job)

    def remove(self, key: JobKey) -> None:
        self.call(self.engine.remove, key)

    def pause(self, key: JobKey) -> list[tuple[JobKey, bool]]:
        """Those that are paused now."""
        self.call(self.engine.pause, key)
        return self.take_paused()

    def take_paused(self) -> list[tuple[JobKey, bool]]:
        return self.call(self.engine.take_paused)

    def resume(self, key: JobKey) -> None:
        self.call(self.engine.resume, key)

    @property
    def paused(self) -> int:
        return self.engine.paused

    @property
    def short(self) -> JobKey | None:
        return self.engine.short

    def step(self) -> list[Output]:
        return self.call(self.engine.step)

    def memory(self) -> MemoryFacts:
        return self.call(self.engine.memory)

    @property
    def batch_max(self) -> int:
        return self.engine.batch_max

    @property
    def active(self) -> int:
        return self.engine.active

    @property
    def steps_run(self) -> int:
        return self.engine.steps_run  # type: ignore[attr-defined]

    def close(self) -> None:
        self.call(self.engine.close)
        self._thread.shutdown()


@contextmanager
def kept_limits() -> Iterator[None]:
    """MLX's limits belong to the whole process: whatever happens inside, they are put back."""
    memory_bytes, cache_bytes = mx.set_memory_limit(LIMITS_ASIDE_BYTES), mx.set_cache_limit(LIMITS_ASIDE_BYTES)
    mx.set_memory_limit(memory_bytes)
    mx.set_cache_limit(cache_bytes)
    try:
        yield
    finally:
        mx.set_memory_limit(memory_bytes)
        mx.set_cache_limit(cache_bytes)


@dataclass
class Answer:
    ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    end: End | None = None
    thinking: str = ""
    calls: list[CallPiece] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    vectors: list[bytes] = field(default_factory=list)
    failed: tuple[str, str] | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Transcript:
    """What each job said. Adding an output out of place, or after the end, fails."""

    def __init__(self) -> None:
        self.answers: dict[JobKey, Answer] = {}

    def take(self, outputs: list[Output]) -> None:
        assert len({output.key for output in outputs}) == len(outputs), "one output per job and step"
        for output in outputs:
            answer = self.answers.setdefault(output.key, Answer())
            assert answer.end is None and answer.failed is None, "an output after the end"
            assert output.position == len(answer.ids) + len(answer.vectors), "a gap between positions"
            assert len(output.ids) <= 1
            answer.ids += output.ids
            answer.pieces.append(output.text)
            answer.end, answer.failed = output.end, output.failed
            if output.more is not None:
                answer.thinking += output.more.thinking
                answer.calls += output.more.calls
                answer.logprobs += output.more.logprobs
                answer.vectors += output.more.vectors

    def __getitem__(self, number: int) -> Answer:
        return self.answers[(number, 1)]


def run(engine: EngineInThread, *jobs: EngineJob, transcript: Transcript | None = None) -> Transcript:
    """Add the jobs and step until nothing is active."""
    transcript = transcript or Transcript()
    for job in jobs:
        engine.add(job)
    for _ in range(STEPS_MAX):
        if not engine.active:
            return transcript
        transcript.take(engine.step())
    raise AssertionError(f"{engine.active} jobs still active after {STEPS_MAX} steps")


def steps(engine: EngineInThread, count: int, transcript: Transcript) -> None:
    for _ in range(count):
        transcript.take(engine.step())
