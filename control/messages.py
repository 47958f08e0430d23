"""Messages on `control.ipc`: what workers and the gateway say to control, and what control answers.

One codec (MessagePack arrays, typed by msgspec), one place. Every message carries the protocol version first.
`decode_*` raise one of `MALFORMED` on anything malformed; the receiver drops and counts such frames and never
dies of them.

Life of a worker, seen from here:

    worker  -> Hello            "I hold the lock of this row; this is my pid and start time"
    control -> Welcome          "you are incarnation N" (before it, the worker writes no word and takes no job)
    control -> Load             at most one outstanding load in the whole stack
    worker  -> Report           on every change of phase, with the reason when a load failed
    control -> Quit             answered by Quitting (empty-handed; exits 0) or Busy
"""

from typing import Annotated

import msgspec

VERSION = 1
FRAME_MAX_BYTES = 64 * 1024
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
    """worker -> control, on each change of phase and when a load failed (`error` is then not empty)."""

    v: Word
    slug: str
    incarnation: Word
    phase: Word
    load_id: Word = 0
    error: str = ""


class Quitting(msgspec.Struct, array_like=True, tag="quitting", frozen=True):
    """worker -> control: empty-handed, exiting 0 now."""

    v: Word
    slug: str
    incarnation: Word
    fence: Word


class Busy(msgspec.Struct, array_like=True, tag="busy", frozen=True):
    """worker -> control: QUIT refused, and why."""

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


FromPeer = Hello | Report | Quitting | Busy | GatewayHello | Want


class Welcome(msgspec.Struct, array_like=True, tag="welcome", frozen=True):
    """control -> worker: you are this incarnation; `share_bytes` is your share of memory (0: not limited)."""

    v: Word
    boot_id: Word
    control_epoch: Word
    row: Word
    incarnation: Word
    share_bytes: Word = 0


class Refused(msgspec.Struct, array_like=True, tag="refused", frozen=True):
    """control -> worker: the hello is refused; exit with the reason on stderr."""

    v: Word
    reason: str


class Load(msgspec.Struct, array_like=True, tag="load", frozen=True):
    """control -> worker: load your model now. Repeating the same `load_id` is harmless."""

    v: Word
    incarnation: Word
    load_id: Word
    control_epoch: Word


class Quit(msgspec.Struct, array_like=True, tag="quit", frozen=True):
    """control -> worker: exit 0 if you are empty-handed, else answer Busy."""

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
    retry_after_s: float = 0.0


ToWorker = Welcome | Refused | Load | Quit
FromControl = Welcome | Refused | Load | Quit | ModelState

encode = msgspec.msgpack.Encoder().encode
decode_from_peer = msgspec.msgpack.Decoder(FromPeer).decode
decode_from_control = msgspec.msgpack.Decoder(FromControl).decode
