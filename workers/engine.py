"""What an engine is: the interface between `workers/runtime.py` and the thing that makes tokens.

An engine is used by one thread only. It decides nothing about admission; it is given jobs and steps them together.
Two implementations (`mlx_engine`, `echo_engine`) pass one conformance suite, `tests/conformance/test_engines.py`.

Promises of an implementation:
1. `add` either takes the job, which joins the running batch at the next `step`, or raises `JobRefused` and
   leaves the others untouched.
2. `step` advances every job by at most one token (or one prefill chunk) and returns one `Output` per job that has
   something to say. A job's last output carries `end`; after it the engine has forgotten the job.
3. The texts of a job's outputs joined are its answer; positions count up by one from 0 without gap.
4. `remove` forgets a job between two steps; removing an unknown job does nothing.
5. A job that was paused and resumed, however often and wherever, says what it would have said undisturbed: tokens,
   words, chances, counts. The same holds for one that begins with `emitted` ids; `max_tokens`, positions and counts are
   those of the whole answer.
6. Of jobs that wait for the batch the higher class goes first, and those that were resumed first in their class.
7. An exception out of `step` or `load` is fatal for the process: nothing after it is promised.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec

from control.states import Priority
from workers.job_parts import NO_EXTRAS, ChatMessage, Extras, More, Remote, Sampling
from workers.protocol import End

JobKey = tuple[int, ...]  # (gateway epoch, job, attempt): two gateways may use the same job number


class EngineJob(msgspec.Struct, frozen=True):
    """One job as an engine sees it. Exactly one of messages, prompt, tokens, inputs is set. `max_tokens` 0: to the
    context. `inputs` are texts or ids to embed, answered by `Output.more.vectors` in their order. `remote` is for
    relays alone. `emitted`: ids of the answer that were told before; it goes on behind them.
    """

    key: JobKey
    messages: list[ChatMessage] | None = None
    prompt: str | None = None
    tokens: list[int] | None = None
    sampling: Sampling = Sampling()
    max_tokens: int = 0
    stop: list[str] = []
    remote: Remote | None = None
    inputs: list[str | list[int]] | None = None
    extras: Extras = NO_EXTRAS
    priority: int = Priority.MEDIUM
    emitted: list[int] = []


class Output(msgspec.Struct, frozen=True):
    """What one job got in one step; see `workers.protocol.Item`."""

    key: JobKey
    position: int
    ids: list[int]
    text: str
    end: End | None = None
    more: More | None = None
    failed: tuple[str, str] | None = None  # code, message: the job ends so, and nothing of this output is said


class ModelFacts(msgspec.Struct, frozen=True):
    """What is known once a model is loaded. `context_length`: the longest prompt and answer together that fit."""

    context_length: int
    vocabulary: int


class LoadPlan(msgspec.Struct, frozen=True):
    """What a model is loaded into. Bytes of the whole process; 0 is "not limited" or, for tokens and rows, "as
    configured". A batch of `batch_max` rows of `row_tokens` each fits into the share.
    """

    share_bytes: int = 0
    runtime_bytes: int = 0
    batch_max: int = 0
    context_length: int = 0
    row_tokens: int = 0


class Spill(NamedTuple):
    """Where a model's KV caches go on disk, and how much those of all models may take. `note` writes into the journal.
    """

    root: Path
    slug: str
    max_bytes: int
    note: Callable[..., None]


class MemoryFacts(msgspec.Struct, frozen=True):
    """The engine's own memory, in bytes."""

    active_bytes: int = 0
    peak_bytes: int = 0
    cache_bytes: int = 0
    kept_bytes: int = 0  # KV caches of paused jobs and of the prefix cache
    spilled_bytes: int = 0  # of the prefix cache on disk
    device_bytes: int = 0  # what the GPU is recommended to use for all processes; 0: no GPU, or not known yet


class JobRefused(Exception):
    """The job cannot be run and was not started. `code` is one of the closed list in `gateway/protocol.py`."""

    def __init__(self, code: Literal["invalid_request", "context_length_exceeded", "not_offered"],
                 message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Engine(Protocol):
    """See the module's promises. `batch_max` is how many jobs may be inside at once."""

    batch_max: int

    def prepare(self) -> None:
        """Import what takes long, so that `load` pays for weights only. Called once, while EMPTY."""

    def load(self, on_progress: Callable[[float], None], plan: LoadPlan = LoadPlan()) -> ModelFacts:
        """Read the model and warm it up with one token. `on_progress` takes 0..1."""

    def add(self, job: EngineJob) -> None: ...

    def remove(self, key: JobKey) -> None:
        """Also one that is paused."""

    def pause(self, key: JobKey) -> None:
        """Take a job out of the batch between two steps, keeping its state; then it is no longer `active`. That is now,
        or after the next step where a cache cannot be cut back; `take_paused` tells, and tells it again of one that is
        paused already. Of one that is not known, or has inputs: nothing.
        """

    def take_paused(self) -> list[tuple[JobKey, bool]]:
        """The jobs that were paused since it was last asked. True: what was computed is kept; False: it will be
        computed anew from its tokens.
        """

    def resume(self, key: JobKey) -> None:
        """A paused job goes on exactly where it was. Of one that is not paused: nothing."""

    @property
    def short(self) -> JobKey | None:
        """The first job that waits for memory in the batch; None: nobody has to."""

    def step(self) -> list[Output]:
        """One step of the whole batch. Must be called only while `active` is greater than 0."""

    @property
    def active(self) -> int:
        """Jobs that are in the batch or wait for it; paused ones are not counted."""

    @property
    def paused(self) -> int: ...

    def idle(self) -> bool:
        """Nothing is asked: do a little of what can wait. True: there is more of it."""

    def memory(self) -> MemoryFacts: ...

    def trim(self) -> None:
        """Give back what is only kept for speed. Answers are not touched."""

    def close(self) -> None: ...
