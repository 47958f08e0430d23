"""What /health and /queue/stats say, worked out from one snapshot of the table. Values in, values out.

Worst first: *degraded* (control, the gateway or supervisord does not answer, or there is no table), *critical* and
*warning* (memory pressure as control judges it, what control warns of, or a model that cannot be had or is silent),
*healthy*. `warnings` names each reason. A silent worker stays listed, as unknown: it may well be computing, and it
still holds its memory. About memory there is one truth, what control has read; while it is silent, there is none.
What nobody has measured is null, never a guess: a monitor must not read "0 bytes" where nothing is known.
Models that are reserved for agents are named to nobody, since nobody is asked who the caller is: they are not among the
models, and where a text would name one it says RESERVED. Requests and memory are those of all models.
"""

from datetime import UTC, datetime

from control.config import RELAYS, Config
from control.states import HEARTBEAT_STALE_NS, Breaker, Phase, Priority, is_fresh
from control.table import FOREVER, ControlWords, GatewayWords, Row, RowControl, Snapshot
from gateway.http.reserved import hiding, name_of

CRITICAL_LEVEL = 2  # of `pressure_level`: 0 normal, 1 warning, 2 critical, 3 emergency
SUPERVISORD_SILENT = "supervisord does not answer: nothing can be loaded; run `warden down`, then `warden up`"
SERVICE = "mlx-warden"
GIB = 1024**3
LOADED = frozenset({Phase.LOADING, Phase.READY, Phase.DRAINING})
TROUBLE = frozenset({Phase.BACKOFF, Phase.QUARANTINED, Phase.LEAK_SUSPECTED})
ON_ITS_WAY = frozenset({Phase.STARTING, Phase.EMPTY, Phase.LOADING})  # of a relay
CLASSES = [priority.name for priority in Priority]


def beats(words: ControlWords | GatewayWords | None, now_ns: int) -> bool:
    """Is the process alive that wrote these?"""
    return words is not None and is_fresh(words.heartbeat_ns, now_ns)


def why_not_ready(table: Snapshot | str, now_ns: int) -> list[str]:
    """What keeps new requests from being answered; empty if nothing does."""
    if isinstance(table, str):
        return [table]
    parts = {"control": table.control, "gateway": table.gateway}
    down = [f"{name} does not answer (no heartbeat for {HEARTBEAT_STALE_NS // 10**9} s); `warden ctl status` shows why"
            for name, words in parts.items() if not beats(words, now_ns)]
    return [*down, SUPERVISORD_SILENT] if supervisord_is_silent(table.control, now_ns) else down


def supervisord_is_silent(control: ControlWords | None, now_ns: int) -> bool:
    """Only a control that beats can tell; 0 means that supervisord has not answered it yet."""
    return beats(control, now_ns) and control.supervisord_is_silent


def is_silent(row: Row, now_ns: int) -> bool:
    """A worker that control trusts and that has not beaten for a while."""
    control = row.control
    return control is not None and control.phase == Phase.ALIVE and control.pid > 0 and row.phase(now_ns) is None


def make_health(table: Snapshot | str, config: Config, version: str, *, now_ns: int,
                wall_s: float) -> dict[str, object]:
    down = why_not_ready(table, now_ns)
    rows = [] if isinstance(table, str) else [row for row in table.rows if row.name not in RELAYS.values()]
    relays = relay_states(table, config, now_ns)
    hide = hiding(config)
    reserved = {model.slug for model in config.models if model.audience == "agents"}
    models_count = len(config.models) - len(reserved)
    rows = [row._replace(reason="" if row.name in reserved else hide(row.reason)) for row in rows]
    cached = [model_entry(row, name_of(config, row.name), now_ns, wall_s) for row in rows
              if row.name not in reserved and (row.phase(now_ns) in LOADED or is_silent(row, now_ns))]
    trouble = [f"{name_of(config, row.name)} is {state_of(row, now_ns)}{row.reason and f': {row.reason}'}"
               for row in rows if row.phase(now_ns) in TROUBLE]
    trouble += [f"{name_of(config, row.name)} is silent: no heartbeat for "
                f"{abs(now_ns - row.worker.heartbeat_ns) // 10**9} s" for row in rows if is_silent(row, now_ns)]
    control = trusted(table, now_ns)
    level = control.pressure_level if control else 0
    away = [f"{name} does not answer ({state['reason']})" for name, state in relays.items() if not state["healthy"]]
    warnings = down + [hide(text) for text in memory_warnings(table, control) + trouble] + away
    status = "degraded" if down else "critical" if level >= CRITICAL_LEVEL else "warning" if warnings else "healthy"
    running = counts(table, "running")
    return {
        "status": status,
        "service": SERVICE,
        "version": version,
        "total_models": models_count,
        "models_cached": len(cached),
        "cached_models": cached,
        "active_model_requests": {entry["name"]: entry["active_requests"] for entry in cached},
        "loading_models": [entry["name"] for entry in cached if entry["is_loading"]],
        "active_requests": None if running is None else sum(running),
        "max_concurrent": config.max_running,
        "memory": memory_entry(control, config),
        "rate_limit": {"max_per_window": config.rate_limit_max or None, "window_seconds": config.rate_limit_window_s},
        "backends": {"mlx": {"healthy": not down, "models": models_count}} | relays,
        "warnings": warnings,
    }


def shortened(health: dict[str, object]) -> dict[str, object]:
    """What is told to whom we do not know."""
    return {name: health[name] for name in ("status", "service", "version")}


def relay_states(table: Snapshot | str, config: Config, now_ns: int) -> dict[str, dict[str, object]]:
    """The relays that are configured, by backend: does each answer, and why not."""
    rows = {} if isinstance(table, str) else {row.name: row for row in table.rows}
    found = {}
    for name, slug in config.relays.items():
        state, reason = relay_state(rows.get(slug), now_ns)
        found[name] = {"healthy": state == "ready", "state": state, "reason": reason}
    return found


def relay_state(row: Row | None, now_ns: int) -> tuple[str, str]:
    """ready | down | starting | stopped, and why for people.

    Starting: its process is on its way. Stopped: there is none that could answer, and control's reason says what
    brings it back. Down: the process is there, but it or its server does not answer.
    """
    if row is None:
        return "starting", "it has no row yet"
    phase = row.phase(now_ns)
    if phase is None:
        return "down", "its process does not answer"
    if phase is not Phase.READY:
        return "starting" if phase in ON_ITS_WAY else "stopped", row.reason
    if row.worker is None or row.worker.breaker != Breaker.CLOSED:
        return "down", "its server does not answer"
    return "ready", ""


def make_queue_stats(gateway: GatewayWords, rows: tuple[Row, ...], config: Config, *, now_ns: int) -> dict[str, object]:
    """Counters are those of this gateway's life. `stale`: the gateway does not answer, these are its last words."""
    running, queued, admitted = (by_class(gateway, what) for what in ("running", "queued", "admitted"))
    waits = [now_ns - row.gateway.oldest_any_since_ns for row in rows
             if row.gateway is not None and row.gateway.oldest_any_since_ns and row.gateway.epoch == gateway.epoch]
    return {
        "active_requests": sum(running),
        "max_concurrent": config.max_running,
        "queue_size": sum(queued),
        "max_queue_size": config.max_queued,
        "is_processing": sum(running) > 0,
        "stats": {
            "total_queued": sum(admitted),
            "total_processed": gateway.finished,
            "total_expired": gateway.expired,
            "total_rejected": gateway.rejected + gateway.displaced,
            "total_failed": gateway.failed,
            "total_cancelled": gateway.cancelled,
            "by_priority": dict(zip(CLASSES, admitted, strict=True)),
        },
        "in_flight_by_priority": dict(zip(CLASSES, running, strict=True)),
        "queued_by_priority": dict(zip(CLASSES, queued, strict=True)),
        "oldest_wait_seconds": round(max(waits, default=0) / 1e9, 3),
        "stale": not beats(gateway, now_ns),
    }


def by_class(gateway: GatewayWords, what: str) -> list[int]:
    return [getattr(gateway, f"{what}_{name.lower()}") for name in CLASSES]


def counts(table: Snapshot | str, what: str) -> list[int] | None:
    return None if isinstance(table, str) or table.gateway is None else by_class(table.gateway, what)


def state_of(row: Row, now_ns: int) -> str:
    phase = row.phase(now_ns)
    return phase.name.lower() if phase is not None else "unknown"


def model_entry(row: Row, name: str, now_ns: int, wall_s: float) -> dict[str, object]:
    """A row with a process that holds its model or is about to. Memory only from a worker that beats."""
    worker, gateway = row.worker, row.gateway
    last_used_s = wall_s - (now_ns - gateway.last_dispatch_ns) / 1e9 if gateway and gateway.last_dispatch_ns else None
    return {
        "name": name,
        "use_count": gateway.use_count if gateway else 0,
        "last_used": datetime.fromtimestamp(last_used_s, UTC).isoformat(timespec="seconds") if last_used_s else None,
        "load_time_seconds": worker.load_ms / 1000 if worker else None,
        "active_requests": max(0, gateway.dispatched - gateway.finished) if gateway else 0,
        "is_loading": row.phase(now_ns) is Phase.LOADING,
        "state": state_of(row, now_ns),
        "memory_bytes": worker.footprint_bytes if worker and row.worker_is_fresh(now_ns) else None,
        "pid": row.control.pid if row.control else None,
        "share_bytes": row.control.share_bytes if row.control else None,
        "pinned": bool(row.control and row.control.pinned),
        "keep_until_seconds": keep_until_s(row.control, now_ns),
        "reason": row.reason,
    }


def keep_until_s(control: RowControl | None, now_ns: int) -> float | None:
    """Seconds from now until the model may go for want of use; None: never, or not known."""
    if control is None or control.keep_until_ns in (0, FOREVER):
        return None
    return round(max(0, control.keep_until_ns - now_ns) / 1e9, 1)


def trusted(table: Snapshot | str, now_ns: int) -> ControlWords | None:
    """Control's words, while it beats."""
    return None if isinstance(table, str) or not beats(table.control, now_ns) else table.control


def memory_warnings(table: Snapshot | str, control: ControlWords | None) -> list[str]:
    """How far memory is above its levels, and what control has to say: who is protected, and why."""
    if control is None or isinstance(table, str):
        return []
    pressed = f"memory is at {control.pressure_permille / 10:g} %"
    said_again = not control.pressure_level or pressed in table.warning
    return ([] if said_again else [pressed]) + ([table.warning] if table.warning else [])


def memory_entry(control: ControlWords | None, config: Config) -> dict[str, object]:
    read = control is not None and control.pressure_read_at_ns > 0
    budget_bytes = control.ceiling_bytes if control else 0
    return {
        "used_percent": control.pressure_permille / 10 if read else None,
        "available_gb": round(control.available_bytes / GIB, 2) if read else None,
        "total_gb": round(control.total_bytes / GIB, 2) if read else None,
        "warning_threshold": config.memory_warning_percent,
        "critical_threshold": config.memory_critical_percent,
        "emergency_threshold": config.memory_emergency_percent,
        "budget_gb": round(budget_bytes / GIB, 2) if budget_bytes else None,
        "reserved_gb": round(control.reserved_bytes / GIB, 2) if budget_bytes else None,
    }
