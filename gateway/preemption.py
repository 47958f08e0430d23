"""Who is paused so that a request of class HIGH need not wait, and when a pause ends otherwise than by going on.

Why: an answer of class LOW may take minutes, and HIGH is somebody who looks at the screen. A pause costs the one who is
paused the time of it and next to nothing else: the worker keeps what it has computed.

When
1. Only HIGH has anybody paused, and only at a target that is ready: a pause loads no model.
2. Only if it helps: if all that may be paused do not make room for it, nobody is.

Who may be paused (the first that says no is the reason)
3. Not HIGH. Nothing of another server: it has no token boundary. No embeddings: they run between two steps.
4. Not one that was called back: its parent holds a slot until it ends.
5. Not one that is being cancelled, or whose worker is not ready and heard: the pause would come late or never.
6. No thrash: at most PAUSES_MAX times, and not within the last LAST_TOKENS of its answer.

Who of them
7. As many as are missing at the target, from there; as many more as slots are missing, from anywhere.
8. LOW before MEDIUM, then the youngest: it has waited for its answer least.

How a pause ends besides
9. A paused one is dropped, and goes on later from its tokens, when control wants the memory of its model for another
   and nothing else runs there; or when it has been paused for PAUSED_MAX_S, so that it holds no memory while it waits.
   Never while its worker drains: that one will not come back for it.

Pure: `now` is monotonic seconds.
"""

from collections.abc import Iterable
from typing import NamedTuple

from control.states import Priority

PAUSES_MAX = 2
LAST_TOKENS = 16
PAUSED_MAX_S = 30.0


class Run(NamedTuple):
    """One that holds a slot. `seq`: order of arrival. `tokens_left`: of its answer at most; None: nobody knows.

    `why_deaf`: why its worker would not hear of a pause; "" if it would.
    """

    id: int
    priority: Priority
    target: str
    seq: int
    pauses: int
    tokens_left: int | None
    is_relayed: bool = False
    embeds: bool = False
    called_back: bool = False
    cancelling: bool = False
    why_deaf: str = ""


def why_not(run: Run) -> str:
    """Why it is not paused; "": it may be."""
    if run.priority is Priority.HIGH:  # 3
        return "it is of class HIGH"
    if run.is_relayed:
        return "another server answers it"
    if run.embeds:
        return "it embeds"
    if run.called_back:  # 4
        return "a request of ours waits for it elsewhere"
    if run.cancelling:  # 5
        return "it is being cancelled"
    if run.why_deaf:
        return run.why_deaf
    if run.pauses >= PAUSES_MAX:  # 6
        return f"it was paused {run.pauses} times"
    if run.tokens_left is not None and run.tokens_left <= LAST_TOKENS:
        return f"its answer ends within {run.tokens_left} tokens"
    return ""


def choose_paused(target: str, runs: Iterable[Run], places_missing: int, slots_missing: int) -> list[Run]:
    """Who gives way to one of class HIGH that waits for `target`; nobody if that would not help (2)."""
    may = sorted((run for run in runs if not why_not(run)), key=lambda run: (run.priority, run.seq), reverse=True)  # 8
    chosen = [run for run in may if run.target == target][:places_missing]  # 7
    others = [run for run in may if run not in chosen]
    chosen += others[:max(0, slots_missing - len(chosen))]
    there = sum(run.target == target for run in chosen)
    return chosen if there >= places_missing and len(chosen) >= slots_missing else []


def why_dropped(paused_s: float, *, wanted: bool, others_run: bool, drains: bool) -> str:
    """Why a paused one goes on later from its tokens (9); "": it stays. `wanted`: control asks for the memory."""
    if drains:
        return ""
    if wanted and not others_run:
        return "the memory of its model is wanted for another"
    return f"it was paused for {paused_s:.0f} s" if paused_s >= PAUSED_MAX_S else ""
