"""What control says of all models together: the words in the table, and the warning for an operator.

Only read here; whose numbers they are says where they come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from control.reconciler import Reconciler

FENCE_OLD_S = 30.0
NS = 1_000_000_000


def header_words(r: Reconciler) -> dict[str, int]:
    """What everybody may know about all models together, for the table."""
    books, reading = r.books, r.books.reading
    return {
        "pressure_permille": round(10 * books.used_percent),
        "pressure_level": books.level,
        "pressure_read_at_ns": int(reading.read_at * NS) if reading else 0,
        "overload": r.evictor.overload,
        "spill": r.spill.bits,
        "ceiling_bytes": books.ceiling.bytes,
        "reserved_bytes": books.reserved_bytes,
        "leaked_bytes": books.leaked_bytes,
        "available_bytes": reading.available_bytes if reading else 0,
        "total_bytes": reading.total_bytes if reading else 0,
        "evictions": r.keys.evictions,
        "evictions_refused": sum(r.keys.refused_by.values()),
        "forced_kills": r.forced_kills,
        **{f"refused_by_{who}": count for who, count in r.keys.refused_by.items()},
    }


def warning(r: Reconciler, now: float) -> str:
    """What an operator should know now, or ""."""
    parts = [r.evictor.protected, r.books.leak_warning(), r.books.injected_warning()]
    old = [row for row in r.rows.values()
           if row.is_fenced and not row.is_closing and now - row.fence_at > FENCE_OLD_S]
    parts += [f"the fence of {row.slug} stands for {now - row.fence_at:.0f} s: its worker or the gateway does not "
              "answer" for row in old]
    return "; ".join(filter(None, parts))
