"""Operations endpoints: /, /health, /livez, /readyz, /queue/stats.

They read the table and never ask the gateway, so that they answer at once and are true while everything else is down.
Where a key is needed, callers from other machines get the short form of /health and /queue/stats, with or without one
(`asking` says what is open to whom); /livez, /readyz and the pages are the same for everybody.
"""

import time

from gateway import VERSION
from gateway.http.asking import may_see_all
from gateway.http.call import Call
from gateway.http.health import make_health, make_queue_stats, shortened, why_not_ready
from gateway.http.pages import send_file


async def root(call: Call) -> None:
    """Clients of Ollama look for its sentence here; people get the dashboard."""
    if "text/html" in call.headers.get("accept", ""):
        await send_file(call, "dashboard.html", {"vary": "accept"})
    else:
        await call.reply(b"Ollama is running (in fact this is mlx-warden, which speaks its API)\n",
                         "text/plain; charset=utf-8", headers={"vary": "accept"})


async def health(call: Call) -> None:
    found = health_now(call)
    await call.reply_json(found if may_see_all(call) else shortened(found))


def health_now(call: Call) -> dict[str, object]:
    services = call.services
    return make_health(services.table.snapshot(), services.config, VERSION, now_ns=time.monotonic_ns(),
                       wall_s=time.time())


async def livez(call: Call) -> None:
    await call.reply_json({"status": "alive"})


async def readyz(call: Call) -> None:
    reasons = why_not_ready(call.services.table.snapshot(), time.monotonic_ns())
    await call.reply_json({"status": "not ready" if reasons else "ready", "reasons": reasons},
                          status=503 if reasons else 200)


async def queue_stats(call: Call) -> None:
    if not may_see_all(call):
        await call.reply_json(shortened(health_now(call)))
        return
    table = call.services.table.snapshot()
    if isinstance(table, str) or table.gateway is None:
        reason = table if isinstance(table, str) else "the gateway has not written to the table yet"
        await call.fail("gateway_unavailable", reason, retry_after_s=3.0)
        return
    await call.reply_json(make_queue_stats(table.gateway, table.rows, call.services.config,
                                           now_ns=time.monotonic_ns()))
