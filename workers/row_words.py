"""What a worker says of itself in the table: every word of `RowWorker` but the sequence and the CRC. Pure."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.runtime import Runtime

NS = 1_000_000_000


def row_words(worker: "Runtime", now: float, footprint_bytes: int, tokens_per_s: float = 0.0) -> dict[str, int]:
    """`now` in monotonic seconds. `active` counts whatever keeps the worker from quitting (`workers/third_key.py`)."""
    engine, hand = worker.engine, worker.hand
    return {
        "incarnation": worker.incarnation,
        "phase": worker.phase,
        "accepted": hand.accepted,
        "finished": hand.finished,
        "active": max(len(hand.jobs), engine.held),
        "load_progress_permille": int(engine.load_progress * 1000),
        "tokens_out": hand.tokens_out,
        "mlx_active_bytes": engine.memory.active_bytes,
        "mlx_peak_bytes": engine.memory.peak_bytes,
        "mlx_cache_bytes": engine.memory.cache_bytes,
        "footprint_bytes": footprint_bytes,
        "heartbeat_ns": int(now * NS),
        "progress_ns": int(max(engine.progress_at, hand.busy_since) * NS),
        "steps": engine.steps,
        "load_ms": worker.load_ms,
        "context_length": worker.context_length,
        "batch_max": worker.batch_max,
        "pid": worker.pid,
        "gateway_epoch": worker.gateway_epoch,
        "share_bytes": worker.share_bytes,
        "device_bytes": engine.memory.device_bytes,
        "breaker": engine.breaker,
        "tokens_per_ks": round(tokens_per_s * 1000),
        "paused": len(hand.paused),
        "kept_bytes": engine.memory.kept_bytes,
        "spilled_bytes": engine.memory.spilled_bytes,
    }
