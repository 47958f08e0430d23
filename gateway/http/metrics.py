"""GET /metrics, for Prometheus: what the table says, and what the gateway measured (text 0.0.4, or OpenMetrics 1.0).

It is answered whatever is down, takes no place in any queue, and no limit of rate counts it. The gateway is asked once,
for GATEWAY_WITHIN_S, unless the table shows it to be silent; if it does not answer, what only it knows is absent and
`warden_gateway_up` is 0: nothing told earlier is said again, for a stale number looks like a true one. The text is made
in a thread, so that no token waits for it; scrapes that come meanwhile get the same one, so that never more than one of
each form is in the making.

Who may see all of /health may see it; anybody else shows a key, as for the dashboard. Models that are reserved for
agents share one name.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics

from control.config import Config
from control.table import Snapshot
from gateway import VERSION
from gateway.client import GatewayError
from gateway.http.call import Call, Services
from gateway.http.dashboard_api import admit
from gateway.http.health import beats
from gateway.http.metrics_families import COUNTER, GAUGE, INFO, Buckets, Family, Sheet
from gateway.http.metrics_gateway import add_gateway
from gateway.http.metrics_table import Naming, add_table
from gateway.http.metrics_tally import Tally
from gateway.http.reserved import RESERVED
from gateway.protocol import MetricsInfo

GATEWAY_WITHIN_S = 0.5
PROCESS = os.environ.get("SUPERVISOR_PROCESS_NAME", "http")  # which of several
STARTED_AT_S = time.time()
OPENMETRICS = "application/openmetrics-text"


class Form(NamedTuple):
    """How the text is written: `encode` takes what has a method `collect`."""

    encode: Callable[..., bytes]
    media_type: str


PLAIN = Form(generate_latest, CONTENT_TYPE_PLAIN_0_0_4)
# Unless told to leave names as they are, prometheus_client 0.26 writes samples of `vllm:x` as `vllm_x` in this form.
OPEN = Form(partial(openmetrics.generate_latest, escaping=openmetrics.ALLOWUTF8), openmetrics.CONTENT_TYPE_LATEST)


async def metrics(call: Call) -> None:
    await admit(call, "/metrics")
    form = OPEN if OPENMETRICS in call.headers.get("accept", "") else PLAIN
    body = await call.scope["app"].state.scraper.text(form)
    await call.reply(body, form.media_type, headers={"cache-control": "no-store"})


class Scraper:
    """One for each app."""

    def __init__(self, services: Services, tally: Tally) -> None:
        self.services, self.tally = services, tally
        self._making: dict[Form, asyncio.Task[bytes]] = {}
        self._later: dict[str, tuple[str, str]] = {}  # slug -> name and audience, of models that came after us

    async def text(self, form: Form) -> bytes:
        if form not in self._making:
            task = self._making[form] = asyncio.create_task(self._make(form))
            task.add_done_callback(lambda _: self._making.pop(form, None))
        return await asyncio.shield(self._making[form])

    async def _make(self, form: Form) -> bytes:
        services, sheet = self.services, Sheet()
        told = await self._ask_gateway(services.table.snapshot())
        table = services.table.snapshot()  # as new as what was told
        if told is not None:
            self._later = {model.slug: (model.name, model.audience) for model in told.models}
            table = without_words_of_another(table, told.epoch)
        naming = naming_of(services.config, self._later)
        sheet.add("warden_build", 1, VERSION)
        sheet.add("warden_process_start_time_seconds", STARTED_AT_S, PROCESS)
        add_table(sheet, table, services.config, naming, time.monotonic_ns())
        add_gateway(sheet, told, naming)
        for (route, method, status), count in self.tally.counts.items():
            sheet.add("warden_http_requests_total", count, PROCESS, route, method, status)
        return await asyncio.to_thread(form.encode, Exposition(sheet))

    async def _ask_gateway(self, table: Snapshot | str) -> MetricsInfo | None:
        """Not if it is known to be silent: what it cannot be sent would wait for it, scrape after scrape."""
        if isinstance(table, str) or not beats(table.gateway, time.monotonic_ns()):
            return None
        try:
            async with asyncio.timeout(GATEWAY_WITHIN_S):
                return await self.services.client.metrics()
        except (TimeoutError, GatewayError):
            return None


def without_words_of_another(table: Snapshot | str, epoch: int) -> Snapshot | str:
    """What a gateway that is gone has left in the table says nothing about the one that answers."""
    other = isinstance(table, Snapshot) and table.gateway is not None and table.gateway.epoch != epoch
    return table._replace(gateway=None) if other else table


def naming_of(config: Config, later: dict[str, tuple[str, str]]) -> Naming:
    """A model's name from its slug. `later`: as the gateway told them; what it says of the audience counts too."""
    known = {model.slug: (model.name, model.audience) for model in config.models} | later
    names = {slug: RESERVED if audience == "agents" else name for slug, (name, audience) in known.items()}
    return lambda slug: names.get(slug, slug)


class Exposition:
    """A sheet, as the encoders of prometheus_client read it."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def collect(self) -> Iterator[Metric]:
        for name, family, values in self._sheet.filled():
            yield make_metric(name, family, values)


def make_metric(name: str, family: Family, values: dict[tuple[str, ...], float | Buckets]) -> Metric:
    if family.kind == INFO:
        info = InfoMetricFamily(name, family.help)
        for labels in values:
            info.add_metric((), dict(zip(family.labels, labels, strict=True)))
        return info
    if family.kind in (GAUGE, COUNTER):
        kind = GaugeMetricFamily if family.kind == GAUGE else CounterMetricFamily
        metric = kind(name, family.help, labels=family.labels)
        for labels, value in values.items():
            metric.add_metric(labels, value)
        return metric
    histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
    for labels, buckets in values.items():
        histogram.add_metric(labels, cumulated(buckets), buckets.sum)
    return histogram


def cumulated(buckets: Buckets) -> list[tuple[str, float]]:
    """As Prometheus wants them: each counts what is not above its edge."""
    found, total = [], 0
    for edge, count in zip((*buckets.edges, "+Inf"), buckets.counts, strict=True):
        total += count
        found.append((edge, total))
    return found
