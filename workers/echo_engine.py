"""A scripted engine without MLX: numbered tokens at a given rate, and the ways of breaking that tests and benches need.

Token k of an answer has id k and text "tk", with a space between two, so that a lost, doubled or misplaced token shows.
The configuration says what happens; directives in the prompt, or in the last message, beat it:

    #tokens=N     length of the answer               #rate=R      tokens per second of the whole batch's steps
    #text=WORDS   the answer's own words, to the end  #crash_at=K  abort the process instead of token K
    #hang_at=K    never come back from token K's step

It passes the same conformance suite as the MLX engine. `clock` (seconds) and `sleep` are given, so tests need not wait.
"""

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from workers.engine import EngineJob, JobKey, JobRefused, MemoryFacts, ModelFacts, Output
from workers.protocol import End
from workers.text import StopMatcher

CONTEXT_DEFAULT_TOKENS = 1_000_000
VOCABULARY = 2**31 - 1
LOAD_STEPS = 20
NEVER = -1
DIRECTIVE = re.compile(r"#(tokens|rate|crash_at|hang_at)=(\d+(?:\.\d+)?)")
OWN_TEXT = re.compile(r"#text=(.*)", re.DOTALL)


@dataclass(slots=True)
class Running:
    """One job. `length`: how many tokens its answer has if nothing stops it; `limit`: how many it may have."""

    key: JobKey
    prompt_tokens: int
    length: int
    limit: int
    words: list[str]
    rate_per_s: float
    crash_at: int
    hang_at: int
    stops: StopMatcher
    started: float
    position: int = 0

    def word(self) -> str:
        text = self.words[self.position] if self.words else f"t{self.position}"
        return f" {text}" if self.position else text


class EchoEngine:
    """See the module. `steps_run` counts steps of the whole batch."""

    def __init__(self, batch_max: int, context_length: int = 0, rate_per_s: float = 0.0, load_s: float = 0.0,
                 answer_tokens: int = 16, crash_in_load: bool = False, hang_in_load: bool = False,
                 clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self.batch_max = batch_max
        self.steps_run = 0
        self._context_length = context_length or CONTEXT_DEFAULT_TOKENS
        self._rate_per_s, self._load_s, self._answer_tokens = rate_per_s, load_s, answer_tokens
        self._crash_in_load, self._hang_in_load = crash_in_load, hang_in_load
        self._clock, self._sleep = clock, sleep
        self._jobs: dict[JobKey, Running] = {}
        self._last_step = clock()

    def prepare(self) -> None:
        """There is nothing to import."""

    def load(self, on_progress: Callable[[float], None]) -> ModelFacts:
        for step in range(LOAD_STEPS):
            on_progress(step / LOAD_STEPS)
            if self._load_s:
                self._sleep(self._load_s / LOAD_STEPS)
            if step == LOAD_STEPS // 2:
                self._break(crash=self._crash_in_load, hang=self._hang_in_load)
        on_progress(1.0)
        return ModelFacts(self._context_length, VOCABULARY)

    @staticmethod
    def _break(*, crash: bool, hang: bool) -> None:
        if crash:
            os.abort()
        if hang:
            threading.Event().wait()

    def add(self, job: EngineJob) -> None:
        text = job.prompt if job.prompt is not None else job.messages[-1].content if job.messages else ""
        prompt_tokens = len(job.tokens) if job.tokens is not None else self._count_words(job)
        room = self._context_length - prompt_tokens
        if prompt_tokens == 0:
            raise JobRefused("invalid_request", "the prompt is empty")
        if room < 1:
            raise JobRefused("context_length_exceeded", f"the prompt has {prompt_tokens} tokens; the context holds "
                             f"{self._context_length}, with at least one for the answer")
        said = {name: float(value) for name, value in DIRECTIVE.findall(text)}
        own = OWN_TEXT.search(text)
        words = own[1].split() if own else []
        length = len(words) or int(said.get("tokens", self._answer_tokens))
        self._jobs[job.key] = Running(
            key=job.key,
            prompt_tokens=prompt_tokens,
            length=length,
            limit=min(job.max_tokens or room, room),
            words=words,
            rate_per_s=said.get("rate", self._rate_per_s),
            crash_at=int(said.get("crash_at", NEVER)),
            hang_at=int(said.get("hang_at", NEVER)),
            stops=StopMatcher(job.stop),
            started=self._clock(),
        )

    @staticmethod
    def _count_words(job: EngineJob) -> int:
        texts = [job.prompt] if job.prompt is not None else [message.content for message in job.messages or ()]
        return sum(len(text.split()) for text in texts)

    def remove(self, key: JobKey) -> None:
        self._jobs.pop(key, None)

    @property
    def active(self) -> int:
        return len(self._jobs)

    def step(self) -> list[Output]:
        self._keep_rate()
        self.steps_run += 1
        outputs = [self._advance(job) for job in list(self._jobs.values())]
        for output in outputs:
            if output.end is not None:
                del self._jobs[output.key]
        return outputs

    def _keep_rate(self) -> None:
        """The batch steps at the rate of its slowest job."""
        rates = [job.rate_per_s for job in self._jobs.values() if job.rate_per_s > 0]
        if rates:
            wait_s = self._last_step + 1 / min(rates) - self._clock()
            if wait_s > 0:
                self._sleep(wait_s)
        self._last_step = self._clock()

    def _advance(self, job: Running) -> Output:
        """Token number `position`, or the end."""
        self._break(crash=job.position == job.crash_at, hang=job.position == job.hang_at)
        position = job.position
        if position >= job.length:  # an empty answer
            return Output(job.key, position, [], job.stops.flush(), self._end(job, "stop"))
        text, stopped = job.stops.feed(job.word())
        job.position += 1
        reason = "stop" if stopped or job.position == job.length else "length" if job.position == job.limit else None
        if reason is None:
            return Output(job.key, position, [position], text)
        return Output(job.key, position, [position], text if stopped else text + job.stops.flush(),
                      self._end(job, reason))

    def _end(self, job: Running, reason: str) -> End:
        return End(reason, job.prompt_tokens, job.position, 0.0, (self._clock() - job.started) * 1000)

    def memory(self) -> MemoryFacts:
        return MemoryFacts()

    def close(self) -> None:
        self._jobs.clear()
