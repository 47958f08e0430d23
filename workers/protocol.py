"""The job protocol on `workers.ipc`: what the gateway and any backend (MLX worker, echo, relay) say to each other.

Every frame carries the protocol version, the gateway's epoch and the worker's incarnation; frames of a job carry
its attempt too. A receiver drops and counts frames of another epoch, incarnation or attempt.

    worker  -> Hello(epoch_known=0)         at start, and again when the gateway's epoch changes
    gateway -> Welcome(epoch)               the worker drops the jobs of any older epoch, then says
    worker  -> Hello(epoch_known=epoch)     now the gate may open
    gateway -> Job, Cancel, Pause, Resume
    worker  -> Accept | Refuse              within ACCEPT_WITHIN_S; Refuse means nothing was started
    worker  -> Paused                       the job left the batch between two steps; nothing of it comes until Resume
    worker  -> Short                        an accepted job waits for memory in the batch, and is the first to
    worker  -> Step                         one frame per step for the whole batch; the first of a job may be its Accept
    relay   -> Note                         what its server does meanwhile, for people; no part of the answer
    worker  -> Fail                         the job ended by an error of its own; others go on
    worker  -> Hello                        again on every change of phase (LOADING, READY, DRAINING, ...)
    worker  -> Beat                         every BEAT_EVERY_S, with progress
    gateway -> Count                        how many tokens would this prompt have; any worker with a process may answer
    worker  -> Counted

Pure: no socket here. `decode_*` raise `msgspec.ValidationError` / `msgspec.DecodeError` on anything malformed.
"""

from typing import Literal

import msgspec

from workers.job_parts import (
    CallPiece,
    ChatMessage,
    Extras,
    More,
    Remote,
    Sampling,
    TokenLogprob,
    Tool,
    ToolCall,
    Word,
)

__all__ = ["CallPiece", "ChatMessage", "Extras", "More", "Remote", "Sampling", "TokenLogprob", "Tool", "ToolCall",
           "Word"]

VERSION = 3
FRAME_MAX_BYTES = 1024 * 1024  # token frames; job frames are capped by the gateway's body limit
BEAT_EVERY_S = 0.5
ACCEPT_WITHIN_S = 1.0

FinishReason = Literal["stop", "length", "cancelled"]
NoteKind = Literal["start", "step", "progress"]


class Job(msgspec.Struct, array_like=True, tag="job", frozen=True):
    """gateway -> worker. Exactly one of `messages` (chat template applied), `prompt` (as it is), `tokens`, and
    `inputs` (each to be embedded) is set. `priority`: a `control.states.Priority`.

    `emitted`: ids of this answer that its caller has already. The answer goes on behind them: positions, sampling,
    words held back, grammar and counts as if it had never been away.
    """

    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word
    messages: list[ChatMessage] | None
    prompt: str | None
    tokens: list[int] | None
    sampling: Sampling
    max_tokens: Word  # 0: as many as the context still holds
    stop: list[str]
    remote: Remote | None = None  # None for a worker of a model
    inputs: list[str | list[int]] | None = None
    extras: Extras | None = None
    priority: Word = 1
    emitted: list[int] = []


class Cancel(msgspec.Struct, array_like=True, tag="cancel", frozen=True):
    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word


class Pause(msgspec.Struct, array_like=True, tag="pause", frozen=True):
    """gateway -> worker: leave the batch after this step, keep what was computed. Answered by Paused, unless the job
    has ended meanwhile. It holds no place of the batch from here on.
    """

    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word


class Resume(msgspec.Struct, array_like=True, tag="resume", frozen=True):
    """gateway -> worker: go on where it was paused, before others that wait for the batch."""

    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word


class Welcome(msgspec.Struct, array_like=True, tag="welcome", frozen=True):
    v: Word
    boot_id: Word
    epoch: Word


class Count(msgspec.Struct, array_like=True, tag="count", frozen=True):
    """gateway -> worker: answered by `Counted`. `slug`: whose tokenizer, which need not be this worker's own."""

    v: Word
    epoch: Word
    incarnation: Word
    number: Word
    slug: str
    messages: list[ChatMessage] | None
    prompt: str | None
    extras: Extras | None = None
    with_ids: bool = False


ToWorker = Job | Cancel | Pause | Resume | Count | Welcome


class Hello(msgspec.Struct, array_like=True, tag="hello", frozen=True):
    """worker -> gateway. `batch_max` is how many jobs it takes at once; `context_length` in tokens (0 until READY).

    `models`: what a relay's server has; None: not a relay, or not known yet.
    """

    v: Word
    boot_id: Word
    epoch_known: Word
    slug: str
    incarnation: Word
    pid: Word
    phase: Word
    batch_max: Word
    context_length: Word = 0
    load_ms: Word = 0
    models: list[str] | None = None


class Accept(msgspec.Struct, array_like=True, tag="accept", frozen=True):
    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word


class Refuse(msgspec.Struct, array_like=True, tag="refuse", frozen=True):
    """worker -> gateway: the job was not started. `code` "not_ready" is no attempt and goes back to the queue."""

    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word
    code: str
    message: str


class End(msgspec.Struct, array_like=True, frozen=True):
    """How a job ended: token counts and the engine's own times in milliseconds. `cached_tokens` of the prompt were not
    computed again, `thinking_tokens` of the answer were reasoning. `stop`: the stop string that ended it, "" if none.
    """

    reason: FinishReason
    prompt_tokens: Word
    completion_tokens: Word
    prompt_ms: float
    decode_ms: float
    cached_tokens: Word = 0
    thinking_tokens: Word = 0
    stop: str = ""


class Item(msgspec.Struct, array_like=True, frozen=True):
    """A job's part of a step. `position` is the index of the first id among the job's own tokens, from 0.

    `ids` may be empty (text released late, or an end without a token); `text` may be empty (held back). A relay knows
    no ids: its positions count the items that it has sent with something in them.
    """

    job: Word
    attempt: Word
    position: Word
    ids: list[Word]
    text: str
    end: End | None = None
    more: More | None = None


class Note(msgspec.Struct, array_like=True, tag="note", frozen=True):
    """relay -> gateway: what its server says about its work on a job; no part of the answer."""

    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word
    kind: NoteKind
    text: str


class Paused(msgspec.Struct, array_like=True, tag="paused", frozen=True):
    """worker -> gateway. `kept`: its KV cache stands; else it will be computed anew from its tokens."""

    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word
    kept: bool


class Short(msgspec.Struct, array_like=True, tag="short", frozen=True):
    """worker -> gateway: the job is the first that waits for memory in the batch. Said again when that changes."""

    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word


class Step(msgspec.Struct, array_like=True, tag="step", frozen=True):
    v: Word
    epoch: Word
    incarnation: Word
    seq: Word
    items: list[Item]


class Fail(msgspec.Struct, array_like=True, tag="fail", frozen=True):
    v: Word
    epoch: Word
    incarnation: Word
    job: Word
    attempt: Word
    code: str
    message: str


class Beat(msgspec.Struct, array_like=True, tag="beat", frozen=True):
    """worker -> gateway: alive. `jobs` are those in hand, so that one whose end was lost with a connection is
    noticed; `steps` counts engine steps, so that a stuck engine shows as unchanged.
    """

    v: Word
    epoch: Word
    incarnation: Word
    slug: str
    phase: Word
    jobs: list[Word]
    steps: Word


class Counted(msgspec.Struct, array_like=True, tag="counted", frozen=True):
    """worker -> gateway. `context_length`: what the model would take, 0 if not known. `code` "" unless it failed.

    `ids` if they were asked for.
    """

    v: Word
    epoch: Word
    incarnation: Word
    number: Word
    tokens: Word
    context_length: Word
    code: str = ""
    message: str = ""
    ids: list[int] | None = None


FromWorker = Hello | Accept | Refuse | Paused | Short | Step | Note | Fail | Beat | Counted

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
