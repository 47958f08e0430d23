"""A scripted engine without MLX: numbered tokens at a given rate, and the ways of breaking that tests and benches need.

Token k of an answer has id k and text "tk", with a space between two, so that a lost, doubled or misplaced token shows.
A prompt's tokens are its words. The configuration says what happens; directives in the prompt, or in the last message,
beat it:

    #tokens=N     length of the answer                #rate=R      this job's tokens per second; 0: as fast as asked
    #text=WORDS   the answer's own words, to the end  #crash_at=K  abort the process instead of token K
    #hang_at=K    never come back from token K's step #oom_at=K    token K's step finds no memory, as on a GPU

The answer's own words may hold <think> reasoning </think> and, for a job with tools, <tool_call>{...}</tool_call>: they
are told as the MLX engine would. What it has instead of chances: each token was certain (logarithm 0) and the only one.
Bias is taken and changes nothing. There is nothing in it that a schema could hold, so a schema, or a call that must be
made, is `not_offered`. The vector of an input is VECTOR_LENGTH numbers out of its hash: equal inputs, equal vectors.

A job of which a part was told goes on behind `emitted`; ids that are not its first tokens are refused, so that a
continuation that lost or doubled one shows. Nothing of a paused job has to be computed anew, and nobody is ever short
of memory.

It refuses what the MLX engine refuses, and passes the same conformance suite. `clock` (seconds) and `sleep` are given,
so tests need not wait; nothing else of it depends on time or chance.
"""

import hashlib
import math
import os
import re
import struct
import time
from collections.abc import Callable
from typing import NoReturn

from workers.answer_text import AnswerText, Markers, Said
from workers.echo_job import Running
from workers.engine import EngineJob, JobKey, JobRefused, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.job_parts import AUTO, More, TokenLogprob
from workers.prompt import check_ids, check_length, check_present, refuse
from workers.protocol import FinishReason
from workers.tool_calls import GENERIC_FORM, calls_wanted, reader_of

CONTEXT_DEFAULT_TOKENS = 1_000_000
VOCABULARY = 2**31 - 1
LOAD_STEPS = 20
HANG_SLICE_S = 3600.0
NEVER = -1
MARKERS = Markers("<think>", "</think>", GENERIC_FORM.start, GENERIC_FORM.end)
VECTOR_LENGTH = 8
DIRECTIVE = re.compile(r"#(tokens|rate|crash_at|hang_at|oom_at)=(\d+(?:\.\d+)?)")
OWN_TEXT = re.compile(r"#text=(.*)", re.DOTALL)


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
        self._paused: dict[JobKey, tuple[Running, float]] = {}  # and since when
        self._paused_now: list[tuple[JobKey, bool]] = []

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
        assert job.key not in self._jobs and job.key not in self._paused
        if job.inputs is not None:
            self._add_inputs(job)
            return
        extras = job.extras
        if extras.schema is not None or calls_wanted(extras) and extras.tool_choice != AUTO:
            raise JobRefused("not_offered", f"{'tool_choice' if extras.schema is None else 'schema'}: engine echo has "
                                            "nothing that could be held to it; configure a model")
        check_present(job)
        if job.tokens is not None:
            check_ids(job.tokens, VOCABULARY)
            text, prompt_tokens = "", len(job.tokens)
        else:
            text, prompt_tokens = texts_of(job)[-1], count_words(job)
        context_length = min(self._context_length, extras.num_ctx or self._context_length)
        if extras.truncate:
            prompt_tokens = min(prompt_tokens, context_length - 1)  # its oldest words are lost
        check_length(prompt_tokens, context_length)
        said = {name: float(value) for name, value in DIRECTIVE.findall(text)}
        own = OWN_TEXT.search(text)
        words = own[1].split() if own else []
        rate_per_s, now, room = said.get("rate", self._rate_per_s), self._clock(), context_length - prompt_tokens
        running = Running(
            key=job.key,
            prompt_tokens=prompt_tokens,
            words=words,
            length=len(words) or int(said.get("tokens", self._answer_tokens)),
            limit=min(job.max_tokens or room, room),
            interval_s=1 / rate_per_s if rate_per_s else 0.0,
            crash_at=int(said.get("crash_at", NEVER)),
            hang_at=int(said.get("hang_at", NEVER)),
            oom_at=int(said.get("oom_at", NEVER)),
            said=AnswerText(MARKERS, stops=job.stop, read_calls=reader_of(GENERIC_FORM, extras),
                            one_call=not extras.parallel_tools, json_calls=GENERIC_FORM.is_json),
            added=now,
            due=now + (1 / rate_per_s if rate_per_s else 0.0),
            extras=extras,
        )
        running.begin_behind(job.emitted)
        self._jobs[job.key] = running

    def _add_inputs(self, job: EngineJob) -> None:
        inputs, now = job.inputs or refuse("inputs: it is empty; give at least one"), self._clock()
        for number, each in enumerate(inputs):
            if each == []:
                refuse(f"inputs[{number}]: it is empty; give at least one id")
            if isinstance(each, list) and not all(0 <= token < VOCABULARY for token in each):
                refuse(f"inputs[{number}]: ids must be from 0 to {VOCABULARY - 1}, the vocabulary of this model")
        tokens = sum(max(1, len(each.split())) if isinstance(each, str) else len(each) for each in inputs)
        self._jobs[job.key] = Running(
            job.key, tokens, [], length=0, limit=0, interval_s=0.0, crash_at=NEVER, hang_at=NEVER, oom_at=NEVER,
            said=AnswerText(Markers()), added=now, due=now, vectors=[vector_of(each) for each in inputs])

    def remove(self, key: JobKey) -> None:
        self._jobs.pop(key, None)
        self._paused.pop(key, None)

    def pause(self, key: JobKey) -> None:
        job = self._jobs.get(key)
        if job is not None and job.vectors is None:
            self._paused[key] = self._jobs.pop(key), self._clock()
        if key in self._paused:
            self._paused_now.append((key, True))

    def take_paused(self) -> list[tuple[JobKey, bool]]:
        told, self._paused_now = self._paused_now, []
        return told

    def resume(self, key: JobKey) -> None:
        if key in self._paused:
            job, since = self._paused.pop(key)
            job.stand_still(self._clock() - since)
            self._jobs[key] = job

    @property
    def active(self) -> int:
        return len(self._jobs)

    @property
    def paused(self) -> int:
        return len(self._paused)

    @property
    def short(self) -> JobKey | None:
        return None

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
        job.first = job.first if job.has_begun else now
        job.has_begun = True
        self._break(crash=position == job.crash_at, hang=position == job.hang_at, oom=position == job.oom_at)
        if position >= min(job.length, job.limit) or job.said.stopped:  # an empty answer, or all of it was emitted
            reason = "length" if position and position == job.limit and not job.said.stopped else "stop"
            more = More(vectors=job.vectors) if job.vectors else None
            return Output(job.key, position, [], "", job.end(reason, now), more)
        word = job.word()
        said = job.say(word)
        chance = [TokenLogprob(position, word.encode(), 0.0)] if job.extras.logprobs is not None and said.text else []
        if chance and job.extras.logprobs:
            chance = [TokenLogprob(position, word.encode(), 0.0, chance)]
        full = job.position == job.limit
        if not (said.stopped or full or job.position == job.length):
            return Output(job.key, position, [position], said.text, more=job.more(said, chance))
        last = job.said.finish()
        said = Said(said.text + last.text, said.thinking + last.thinking, said.calls + last.calls, said.stopped)
        reason: FinishReason = "length" if full and not said.stopped else "stop"
        return Output(job.key, position, [position], said.text, job.end(reason, now), job.more(said, chance))

    def idle(self) -> bool:
        return False

    def memory(self) -> MemoryFacts:
        return MemoryFacts()

    def trim(self) -> None:
        """Nothing is kept for speed."""

    def close(self) -> None:
        self._jobs.clear()
        self._paused.clear()


def texts_of(job: EngineJob) -> list[str]:
    return [job.prompt] if job.prompt is not None else [message.content for message in job.messages or ()]


def count_words(job: EngineJob) -> int:
    """The tokens of a prompt of text. Raises: JobRefused."""
    check_present(job)
    return max(1, sum(len(each.split()) for each in texts_of(job)))


def vector_of(given: str | list[int]) -> bytes:
    """VECTOR_LENGTH numbers of length one, float32 little-endian."""
    digest = hashlib.shake_256(repr(given).encode("utf-8", "replace")).digest(VECTOR_LENGTH)
    numbers = [byte - 127.5 for byte in digest]
    length = math.hypot(*numbers)
    return struct.pack(f"<{VECTOR_LENGTH}f", *(number / length for number in numbers))
