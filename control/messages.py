"""Messages on `control.ipc`: what workers and the gateway say to control, and what control answers.

One codec (MessagePack arrays, typed by msgspec), one place. Every message carries the protocol version first.
`decode_*` raise one of `MALFORMED` on anything malformed; the receiver drops and counts such frames and never
dies of them.

Life of a worker, seen from here:

    worker  -> Hello            "I hold the lock of this row; this is my pid and start time"
    control -> Welcome          "you are incarnation N" (before it, the worker writes no word and takes no job)
    control -> Load             at most one outstanding load in the whole stack
    worker  -> Report           on every change of phase, and in answer to a Welcome of a new control process
    control -> Quit             answered by Quitting (empty-handed; exits 0) or Busy

An eviction, which takes three keys (`control/evictor.py`):

    control -> Fence            to the gateway, after the fence word was written
    gateway -> Fenced           nothing of that incarnation is unfinished, and its gate is shut; or GateBusy
    control -> Quit             to the worker

What people ask for: anyone on this socket may `Ask`; the answer is `Told`.
"""

from typing import Annotated, Literal

import msgspec

VERSION = 2
FRAME_MAX_BYTES = 64 * 1024
WAITS_FOR_ROOM = "waits for room"  # how the reason of a row begins that has to wait for memory
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what decoding any frame may raise
Word = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # what a word of the table can hold, whoever says it


class Hello(msgspec.Struct, array_like=True, tag="hello", frozen=True):
    """worker -> control. `start_time_us` is the process's start time, to tell a reused pid apart."""

    v: Word
    boot_id: Word
    slug: str
    pid: Word
    start_time_us: Word
    incarnation: Word = 0  # 0: not yet welcomed; else this process was welcomed as that incarnation before
    phase: Word = 0


class Report(msgspec.Struct, array_like=True, tag="report", frozen=True):
    """worker -> control, on each change of phase and when a load failed (`error` is then not empty).

    `control_epoch` is the newest it was welcomed by: from then on it refuses the orders of any older control process,
    so none of those can be outstanding.
    """

    v: Word
    slug: str
    incarnation: Word
    phase: Word
    load_id: Word = 0
    error: str = ""
    control_epoch: Word = 0


class Quitting(msgspec.Struct, array_like=True, tag="quitting", frozen=True):
    """worker -> control: empty-handed, exiting 0 now."""

    v: Word
    slug: str
    incarnation: Word
    fence: Word


class Busy(msgspec.Struct, array_like=True, tag="busy", frozen=True):
    """worker -> control: QUIT refused, and why. It refuses this fence, and older ones, for ever."""

    v: Word
    slug: str
    incarnation: Word
    fence: Word
    reason: str


class GatewayHello(msgspec.Struct, array_like=True, tag="gateway", frozen=True):
    """gateway -> control, when it starts and whenever the control epoch in the table changes."""

    v: Word
    boot_id: Word
    gateway_epoch: Word


class Want(msgspec.Struct, array_like=True, tag="want", frozen=True):
    """gateway -> control: somebody waits for this model (how many stands in the table). Only a wake-up."""

    v: Word
    slug: str


class Fenced(msgspec.Struct, array_like=True, tag="fenced", frozen=True):
    """gateway -> control: nothing of that incarnation is unfinished, and its gate stays shut while the fence stands."""

    v: Word
    gateway_epoch: Word
    slug: str
    incarnation: Word
    fence: Word


class GateBusy(msgspec.Struct, array_like=True, tag="gate_busy", frozen=True):
    """gateway -> control: `unfinished` jobs of that incarnation, or (0) the fence is not the one in the table."""

    v: Word
    gateway_epoch: Word
    slug: str
    incarnation: Word
    fence: Word
    unfinished: Word


class Idle(msgspec.Struct, array_like=True, tag="idle", frozen=True):
    """gateway -> control: the last unfinished job of this model has ended. Only a wake-up."""

    v: Word
    slug: str


class Ask(msgspec.Struct, array_like=True, tag="ask", frozen=True):
    """An operator's wish, from the gateway or straight from a tool; answered by `Told` with the same `id`.

    load: load the model, making room if that needs it. unload: as soon as it is idle. evict: now, or not at all.
    pin, unpin: never unload it, or as configured for all others. reread: the library has changed, so there may be more
    models than before, or fewer (`model` is empty).
    """

    v: Word
    id: Word
    verb: Literal["load", "unload", "evict", "pin", "unpin", "reread"]
    model: Annotated[str, msgspec.Meta(max_length=256)]


FromPeer = Hello | Report | Quitting | Busy | GatewayHello | Want | Fenced | GateBusy | Idle | Ask


class Welcome(msgspec.Struct, array_like=True, tag="welcome", frozen=True):
    """control -> worker: you are this incarnation; answered by a Report. The share of memory comes with `Load`."""

    v: Word
    boot_id: Word
    control_epoch: Word
    row: Word
    incarnation: Word


class Refused(msgspec.Struct, array_like=True, tag="refused", frozen=True):
    """control -> worker: the hello is refused; exit with the reason on stderr."""

    v: Word
    reason: str


class Load(msgspec.Struct, array_like=True, tag="load", frozen=True):
    """control -> worker: load your model now, into this share. Repeating the same `load_id` is harmless.

    `share_bytes` is for the whole process (0: not limited); `runtime_bytes` of it are not the model's. `batch_max` and
    `context_length` 0: as configured. A batch of `batch_max` rows of `row_tokens` each fits into the share.
    """

    v: Word
    incarnation: Word
    load_id: Word
    control_epoch: Word
    share_bytes: Word = 0
    runtime_bytes: Word = 0
    batch_max: Word = 0
    context_length: Word = 0
    row_tokens: Word = 0


class Quit(msgspec.Struct, array_like=True, tag="quit", frozen=True):
    """control -> worker: exit 0 if you are empty-handed, else answer Busy. Void unless of the newest control epoch."""

    v: Word
    incarnation: Word
    fence: Word
    control_epoch: Word
    reason: str


class ModelState(msgspec.Struct, array_like=True, tag="state", frozen=True):
    """control -> gateway, on each change of a row's effective phase. `reason` is for people.

    `incarnation` is the one the news is about; for PROCESS_ENDED phases it is the incarnation that died.
    """

    v: Word
    control_epoch: Word
    slug: str
    incarnation: Word
    phase: Word
    reason: str = ""


class Fence(msgspec.Struct, array_like=True, tag="fence", frozen=True):
    """control -> gateway: the fence word of this row was written; is anything of that incarnation unfinished?"""

    v: Word
    control_epoch: Word
    slug: str
    incarnation: Word
    fence: Word


class Told(msgspec.Struct, array_like=True, tag="told", frozen=True):
    """control -> whoever asked. `code` "" if it was done, else a code of the client protocol's closed list."""

    v: Word
    id: Word
    code: str
    text: str


ToWorker = Welcome | Refused | Load | Quit
FromControl = Welcome | Refused | Load | Quit | ModelState | Fence | Told

encode = msgspec.msgpack.Encoder().encode
decode_from_peer = msgspec.msgpack.Decoder(FromPeer).decode
decode_from_control = msgspec.msgpack.Decoder(FromControl).decode
