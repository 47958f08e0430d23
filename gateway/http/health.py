"""What /health and /queue/stats say, worked out from one snapshot of the table. Values in, values out.

Worst first: *degraded* (control, the gateway or supervisord does not answer, or there is no table), *critical* and
*warning* (memory pressure as control judges it, or a model that cannot be had or is silent), *healthy*. `warnings`
names each reason. A silent worker stays listed, as unknown: it may well be computing, and it still holds its memory.
What nobody has measured is null, never a guess: a monitor must not read "0 bytes" where nothing is known.
"""

from datetime import UTC, datetime

from control.config import Config
from control.states import HEARTBEAT_STALE_NS, Phase, Priority, is_fresh
from control.table import ControlWords, GatewayWords, Row, Snapshot

WARNING_PERCENT, CRITICAL_PERCENT = 85, 95
SUPERVISORD_SILENT = "supervisord does not answer: nothing can be loaded; run `warden down`, then `warden up`"
GIB = 1024**3
LOADED = frozenset({Phase.LOADING, Phase.READY, Phase.DRAINING})
TROUBLE = frozenset({Phase.BACKOFF, Phase.QUARANTINED, Phase.LEAK_SUSPECTED})
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


def make_health(table: Snapshot | str, config: Config, version: str, memory: tuple[int, int | None], *,
                now_ns: int, wall_s: float) -> dict[str, object]:
    """`memory`: bytes of the machine, and of them available (None if not known)."""
    down = why_not_ready(table, now_ns)
    rows = [] if isinstance(table, str) else table.rows
    names = {model.slug: model.name for model in config.models}
    cached = [model_entry(row, names.get(row.name, row.name), now_ns, wall_s) for row in rows
              if row.phase(now_ns) in LOADED or is_silent(row, now_ns)]
    trouble = [f"{names.get(row.name, row.name)} is {state_of(row, now_ns)}"
               for row in rows if row.phase(now_ns) in TROUBLE]
    trouble += [f"{names.get(row.name, row.name)} is silent: no heartbeat for "
                f"{abs(now_ns - row.worker.heartbeat_ns) // 10**9} s" for row in rows if is_silent(row, now_ns)]
    used = used_percent(table, memory, now_ns)
    pressed = pressure_percent(table, now_ns)
    warnings = down + trouble
    if pressed >= WARNING_PERCENT:
        warnings.append(f"memory is at {pressed:.1f} %")
    status = "degraded" if down else "critical" if pressed >= CRITICAL_PERCENT else "warning" if warnings else "healthy"
    running = counts(table, "running")
    return {
        "status": status,
        "service": "mlx-warden",
        "version": version,
        "total_models": len(config.models),
        "models_cached": len(cached),
        "cached_models": cached,
        "active_model_requests": {entry["name"]: entry["active_requests"] for entry in cached},
        "loading_models": [entry["name"] for entry in cached if entry["is_loading"]],
        "active_requests": None if running is None else sum(running),
        "max_concurrent": config.max_running,
        "memory": memory_entry(rows, memory, used),
        "rate_limit": {"max_per_window": None, "window_seconds": None},
        "backends": {"mlx": {"healthy": not down, "models": len(config.models)}},
        "warnings": warnings,
    }


def make_queue_stats(gateway: GatewayWords, rows: tuple[Row, ...], config: Config, *, now_ns: int) -> dict[str, object]:
    """Counters are those of this gateway's life. `stale`: the gateway does not answer, these are its last words."""
    running, queued, admitted = (by_class(gateway, what) for what in ("running", "queued", "admitted"))
    waits = [now_ns - row.gateway.oldest_wait_since_ns for row in rows
             if row.gateway is not None and row.gateway.oldest_wait_since_ns and row.gateway.epoch == gateway.epoch]
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
    }


def pressure_percent(table: Snapshot | str, now_ns: int) -> float:
    """What control judges by; 0 if it says nothing."""
    if isinstance(table, str) or not beats(table.control, now_ns):
        return 0.0
    return table.control.pressure_permille / 10


def used_percent(table: Snapshot | str, memory: tuple[int, int | None], now_ns: int) -> float | None:
    total, available = memory
    if pressed := pressure_percent(table, now_ns):
        return pressed
    return None if available is None else round(100 * (total - available) / total, 1)


def memory_entry(rows: tuple[Row, ...] | list, memory: tuple[int, int | None], used: float | None) -> dict[str, object]:
    total, available = memory
    reserved = sum(row.control.share_bytes for row in rows if row.control is not None and row.control.pid)
    return {
        "used_percent": used,
        "available_gb": None if available is None else round(available / GIB, 2),
        "total_gb": round(total / GIB, 2),
        "warning_threshold": WARNING_PERCENT,
        "critical_threshold": CRITICAL_PERCENT,
        "budget_gb": None,
        "reserved_gb": round(reserved / GIB, 2),
    }
