"""The job protocol on `workers.ipc`: what the gateway and any backend (MLX worker, echo, relay) say to each other.

Every frame carries the protocol version, the gateway's epoch and the worker's incarnation; frames of a job carry
its attempt too. A receiver drops and counts frames of another epoch, incarnation or attempt.

    worker  -> Hello(epoch_known=0)         at start, and again when the gateway's epoch changes
    gateway -> Welcome(epoch)               the worker drops the jobs of any older epoch, then says
    worker  -> Hello(epoch_known=epoch)     now the gate may open
    gateway -> Job, Cancel
    worker  -> Accept | Refuse              within ACCEPT_WITHIN_S; Refuse means nothing was started
    worker  -> Step                         one frame per step for the whole batch
    relay   -> Note                         what its server does meanwhile, for people; no part of the answer
    worker  -> Fail                         the job ended by an error of its own; others go on
    worker  -> Hello                        again on every change of phase (LOADING, READY, DRAINING, ...)
    worker  -> Beat                         every BEAT_EVERY_S, with progress
    gateway -> Count                        how many tokens would this prompt have; any worker with a process may answer
    worker  -> Counted

Pure: no socket here. `decode_*` raise `msgspec.ValidationError` / `msgspec.DecodeError` on anything malformed.
"""

from typing import Annotated, Literal

import msgspec

from workers.job_parts import CallPiece, Extras, More, TokenLogprob, Tool, ToolCall

__all__ = ["CallPiece", "Extras", "More", "TokenLogprob", "Tool", "ToolCall"]

VERSION = 2
FRAME_MAX_BYTES = 1024 * 1024  # token frames; job frames are capped by the gateway's body limit
BEAT_EVERY_S = 0.5
ACCEPT_WITHIN_S = 1.0
Word = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # what a word of the table can hold, whoever says it

FinishReason = Literal["stop", "length", "cancelled"]
NoteKind = Literal["start", "step", "progress"]


class Sampling(msgspec.Struct, array_like=True, frozen=True):
    """How tokens are chosen. `temperature` 0 is greedy. `seed` is always set: the gateway draws one if none is given.

    top_k 0, top_p 1, min_p 0, repeat_penalty 1, presence/frequency_penalty 0 switch the filter off.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0


class ChatMessage(msgspec.Struct, array_like=True, frozen=True):
    """`images` are base64; only for backends that read them. `tool_calls` and `thinking` are of an assistant's turn,
    `tool_call_id` and `name` (of the function) of a tool's.
    """

    role: str
    content: str
    images: list[str] = []
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""
    name: str = ""
    thinking: str = ""


class Remote(msgspec.Struct, array_like=True, frozen=True):
    """What a relay needs besides. `model`: what its server calls it. `hop`: what it tells its server, 1 or more.

    `session`: the conversation as the caller calls it; "" for none. `max_steps` 0: the server's own. `priority`: the
    class of the request, by name. `traceparent`: its place in a distributed trace; "" for none.
    """

    model: str
    hop: Word
    request_id: str
    session: str = ""
    max_steps: Word = 0
    priority: str = "medium"
    traceparent: str = ""


class Job(msgspec.Struct, array_like=True, tag="job", frozen=True):
    """gateway -> worker. Exactly one of `messages` (chat template applied), `prompt` (as it is), `tokens`, and
    `inputs` (each to be embedded) is set.
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


class Cancel(msgspec.Struct, array_like=True, tag="cancel", frozen=True):
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


ToWorker = Job | Cancel | Count | Welcome


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
    ids: list[int]
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


FromWorker = Hello | Accept | Refuse | Step | Note | Fail | Beat | Counted

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
