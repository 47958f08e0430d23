"""Is the memory of a process that has ended back? A process that is gone has not always given back what it had.

Why this is asked: on macOS a wired GPU buffer can outlive its process until the next reboot. Whoever counts such memory
as free loads the next model into it and loses a process that answers. So a model's share is free when its memory is
*measured* back, and not when its process has ended.

How it is told
1. What is expected: the footprint that the process had when it was told to quit. Under SMALL_BYTES nothing is expected,
   and it is back at once.
2. What came back, at each reading: how much `available + others` has grown since that moment. `others` is what the
   other known workers hold, so what one of them took or gave meanwhile cancels out. What others have leaked by the
   books belongs to it too: two that leave together then share out one leak between them and never count it twice.
3. The most that any reading showed counts, since what came back once was back, whoever took it afterwards.
4. At ENOUGH of the footprint, or at all of it but SMALL_BYTES, the outcome is BACK; BACK_WITHIN_S after the process's
   end without it, LEAKED.
5. A leak is looked at on: `still_leaked_bytes` is 0 as soon as one reading shows enough of it.

Only measured bytes take part. The injected pressure is a share and not an amount of memory, and is not asked.

What can be wrong, on a machine on which others work too
- LEAKED and it is not: a program that is none of ours took that much within WITHIN_S. Nothing that needs this memory is
  loaded, which would not have fitted anyway; when the program gives it back, rule 5 finds that. No answer is ended.
- BACK and it is not: a program that is none of ours gave that much back in the same seconds, or a worker did and its
  footprint (a word that is up to a second old) did not say so yet. Then as much as was asked for is free all the same,
  and what is missing shows in every later reading of the pressure, which forbids loads and ends no answer.
- A footprint that was read before the worker gave memory back expects too much, and reads as LEAKED.

Pure.
"""

from enum import Enum
from typing import NamedTuple

MIB = 1024 * 1024
GIB = 1024 * MIB
SMALL_BYTES = 64 * MIB
ENOUGH = 0.8  # of the footprint: the rest is pages that were shared with others, and rounding
BACK_WITHIN_S = 15.0


class Outcome(Enum):
    """What has become of the memory."""

    BACK = "back"
    WAITING = "waiting"
    LEAKED = "leaked"


class Stopped(NamedTuple):
    """A process that was told to quit: what it had, and what the machine had, before it could have ended.

    `others_bytes`: the footprints of the other known workers, and what others have leaked by the books. `back_bytes` is
    the most that `look` has seen back.
    """

    slug: str
    footprint_bytes: int
    available_bytes: int
    others_bytes: int
    back_bytes: int = 0

    @property
    def missing_bytes(self) -> int:
        """What of the footprint no reading has shown back; 0 once enough of it is."""
        if self.back_bytes >= min(ENOUGH * self.footprint_bytes, self.footprint_bytes - SMALL_BYTES):
            return 0
        return self.footprint_bytes - self.back_bytes


class Verdict(NamedTuple):
    """The outcome, why, and what of the footprint is missing (0 unless LEAKED)."""

    outcome: Outcome
    reason: str
    leaked_bytes: int = 0


def look(stopped: Stopped, available_bytes: int, others_bytes: int) -> Stopped:
    """The same after one more reading; both figures as in `Stopped`, now and of one moment."""
    grown = available_bytes + others_bytes - stopped.available_bytes - stopped.others_bytes
    return stopped._replace(back_bytes=max(stopped.back_bytes, grown))


def decide_back(stopped: Stopped, ended_at: float, now: float) -> Verdict:
    """Is its memory back? `ended_at`: when the process was first known to be gone, in monotonic seconds like `now`."""
    if stopped.footprint_bytes < SMALL_BYTES:
        return Verdict(Outcome.BACK, f"{_size(stopped.footprint_bytes)} are too little to be measured")
    came = f"{_size(stopped.back_bytes)} of {_size(stopped.footprint_bytes)} came back"
    missing = stopped.missing_bytes
    if not missing:
        return Verdict(Outcome.BACK, came)
    if now - ended_at < BACK_WITHIN_S:
        return Verdict(Outcome.WAITING, f"{came} so far")
    return Verdict(Outcome.LEAKED, f"only {came} within {BACK_WITHIN_S:g} s of its end; if it stays so, restart the "
                   "machine", missing)


def still_leaked_bytes(stopped: Stopped, available_bytes: int, others_bytes: int) -> int:
    """What a process that had LEAKED still has not given back by this reading; 0: it is found back."""
    return look(stopped, available_bytes, others_bytes).missing_bytes


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB else f"{size_bytes // MIB} MiB"
