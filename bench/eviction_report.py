"""What an eviction run has shown: a verdict in one sentence, tables, and figures for the JSON.

The verdict is good only if as many evictions as were asked for had traffic just before, some orders were refused (or
nothing was put to the test), every answer is accounted for, and the gateway counts no loss of its own either.
"""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.eviction_check import RETRIED, Judgement, Kill, Loss
from bench.eviction_journal import RECENT_MS, Evicted, steps_of, steps_table
from bench.eviction_orders import EVICTED
from bench.table import WIDTH_MAX_COLUMNS, Table, figure

LOSSES_SHOWN_MAX = 20
DETAIL_MAX_CHARS = 50


class Clients(NamedTuple):
    """What the clients counted; see `eviction_load.News`."""

    sent: int = 0
    ended: int = 0
    done: int = 0
    refused: int = 0
    held_back: int = 0
    errors: Mapping[str, int] = {}
    lost: int = 0
    asking_s: float = 0.0
    cpu_s: float = 0.0


class Seen(NamedTuple):
    """A whole run. `refusals`: by whom, from the journal; `outcomes`: of the orders, from the operator.

    `lost_to_eviction`: what the gateway counts; None: it could not be asked. `wanted`: evictions that were to count.
    """

    wanted: int
    without: str
    clients: Clients
    evicted: Sequence[Evicted]
    refusals: Counter[str]
    outcomes: Counter[str]
    kills: Sequence[Kill]
    judgement: Judgement
    lost_to_eviction: int | None
    interrupted: bool = False

    @property
    def counted(self) -> list[Evicted]:
        return [one for one in self.evicted if one.counts]

    @property
    def losses(self) -> int:
        """Not explained by a SIGKILL. What was too much to report (`eviction_check.LOSSES_MAX`) is not explained."""
        known = len(self.judgement.lost) + len(self.judgement.explained)
        return len(self.judgement.lost) + max(0, self.clients.lost - known)


def faults_of(seen: Seen) -> list[str]:
    """What speaks against the stack, or against the run; nothing: it has shown what it was to show."""
    counted = len(seen.counted)
    faults = [
        (seen.losses > 0, f"{seen.losses} times an answer was lost, and no SIGKILL of ours explains it"),
        (seen.clients.ended != seen.clients.sent, f"{seen.clients.sent - seen.clients.ended} requests have no end"),
        (seen.lost_to_eviction is None, "the gateway did not say how many answers it lost to evictions"),
        (bool(seen.lost_to_eviction), f"the gateway itself counts {seen.lost_to_eviction} lost to evictions"),
        (not seen.refusals["gateway"] and "gate" not in seen.without,
         "the gateway refused no order, so nothing was put to the test"),
        (counted < seen.wanted, f"only {counted} of {seen.wanted} evictions happened"),
    ]
    return [text for holds, text in faults if holds]


def verdict(seen: Seen) -> str:
    off = f" With {seen.without.replace(',', ' and ')} switched off" if seen.without else ""
    if seen.without and (seen.losses or seen.lost_to_eviction):
        return f"LOST.{off} answers are lost: {'; '.join(faults_of(seen))}. So this run can fail."
    if faults := faults_of(seen):
        return f"NOT GOOD.{off} {'; '.join(faults)}"
    return (f"GOOD.{off} {len(seen.counted)} evictions of workers that had traffic within {RECENT_MS:.0f} ms, "
            f"{seen.clients.sent} requests, one end each, none lost to an eviction")


def figures(seen: Seen) -> dict[str, object]:
    """For the JSON."""
    kills = Counter(kill.kind for kill in seen.kills)
    return {
        "verdict": verdict(seen), "faults": faults_of(seen), "interrupted": seen.interrupted,
        "evictions_counted": len(seen.counted), "evictions_not_counted": len(seen.evicted) - len(seen.counted),
        "refusals": dict(seen.refusals), "orders": dict(seen.outcomes), "kills": dict(kills),
        "clients": seen.clients, "rate_per_s": rate_of(seen.clients), "lost": seen.losses,
        "lost_to_eviction": seen.lost_to_eviction,
        "retried_after_kill": sum(loss.what == RETRIED for loss in seen.judgement.explained),
        "steps": steps_of(seen.counted), "losses": seen.judgement.lost, "explained": seen.judgement.explained,
        "all_kills": seen.kills, "all_evictions": seen.evicted,
    }


def rate_of(clients: Clients) -> float | None:
    return clients.sent / clients.asking_s if clients.asking_s else None


def tables_of(seen: Seen) -> list[Table]:
    tables = [counts_table(seen), steps_table(seen.counted, "echo workers that count")]
    return tables + ([losses_table(seen.judgement.lost)] if seen.judgement.lost else [])


def counts_table(seen: Seen) -> Table:
    clients, explained = seen.clients, Counter(loss.what for loss in seen.judgement.explained)
    kills = Counter(kill.kind for kill in seen.kills)
    orders = {f"orders that ended as {name}": count for name, count in sorted(seen.outcomes.items()) if name != EVICTED}
    rows = {
        f"evictions of workers with traffic within {RECENT_MS:.0f} ms": len(seen.counted),
        "evictions of others, which do not count": len(seen.evicted) - len(seen.counted),
        **{f"refused (BUSY) by the {name}": seen.refusals[name] for name in ("gateway", "worker")},
        **{f"refused by {name}": seen.refusals[name] for name in sorted({*seen.refusals} - {"gateway", "worker"})},
        "orders carried out": seen.outcomes[EVICTED], **orders,
        "SIGKILLs of workers": kills["worker"],
        "SIGKILLs of control": kills["control"],
        "requests": clients.sent,
        "terminal events": clients.ended,
        "whole answers": clients.done,
        "refused for want of a place": clients.refused,
        "held back by the generator": clients.held_back,
        **{f"after a SIGKILL: {what}": count for what, count in sorted(explained.items())},
        "lost": seen.losses,
        "lost to evictions, by the gateway's count":
            "not known" if seen.lost_to_eviction is None else seen.lost_to_eviction,
    }
    cells = [(what, str(count)) for what, count in rows.items()]
    cells.append(("requests per second", figure(rate_of(clients))))
    return Table(textwrap.fill(verdict(seen), WIDTH_MAX_COLUMNS), ("", "times"), cells)


def losses_table(lost: Sequence[Loss]) -> Table:
    rows = [(str(one.request), one.model, one.what, f"{one.heard_s:.3f}", one.detail[:DETAIL_MAX_CHARS])
            for one in lost[:LOSSES_SHOWN_MAX]]
    return Table(f"Lost, the first {len(rows)} of {len(lost)}", ("request", "model", "what", "heard at, s", "detail"),
                 rows)
