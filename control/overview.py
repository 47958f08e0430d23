"""The table as people look at it: models, relays, memory and queue as plain values, and what concerns all of them.

`warden ps`, `warden top`, the dashboard and `/metrics` show these and nothing else, so that they never differ. It is a
reading: a worker that is silent reads as unknown, and so do the numbers of a silent gateway. Pure.
"""

from control.config import RELAYS
from control.pressure_level import Level
from control.states import Breaker, Phase, Priority, is_fresh
from control.table_records import FOREVER, ControlWords, GatewayWords, Row, RowControl, RowGateway, Snapshot

MIB, GIB = 1024**2, 1024**3
NS = 1_000_000_000
IN_MINUTES_S, IN_HOURS_S, IN_DAYS_S = 100, 100 * 60, 48 * 3600  # shorter times are given in the unit before
NO_WORD = "no fresh word from control or the worker"
READY = "ready"  # a relay's reason until control has heard why its server does not answer
NO_ANSWER = "its server does not answer; logs/{name}.log says what it does"
REMEDIES = {
    Phase.HELD: "`warden ctl start worker-{slug}` ends that",
    Phase.QUARANTINED: "logs/worker-{slug}.log says more, `warden ctl start worker-{slug}` tries again",
    Phase.LEAK_SUSPECTED: "a reboot frees it",
}
CLASSES = tuple(priority.name.lower() for priority in Priority)


def overview(snapshot: Snapshot, now_ns: int) -> dict:
    """All: `remarks` (lines), `memory`, `queue`, `models` and `relays` (lists), as the functions below give them."""
    models = [row for row in snapshot.rows if row.name not in RELAYS.values()]
    relays = [row for row in snapshot.rows if row.name in RELAYS.values()]
    return {
        "remarks": choose_remarks(snapshot, now_ns),
        "memory": describe_memory(snapshot.control, now_ns),
        "queue": describe_queue(snapshot.gateway, now_ns),
        "models": [describe(row, snapshot.gateway, now_ns) for row in models],
        "relays": [describe_relay(row, snapshot.gateway, now_ns) for row in relays],
    }


def describe_memory(control: ControlWords | None, now_ns: int) -> dict | None:
    """Bytes; None while control is silent. `level` of the pressure in lower case; `used_percent` None: not read yet.

    `ceiling_bytes` is what all shares together may reach (0: not worked out yet), `reserved_bytes` what they reach.
    """
    if not _beats(control, now_ns):
        return None
    return {
        "used_percent": control.pressure_permille / 10 if control.pressure_read_at_ns else None,
        "level": Level(control.pressure_level).name.lower(),
        "total_bytes": control.total_bytes,
        "available_bytes": control.available_bytes,
        "ceiling_bytes": control.ceiling_bytes,
        "reserved_bytes": control.reserved_bytes,
        "leaked_bytes": control.leaked_bytes,
    }


def describe_queue(gateway: GatewayWords | None, now_ns: int) -> dict | None:
    """What runs and waits by class (high, medium, low), and the counters of this gateway; None while it is silent."""
    if not _beats(gateway, now_ns):
        return None
    by_class = {what: {name: getattr(gateway, f"{what}_{name}") for name in CLASSES}
                for what in ("running", "paused", "queued", "admitted")}
    counted = ("finished", "failed", "cancelled", "rejected", "displaced", "expired", "rate_limited", "hops", "spilled",
               "preemptions", "resumptions", "continuations")
    return by_class | {"relay_running": gateway.relay_running, "relay_queued": gateway.relay_queued} | {
        name: getattr(gateway, name) for name in counted}


def choose_remarks(snapshot: Snapshot, now_ns: int) -> list[str]:
    """Who is silent, so that the reader knows what the numbers are worth; what control warns of; how memory is."""
    control, remarks = snapshot.control, []
    if not _beats(control, now_ns):
        remarks.append("control is silent: this is what was last written")
    elif control.supervisord_is_silent:
        remarks.append("supervisord does not answer: nothing can be loaded; run `warden down`, then `warden up`")
    if not _beats(snapshot.gateway, now_ns):
        remarks.append("the gateway is silent: what runs and waits is not known; `warden ctl status` shows why")
    if snapshot.warning:
        remarks.append(f"warning: {snapshot.warning}")
    if control is not None and control.pressure_level:
        given = size_text(control.reserved_bytes) if control.reserved_bytes else "nothing"
        remarks.append(f"memory is at {control.pressure_permille / 10:g} % of {size_text(control.total_bytes)}; given "
                       f"out: {given} of the budget of {size_text(control.ceiling_bytes)}")
    return remarks


def _beats(words: ControlWords | GatewayWords | None, now_ns: int) -> bool:
    return words is not None and is_fresh(words.heartbeat_ns, now_ns)


def describe(row: Row, gateway_words: GatewayWords | None, now_ns: int) -> dict:
    """A row for people and for `--json`: plain values, 0 where nothing is known.

    Memory and context only from a fresh worker whose process lives. Counters only if this gateway wrote them (those of
    another epoch add up to nothing), and None if it is silent. `keep_until_s` counts from now: 0 if it may go at any
    time, None if it may stay for ever or nothing is loaded; `until` says which. Of those `in_flight` some are `paused`.
    """
    phase, control = row.phase(now_ns), row.control
    pid = control.pid if control else 0
    worker = row.worker if pid and row.worker_is_fresh(now_ns) else None
    counts, nothing = _counts(row, gateway_words, now_ns)
    return {
        "name": row.name,
        "state": phase.name.lower() if phase else "unknown",
        "pid": pid,
        "memory_bytes": (worker.footprint_bytes or worker.mlx_active_bytes) if worker else 0,
        "peak_bytes": worker.mlx_peak_bytes if worker else 0,
        "share_bytes": control.share_bytes if control else 0,
        "context_length": worker.context_length if worker else 0,
        "load_percent": worker.load_progress_permille / 10 if worker and phase is Phase.LOADING else None,
        "in_flight": counts.dispatched - counts.finished if counts else nothing,
        "paused": counts.paused if counts else nothing,
        "unfinished": counts.unfinished if counts else nothing,
        "queued": sum(counts.waiting) if counts else nothing,
        "tokens_per_s": worker.tokens_per_ks / 1000 if worker else 0.0,
        "pinned": bool(control and control.pinned),
        "keep_until_s": _keep_until_s(control, now_ns),
        "until": _until(control, counts, phase, now_ns),
        "reason": _reason(row, phase, now_ns),
    }


def describe_relay(row: Row, gateway_words: GatewayWords | None, now_ns: int) -> dict:
    """The same of a relay, which holds no model. `breaker` "": it is not known."""
    phase, pid = row.phase(now_ns), row.control.pid if row.control else 0
    worker = row.worker if pid and row.worker_is_fresh(now_ns) else None
    counts, nothing = _counts(row, gateway_words, now_ns)
    answers = worker is None or worker.breaker == Breaker.CLOSED
    return {
        "name": row.name,
        "state": phase.name.lower() if phase else "unknown",
        "breaker": Breaker(worker.breaker).name.lower() if worker else "",
        "pid": pid,
        "in_flight": counts.dispatched - counts.finished if counts else nothing,
        "queued": sum(counts.waiting) if counts else nothing,
        "tokens_per_s": worker.tokens_per_ks / 1000 if worker else 0.0,
        "reason": NO_WORD if phase is None else (
            row.reason if answers or row.reason != READY else NO_ANSWER.format(name=row.name)),
    }


def _counts(row: Row, gateway_words: GatewayWords | None, now_ns: int) -> tuple[RowGateway | None, int | None]:
    """What this gateway wrote about it, and what a count is where it wrote nothing: 0, or None if it is silent."""
    known = _beats(gateway_words, now_ns)
    ours = row.gateway if row.gateway and known and row.gateway.epoch == gateway_words.epoch else None
    return ours, 0 if known else None


def _keep_until_s(control: RowControl | None, now_ns: int) -> float | None:
    if control is None or control.keep_until_ns in (0, FOREVER):
        return None
    return round(max(0, control.keep_until_ns - now_ns) / NS, 1)


def _until(control: RowControl | None, counts: RowGateway | None, phase: Phase | None, now_ns: int) -> str:
    """How long the model stays loaded. One that is pinned or in use stays whatever the clock says."""
    if control is None or phase not in (Phase.READY, Phase.LOADING):
        return "-"
    if control.pinned:
        return "pinned"
    if counts and counts.unfinished:
        return "in use"
    if not control.keep_until_ns:
        return "-"
    left_s = _keep_until_s(control, now_ns)
    return "for ever" if left_s is None else _time_left(left_s)


def _time_left(seconds: float) -> str:
    if seconds <= 0:
        return "now"
    if seconds < IN_MINUTES_S:
        return f"{seconds:.0f} s"
    if seconds < IN_HOURS_S:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < IN_DAYS_S else f"{seconds / 86_400:.0f} days"


def _reason(row: Row, phase: Phase | None, now_ns: int) -> str:
    """Control's own words, with what they cannot say: how far it is, how long it lasts, what ends it."""
    if phase is None:
        return NO_WORD
    said = [row.reason]
    if phase is Phase.LOADING and row.worker:
        said = [f"{row.worker.load_progress_permille / 10:.0f} % loaded", row.reason]
    elif phase is Phase.BACKOFF and row.control:
        left_s = max(0.0, (row.control.backoff_until_ns - now_ns) / NS)
        said.append(f"{left_s:.0f} s left (crashes: {row.control.crashes})")
    said.append(REMEDIES.get(phase, "").format(slug=row.name))
    return "; ".join(filter(None, said))


def size_text(count: int) -> str:
    """A number of bytes for people; "-" for 0, which is "not known"."""
    if not count:
        return "-"
    return f"{count / MIB:.0f} MiB" if count < GIB else f"{count / GIB:.1f} GiB"
