"""The table as samples: what is silent is absent, what is reserved has no name of its own."""

import time

import pytest

from control.states import HEARTBEAT_STALE_NS, Breaker, Phase
from control.table import ControlWords, GatewayWords, RowControl, RowGateway, RowWorker, Table
from gateway.http.reserved import RESERVED
from gateway.http.metrics_families import Sheet
from gateway.http.metrics_table import STATES, add_table
from tests.support.gateway_world import make_config, make_model

CONFIG = make_config("a", make_model("b", audience="agents"), make_model("c", audience="agents"), relays=["ollama"])
MIB = 1024**2
STALE_NS = 2 * HEARTBEAT_STALE_NS


class Scene:
    """A table that is written by hand; everybody beats."""

    def __init__(self, table: Table) -> None:
        self.table, self.now_ns = table, time.monotonic_ns()
        for row, slug in enumerate(("a", "b", "c", "relay-ollama")):
            table.name_row(row, slug)
        self.write(ControlWords, epoch=5000, ceiling_bytes=100 * MIB, reserved_bytes=10 * MIB, pressure_permille=620,
                   pressure_read_at_ns=1, total_bytes=200 * MIB, evictions=2, refused_by_worker=1, overload=0b110,
                   pressure_level=2)
        self.write(GatewayWords, epoch=7000, running_low=2, queued_high=1, admitted_high=9, lost_to_eviction=0)

    def write(self, kind: type, row: int | None = None, *, age_ns: int = 0, **words: int) -> None:
        writer = self.table.writer(kind, row) if row is not None else self.table.writer(kind)
        beat = {"heartbeat_ns": self.now_ns - age_ns} if "heartbeat_ns" in kind._fields else {}
        writer.set(**beat, **words)
        writer.flush()

    def model(self, row: int, *, age_ns: int = 0, **worker: int) -> None:
        self.write(RowControl, row, incarnation=1, phase=Phase.ALIVE, pid=11, share_bytes=40 * MIB, loads=3, crashes=1)
        self.write(RowWorker, row, age_ns=age_ns, incarnation=1, phase=Phase.READY, tokens_out=50, tokens_per_ks=12_500,
                   mlx_active_bytes=10 * MIB, footprint_bytes=12 * MIB, load_ms=1500, **worker)
        self.write(RowGateway, row, epoch=7000, incarnation=1, dispatched=5, finished=3, waiting_high=1,
                   oldest_any_since_ns=self.now_ns - 4_000_000_000)

    def seen(self) -> dict[str, dict]:
        sheet = Sheet()
        names = {"a": "a"}
        add_table(sheet, self.table.snapshot(), CONFIG, lambda slug: names.get(slug, RESERVED), self.now_ns)
        return {name: values for name, _, values in sheet.filled()}


@pytest.fixture
def scene(tmp_path):
    table = Table.create(tmp_path / "table", 7)
    yield Scene(table)
    table.close()


def test_without_a_table_only_that_is_said():
    sheet = Sheet()
    add_table(sheet, "there is no table", CONFIG, str, 0)
    assert {name: values for name, _, values in sheet.filled()} == {
        "warden_table_up": {(): 0}, "warden_control_up": {(): 0}, "warden_running_limit": {(): CONFIG.max_running},
        "warden_queue_limit": {(): CONFIG.max_queued}}


def test_memory_and_queue(scene):
    seen = scene.seen()
    assert seen["warden_memory_used_ratio"] == {(): 0.62} and seen["warden_memory_pressure_level"] == {(): 2}
    assert seen["warden_memory_budget_bytes"] == {(): 100 * MIB} and seen["warden_evictions_total"] == {(): 2}
    assert seen["warden_memory_class_closed"] == {("high",): 0, ("medium",): 1, ("low",): 1}
    assert seen["warden_eviction_refusals_total"][("worker",)] == 1
    assert seen["warden_requests_running"] == {("high",): 0, ("medium",): 0, ("low",): 2}
    assert seen["warden_requests_admitted_total"][("high",)] == 9
    assert seen["warden_process_start_time_seconds"] == {("control",): 5.0, ("gateway",): 7.0}


def test_a_model_that_answers(scene):
    scene.model(0)
    seen = scene.seen()
    assert {state for (model, state), here in seen["warden_model_state"].items() if here and model == "a"} == {"ready"}
    assert len([1 for model, _ in seen["warden_model_state"] if model == "a"]) == len(STATES)
    for name, expected in (("share_bytes", 40 * MIB), ("footprint_bytes", 12 * MIB), ("tokens_total", 50),
                           ("loads_total", 3), ("tokens_per_second", 12.5), ("last_load_seconds", 1.5),
                           ("requests_running", 2), ("requests_queued", 1), ("oldest_wait_seconds", 4.0),
                           ("recent_crashes", 1)):
        assert seen[f"warden_model_{name}"][("a",)] == expected, name
    assert seen["vllm:num_requests_running"][("a", "0")] == 2 and seen["vllm:num_requests_waiting"][("a", "0")] == 1
    assert seen["vllm:kv_cache_usage_perc"][("a", "0")] == 0.25


def test_what_is_kept_for_speed_is_said_and_does_not_count_as_use(scene):
    scene.model(0, kept_bytes=6 * MIB, spilled_bytes=7 * MIB)
    seen = scene.seen()
    assert seen["warden_kv_kept_bytes"] == {("a",): 6 * MIB} and seen["warden_kv_spilled_bytes"] == {("a",): 7 * MIB}
    assert seen["vllm:kv_cache_usage_perc"][("a", "0")] == 0.1


def test_of_a_silent_worker_only_what_is_still_true(scene):
    scene.model(0, age_ns=STALE_NS)
    seen = scene.seen()
    assert seen["warden_model_state"][("a", "unknown")] == 1
    assert seen["warden_model_heartbeat_age_seconds"][("a",)] == STALE_NS / 1e9
    assert seen["warden_model_tokens_total"][("a",)] == 50
    for name in ("warden_model_footprint_bytes", "warden_model_tokens_per_second", "vllm:kv_cache_usage_perc"):
        assert ("a",) not in seen.get(name, {}) and ("a", "0") not in seen.get(name, {}), name


def test_of_a_silent_gateway_no_gauge(scene):
    scene.model(0)
    scene.write(GatewayWords, age_ns=STALE_NS)
    seen = scene.seen()
    assert "warden_requests_running" not in seen and "vllm:num_requests_running" not in seen
    assert seen["warden_requests_admitted_total"][("high",)] == 9
    assert seen["warden_heartbeat_age_seconds"][("gateway",)] == STALE_NS / 1e9


def test_of_a_silent_control_no_gauge(scene):
    scene.model(0)
    scene.write(ControlWords, age_ns=STALE_NS)
    seen = scene.seen()
    assert seen["warden_control_up"] == {(): 0} and "warden_supervisord_up" not in seen
    assert "warden_memory_used_ratio" not in seen and "warden_model_share_bytes" not in seen
    assert seen["warden_model_loads_total"][("a",)] == 3 and seen["vllm:num_requests_running"][("a", "0")] == 2


def test_supervisord_that_does_not_answer(scene):
    assert scene.seen()["warden_supervisord_up"] == {(): 1}
    scene.write(ControlWords, supervisord_at_ns=scene.now_ns - 60 * 10**9)
    assert scene.seen()["warden_supervisord_up"] == {(): 0}


def test_reserved_models_share_one_name(scene):
    scene.model(1)
    scene.model(2)
    seen = scene.seen()
    assert seen["warden_model_share_bytes"][(RESERVED,)] == 80 * MIB
    assert seen["warden_model_state"][(RESERVED, "ready")] == 2
    assert seen["vllm:kv_cache_usage_perc"][(RESERVED, "0")] == 0.25
    assert seen["warden_model_oldest_wait_seconds"][(RESERVED,)] == 4.0
    assert all("b" not in labels and "c" not in labels for values in seen.values() for labels in values)


def test_a_relay_and_its_breaker(scene):
    scene.write(RowControl, 3, incarnation=1, phase=Phase.ALIVE, pid=12, starts=2)
    scene.write(RowWorker, 3, incarnation=1, phase=Phase.READY, breaker=Breaker.CLOSED)
    seen = scene.seen()
    assert seen["warden_relay_up"] == {("ollama",): 1} and seen["warden_relay_starts_total"] == {("ollama",): 2}
    scene.write(RowWorker, 3, breaker=Breaker.HALF_OPEN)
    seen = scene.seen()
    assert seen["warden_relay_up"] == {("ollama",): 0}
    assert seen["warden_relay_breaker"] == {("ollama", "closed"): 0, ("ollama", "open"): 0, ("ollama", "half_open"): 1}
    assert "warden_model_state" not in seen, "it is no model"


def test_what_nobody_has_measured_is_absent(scene):
    scene.write(ControlWords, pressure_read_at_ns=0, ceiling_bytes=0)
    seen = scene.seen()
    assert not {"warden_memory_used_ratio", "warden_memory_total_bytes", "warden_memory_budget_bytes",
                "warden_model_need_bytes", "warden_model_last_load_seconds"} & seen.keys()
