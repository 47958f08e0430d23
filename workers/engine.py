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
5. An exception out of `step` or `load` is fatal for the process: nothing after it is promised.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from workers.job_parts import NO_EXTRAS, Extras, More
from workers.protocol import ChatMessage, End, Remote, Sampling

JobKey = tuple[int, ...]  # (gateway epoch, job, attempt): two gateways may use the same job number


class EngineJob(msgspec.Struct, frozen=True):
    """One job as an engine sees it. Exactly one of messages, prompt, tokens, inputs is set. `max_tokens` 0: to the
    context. `inputs` are texts or ids to embed, answered by `Output.more.vectors` in their order. `remote` is for
    relays alone.
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


class MemoryFacts(msgspec.Struct, frozen=True):
    """The engine's own memory, in bytes."""

    active_bytes: int = 0
    peak_bytes: int = 0
    cache_bytes: int = 0
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

    def remove(self, key: JobKey) -> None: ...

    def step(self) -> list[Output]:
        """One step of the whole batch. Must be called only while `active` is greater than 0."""

    @property
    def active(self) -> int: ...

    def memory(self) -> MemoryFacts: ...

    def trim(self) -> None:
        """Give back what is only kept for speed. Answers are not touched."""

    def close(self) -> None: ...
