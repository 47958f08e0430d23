"""What /metrics says from the shared table, which can be read whatever else is down. Values in, samples out.

Absent is better than stale: numbers of a process that is silent are left out (its counters stay, they are still true),
and so is what nobody has measured yet. Memory, queue and states are those of `control.overview`, as everywhere.
"""

from collections.abc import Callable

from control.config import RELAYS, Config
from control.overview import CLASSES, describe, describe_memory, describe_queue, describe_relay
from control.states import Breaker, Phase
from control.table import ControlWords, GatewayWords, Row, Snapshot
from gateway.http.health import beats, relay_state, supervisord_is_silent
from gateway.http.metrics_families import Sheet
from gateway.http.reserved import RESERVED

NS, MS, EPOCHS_PER_S = 1_000_000_000, 0.001, 1000
PHASES = tuple(phase for phase in Phase if phase is not Phase.ALIVE)  # as a model is seen; ALIVE is only control's word
STATES = (*(phase.name.lower() for phase in PHASES), "unknown")
REFUSERS = ("control", "gateway", "worker", "nobody")
Naming = Callable[[str], str]  # slug -> what the model is called here


def add_table(sheet: Sheet, table: Snapshot | str, config: Config, naming: Naming, now_ns: int) -> None:
    """All of it. `table` as text: there is none."""
    sheet.add("warden_table_up", int(isinstance(table, Snapshot)))
    sheet.add("warden_running_limit", config.max_running)
    sheet.add("warden_queue_limit", config.max_queued)
    control = table.control if isinstance(table, Snapshot) else None
    sheet.add("warden_control_up", int(beats(control, now_ns)))
    if isinstance(table, str):
        return
    for name, words in (("control", control), ("gateway", table.gateway)):
        if words is not None and words.heartbeat_ns:
            sheet.add("warden_heartbeat_age_seconds", abs(now_ns - words.heartbeat_ns) / NS, name)
            sheet.add("warden_process_start_time_seconds", words.epoch / EPOCHS_PER_S, name)
    _add_control(sheet, control, now_ns)
    _add_gateway(sheet, table.gateway, now_ns)
    engines = {model.slug: model.engine for model in config.models}
    backends = {slug: name for name, slug in RELAYS.items()}
    for row in table.rows:
        if row.name in backends:
            _add_relay(sheet, row, backends[row.name], table, now_ns)
        else:
            _add_model(sheet, row, naming(row.name), engines.get(row.name, ""), table, now_ns)


def _add_control(sheet: Sheet, control: ControlWords | None, now_ns: int) -> None:
    if control is None:
        return
    sheet.add("warden_evictions_total", control.evictions)
    sheet.add("warden_forced_kills_total", control.forced_kills)
    for who in REFUSERS:
        sheet.add("warden_eviction_refusals_total", getattr(control, f"refused_by_{who}"), who)
    memory = describe_memory(control, now_ns)
    if memory is None:
        return
    sheet.add("warden_supervisord_up", int(not supervisord_is_silent(control, now_ns)))
    if memory["used_percent"] is not None:
        sheet.add("warden_memory_used_ratio", memory["used_percent"] / 100)
        sheet.add("warden_memory_pressure_level", control.pressure_level)
        for what in ("total", "available"):
            sheet.add(f"warden_memory_{what}_bytes", memory[f"{what}_bytes"])
    if memory["ceiling_bytes"]:
        sheet.add("warden_memory_budget_bytes", memory["ceiling_bytes"])
    for what in ("reserved", "leaked"):
        sheet.add(f"warden_memory_{what}_bytes", memory[f"{what}_bytes"])
    for bit, name in enumerate(CLASSES):
        sheet.add("warden_memory_class_closed", control.overload >> bit & 1, name)


def _add_gateway(sheet: Sheet, gateway: GatewayWords | None, now_ns: int) -> None:
    if gateway is None or not gateway.epoch:
        return
    for name in CLASSES:
        sheet.add("warden_requests_admitted_total", getattr(gateway, f"admitted_{name}"), name)
    for ours, word in (("requests_retried", "retried"), ("requests_hopped", "hops"), ("requests_spilled", "spilled"),
                       ("frames_dropped", "dropped_frames"), ("jobs_lost_to_eviction", "lost_to_eviction"),
                       ("preemptions", "preemptions"), ("resumptions", "resumptions"),
                       ("continuations", "continuations")):
        sheet.add(f"warden_{ours}_total", getattr(gateway, word))
    queue = describe_queue(gateway, now_ns)
    if queue is not None:
        for what in ("running", "paused", "queued"):
            for name in CLASSES:
                sheet.add(f"warden_requests_{what}", queue[what][name], name)


def _add_model(sheet: Sheet, row: Row, model: str, engine: str, table: Snapshot, now_ns: int) -> None:
    seen, control = describe(row, table.gateway, now_ns), row.control
    sheet.add("warden_model", 1, model, row.name if model != RESERVED else RESERVED, engine)
    if seen["in_flight"] is not None:
        since_ns = row.gateway.oldest_any_since_ns if row.gateway and seen["queued"] else 0
        running = seen["in_flight"] - seen["paused"]
        sheet.add("warden_model_requests_running", running, model)
        sheet.add("warden_model_requests_paused", seen["paused"], model)
        sheet.add("warden_model_requests_queued", seen["queued"], model)
        sheet.add("warden_model_oldest_wait_seconds", max(0, now_ns - since_ns) / NS if since_ns else 0.0, model)
        sheet.add("vllm:num_requests_running", running, model, "0")
        sheet.add("vllm:num_requests_waiting", seen["queued"] + seen["paused"], model, "0")
    _add_worker(sheet, row, model, now_ns)
    if control is None:
        return
    for what in ("loads", "starts", "evictions"):
        sheet.add(f"warden_model_{what}_total", getattr(control, what), model)
    if not beats(table.control, now_ns):
        return
    for state in STATES:
        sheet.add("warden_model_state", int(seen["state"] == state), model, state)
    sheet.add("warden_model_share_bytes", control.share_bytes, model)
    sheet.add("warden_model_recent_crashes", control.crashes, model)
    sheet.add("warden_model_pinned", int(seen["pinned"]), model)
    if control.need_bytes:
        sheet.add("warden_model_need_bytes", control.need_bytes, model)


def _add_worker(sheet: Sheet, row: Row, model: str, now_ns: int) -> None:
    """What its process says of itself, if there is one."""
    worker, control = row.worker, row.control
    if worker is not None:
        sheet.add("warden_model_tokens_total", worker.tokens_out, model)
        if worker.load_ms:
            sheet.add("warden_model_last_load_seconds", worker.load_ms * MS, model)
    here = worker is not None and control is not None and control.pid and worker.incarnation == control.incarnation
    if here and worker.heartbeat_ns:
        sheet.add("warden_model_heartbeat_age_seconds", abs(now_ns - worker.heartbeat_ns) / NS, model)
    if not here or not row.worker_is_fresh(now_ns):
        if row.phase(now_ns) is not None:  # else it may hold anything
            _add_usage(sheet, model, 0.0)
            sheet.add("warden_model_tokens_per_second", 0.0, model)
        return
    if worker.footprint_bytes:
        sheet.add("warden_model_footprint_bytes", worker.footprint_bytes, model)
    for what in ("active", "cache", "peak"):
        sheet.add(f"warden_model_mlx_{what}_bytes", getattr(worker, f"mlx_{what}_bytes"), model)
    for what in ("kept", "spilled"):
        sheet.add(f"warden_kv_{what}_bytes", getattr(worker, f"{what}_bytes"), model)
    share_bytes, used_bytes = worker.share_bytes or control.share_bytes, worker.mlx_active_bytes - worker.kept_bytes
    _add_usage(sheet, model, min(1.0, max(0, used_bytes) / share_bytes) if share_bytes else 0.0)
    sheet.add("warden_model_tokens_per_second", worker.tokens_per_ks * MS, model)
    if row.phase(now_ns) is Phase.LOADING:
        sheet.add("warden_model_load_progress_ratio", worker.load_progress_permille / 1000, model)


def _add_usage(sheet: Sheet, model: str, full: float) -> None:
    for name in ("kv_cache_usage_perc", "gpu_cache_usage_perc"):
        sheet.add(f"vllm:{name}", full, model, "0")


def _add_relay(sheet: Sheet, row: Row, relay: str, table: Snapshot, now_ns: int) -> None:
    seen = describe_relay(row, table.gateway, now_ns)
    state, _ = relay_state(row, now_ns)
    sheet.add("warden_relay_up", int(state == "ready"), relay)
    if row.control is not None:
        sheet.add("warden_relay_starts_total", row.control.starts, relay)
    if seen["breaker"]:
        for breaker in Breaker:
            name = breaker.name.lower()
            sheet.add("warden_relay_breaker", int(seen["breaker"] == name), relay, name)
    if seen["in_flight"] is not None:
        sheet.add("warden_relay_requests_running", seen["in_flight"], relay)
        sheet.add("warden_relay_requests_queued", seen["queued"], relay)
