"""A scripted engine without MLX: numbered tokens at a given rate, and the ways of breaking that tests and benches need.

Token k of an answer has id k and text "tk", with a space between two, so that a lost, doubled or misplaced token shows.
A prompt's tokens are its words. The configuration says what happens; directives in the prompt, or in the last message,
beat it:

    #tokens=N     length of the answer                #rate=R      this job's tokens per second; 0: as fast as asked
    #text=WORDS   the answer's own words, to the end  #crash_at=K  abort the process instead of token K
    #hang_at=K    never come back from token K's step #oom_at=K    token K's step finds no memory, as on a GPU

It refuses what the MLX engine refuses, and passes the same conformance suite. `clock` (seconds) and `sleep` are given,
so tests need not wait; nothing else of it depends on time or chance.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from workers.engine import EngineJob, JobKey, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.prompt import check_ids, check_length, check_present
from workers.protocol import End, FinishReason
from workers.text import StopMatcher

CONTEXT_DEFAULT_TOKENS = 1_000_000
VOCABULARY = 2**31 - 1
LOAD_STEPS = 20
HANG_SLICE_S = 3600.0
NEVER = -1
DIRECTIVE = re.compile(r"#(tokens|rate|crash_at|hang_at|oom_at)=(\d+(?:\.\d+)?)")
OWN_TEXT = re.compile(r"#text=(.*)", re.DOTALL)


@dataclass(slots=True)
class Running:
    """One job. `length`: how many tokens its answer has if nothing stops it; `limit`: how many it may have.

    `due` is the time of its next token, `interval_s` the time between two.
    """

    key: JobKey
    prompt_tokens: int
    words: list[str]
    length: int
    limit: int
    interval_s: float
    crash_at: int
    hang_at: int
    oom_at: int
    stops: StopMatcher
    added: float
    due: float
    first: float = 0.0
    position: int = 0

    def word(self) -> str:
        text = self.words[self.position] if self.words else f"t{self.position}"
        return f" {text}" if self.position else text


class EchoEngine:
    """See the module. `steps_run` counts steps of the whole batch. `context_length` 0: CONTEXT_DEFAULT_TOKENS.

    Of a plan it takes rows and context; it needs no memory that a share could bound.
    """

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

    def prepare(self) -> None:
        """There is nothing to import."""

    def load(self, on_progress: Callable[[float], None], plan: LoadPlan = LoadPlan()) -> ModelFacts:
        self.batch_max = min(self.batch_max, plan.batch_max or self.batch_max)
        self._context_length = min(self._context_length, plan.context_length or self._context_length)
        for step in range(LOAD_STEPS):
            on_progress(step / LOAD_STEPS)
            if self._load_s:
                self._sleep(self._load_s / LOAD_STEPS)
            if step == LOAD_STEPS // 2:
                self._break(crash=self._crash_in_load, hang=self._hang_in_load)
        on_progress(1.0)
        return ModelFacts(self._context_length, VOCABULARY)

    def _break(self, *, crash: bool, hang: bool, oom: bool = False) -> None:
        if crash:
            os.abort()
        if hang:
            self._hang()
        if oom:
            raise RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory (scripted)")

    def _hang(self) -> NoReturn:
        while True:
            self._sleep(HANG_SLICE_S)

    def add(self, job: EngineJob) -> None:
        assert self.active < self.batch_max and job.key not in self._jobs
        check_present(job)
        if job.tokens is not None:
            check_ids(job.tokens, VOCABULARY)
            text, prompt_tokens = "", len(job.tokens)
        else:
            texts = [job.prompt] if job.prompt is not None else [message.content for message in job.messages or ()]
            text, prompt_tokens = texts[-1], max(1, sum(len(each.split()) for each in texts))
        check_length(prompt_tokens, self._context_length)
        said = {name: float(value) for name, value in DIRECTIVE.findall(text)}
        own = OWN_TEXT.search(text)
        words = own[1].split() if own else []
        rate_per_s, now, room = said.get("rate", self._rate_per_s), self._clock(), self._context_length - prompt_tokens
        self._jobs[job.key] = Running(
            key=job.key,
            prompt_tokens=prompt_tokens,
            words=words,
            length=len(words) or int(said.get("tokens", self._answer_tokens)),
            limit=min(job.max_tokens or room, room),
            interval_s=1 / rate_per_s if rate_per_s else 0.0,
            crash_at=int(said.get("crash_at", NEVER)),
            hang_at=int(said.get("hang_at", NEVER)),
            oom_at=int(said.get("oom_at", NEVER)),
            stops=StopMatcher(job.stop),
            added=now,
            due=now + (1 / rate_per_s if rate_per_s else 0.0),
        )

    def remove(self, key: JobKey) -> None:
        self._jobs.pop(key, None)

    @property
    def active(self) -> int:
        return len(self._jobs)

    def step(self) -> list[Output]:
        """Waits until the first token is due, and gives every job its token whose turn has come."""
        self.steps_run += 1
        wait_s = min(job.due for job in self._jobs.values()) - self._clock()
        if wait_s > 0:
            self._sleep(wait_s)
        now = self._clock()
        outputs = [self._advance(job, now) for job in self._jobs.values() if job.due <= now]
        for output in outputs:
            if output.end is not None:
                del self._jobs[output.key]
        return outputs

    def _advance(self, job: Running, now: float) -> Output:
        """Token number `position`, or the end."""
        position, job.due = job.position, job.due + job.interval_s
        self._break(crash=position == job.crash_at, hang=position == job.hang_at, oom=position == job.oom_at)
        job.first = job.first if position else now
        if position >= job.length:  # an empty answer
            return Output(job.key, position, [], "", _end(job, "stop", now))
        text, stopped = job.stops.feed(job.word())
        job.position += 1
        full = job.position == job.limit
        if not (stopped or full or job.position == job.length):
            return Output(job.key, position, [position], text)
        reason: FinishReason = "length" if full and not stopped else "stop"
        return Output(job.key, position, [position], text + job.stops.flush(), _end(job, reason, now))

    def memory(self) -> MemoryFacts:
        return MemoryFacts()

    def trim(self) -> None:
        """Nothing is kept for speed."""

    def close(self) -> None:
        self._jobs.clear()


def _end(job: Running, reason: FinishReason, now: float) -> End:
    prompt_ms, decode_ms = (job.first - job.added) * 1e3, (now - job.first) * 1e3
    return End(reason, job.prompt_tokens, job.position, prompt_ms, decode_ms)
