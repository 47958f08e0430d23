"""The operator of an eviction run: orders evictions of models that work, and kills processes at random moments.

Whom it orders is drawn among the models that are READY and had traffic within RECENT_MS, by the table. That reading is
old by the time the order arrives, which is the point: only the three keys stand between it and an answer. At most one
order for a model is under way.

SIGKILLs fall within KILL_DELAY_MAX_S of an order, half of them on the very worker that was ordered away, so that they
hit every step of an eviction. Only a process that the table names *and* that this stack's supervisord started is ever
killed. Every kill is noted before it is carried out.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from random import Random

from bench.eviction_check import Kill
from bench.eviction_journal import RECENT_MS
from bench.stack import Stack
from control.states import Phase, is_fresh
from control.table import Row, Table
from gateway.client import GatewayClient, GatewayError

ORDER_WITHIN_S = 30.0
NOBODY_WORKS_PAUSE_S = 0.005
REFUSED_PAUSE_S = 0.005
KILL_DELAY_MAX_S = 0.5
CONTROL_KILLS_SHARE = 0.25
CONTROL_KILLS_APART_S = 10.0  # supervisord gives a program up that ends again and again right after its start
EVICTED, REFUSED, SILENT = "evicted", "model_busy", "no answer in time"
NS_PER_MS = 1_000_000


class Operator:
    """`outcomes`: how the orders ended, `kills` so far. `kills_percent`: of the evictions that were carried out."""

    def __init__(self, stack: Stack, client: GatewayClient, random: Random, kills_percent: float) -> None:
        self.outcomes: Counter[str] = Counter()
        self.kills: list[Kill] = []
        self._stack, self._client, self._random = stack, client, random
        self._kills_percent = kills_percent
        self._table = Table.open(stack.table_path)
        self._ordered: set[str] = set()
        self._killers: set[asyncio.Task[None]] = set()

    async def order_for_ever(self) -> None:
        """One order after another, until cancelled."""
        while True:
            model = choose_victim(self._table.snapshot().rows, self._ordered, self._random, time.monotonic_ns())
            if not model:
                await asyncio.sleep(NOBODY_WORKS_PAUSE_S)
                continue
            self._ordered.add(model)
            self._plan_kill(model)
            try:
                outcome = await self._order(model)
            finally:
                self._ordered.discard(model)
            self.outcomes[outcome] += 1
            if outcome != EVICTED:
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def _order(self, model: str) -> str:
        try:
            async with asyncio.timeout(ORDER_WITHIN_S):
                await self._client.evict(model)
        except GatewayError as error:
            return error.code
        except TimeoutError:
            return SILENT
        return EVICTED

    def close(self) -> None:
        for task in self._killers:
            task.cancel()
        self._table.close()

    # -- kills -----------------------------------------------------------------------------------------------

    def _plan_kill(self, model: str) -> None:
        """One more, if their number is behind that of the evictions."""
        if len(self.kills) + len(self._killers) < self.outcomes[EVICTED] * self._kills_percent / 100:
            task = asyncio.create_task(self._kill_soon(model))
            self._killers.add(task)
            task.add_done_callback(self._killers.discard)

    async def _kill_soon(self, model: str) -> None:
        await asyncio.sleep(self._random.uniform(0, KILL_DELAY_MAX_S))
        snapshot = self._table.snapshot()
        if self._random.random() < CONTROL_KILLS_SHARE and self._control_may_go():
            words = snapshot.control
            if words is not None and is_fresh(words.heartbeat_ns, time.monotonic_ns()):
                self._kill("control", "", words.pid)
            return
        rows = [row for row in snapshot.rows if row.control is not None and row.control.pid]
        wanted = [row for row in rows if row.name == model]
        if rows:
            row = self._random.choice(wanted if wanted and self._random.random() < 0.5 else rows)
            self._kill("worker", row.name, row.control.pid, row.control.incarnation)

    def _control_may_go(self) -> bool:
        last_s = max((kill.at_s for kill in self.kills if kill.kind == "control"), default=-CONTROL_KILLS_APART_S)
        return time.monotonic() - last_s >= CONTROL_KILLS_APART_S

    def _kill(self, kind: str, model: str, pid: int, incarnation: int = 0) -> None:
        if pid in self._stack.pids():
            self.kills.append(Kill(time.monotonic(), kind, model, pid, incarnation))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def choose_victim(rows: tuple[Row, ...], ordered: set[str], random: Random, now_ns: int) -> str:
    """One of the models that work and are not ordered away; "" if there is none."""
    return random.choice([row.name for row in rows if row.name not in ordered and works(row, now_ns)] or [""])


def works(row: Row, now_ns: int) -> bool:
    """Is it READY, without a fence, and had traffic just now?"""
    if row.control is None or row.gateway is None or row.control.fence_id != row.control.fence_cleared:
        return False
    used_ns = max(row.gateway.last_dispatch_ns, row.gateway.last_end_ns)
    return row.phase(now_ns) is Phase.READY and now_ns - used_ns <= RECENT_MS * NS_PER_MS
