"""Health and queue numbers from snapshots, with a hand-moved clock."""

import pytest

from control.states import Breaker, Phase
from control.table import FOREVER, ControlWords, GatewayWords, Row, RowControl, RowGateway, RowWorker, Snapshot
from gateway.http.health import make_health, make_queue_stats, why_not_ready
from tests.support.http_stack import TOML, make_config

S = 1_000_000_000
NOW_NS = 1_000 * S
WALL_S = 1_700_000_000.0
GIB = 1024**3
READ = {"pressure_permille": 750, "pressure_read_at_ns": NOW_NS, "available_bytes": 4 * GIB, "total_bytes": 16 * GIB,
        "ceiling_bytes": 12 * GIB, "reserved_bytes": 2 * GIB}


def words(kind: type, **given: int):
    return kind(**(dict.fromkeys(kind._fields, 0) | given))


def row(index: int = 0, name: str = "tiny", control: Phase = Phase.ALIVE, worker: Phase = Phase.READY,
        reason: str = "as control says", **given) -> Row:
    return Row(index, name,
               words(RowControl, incarnation=1, phase=control, pid=4711, share_bytes=GIB, pinned=1,
                     keep_until_ns=NOW_NS + 90 * S),
               words(RowGateway, epoch=5, incarnation=1, use_count=9, last_dispatch_ns=NOW_NS - 60 * S,
                     **given.pop("gateway", {})),
               words(RowWorker, **{"incarnation": 1, "phase": worker, "heartbeat_ns": NOW_NS, "footprint_bytes": 123,
                                   "load_ms": 1500} | given), reason)


def snapshot(*rows: Row, **given) -> Snapshot:
    control = words(ControlWords, epoch=1, heartbeat_ns=NOW_NS - S, **READ | given.pop("control", {}))
    gateway = words(GatewayWords, **({"epoch": 5, "heartbeat_ns": NOW_NS - S} | given.pop("gateway", {})))
    return Snapshot(7, control, gateway, rows, given.pop("warning", ""))


@pytest.fixture
def health(tmp_path):
    config = make_config(tmp_path)
    return lambda table: make_health(table, config, "0.1.0", now_ns=NOW_NS, wall_s=WALL_S)


def test_all_fields_of_a_healthy_stack(health):
    found = health(snapshot(row(gateway={"dispatched": 9, "finished": 7}), row(1, "other", Phase.DOWN),
                            gateway={"running_high": 1, "running_low": 1}))
    entry = {"name": "tiny", "use_count": 9, "last_used": "2023-11-14T22:12:20+00:00", "load_time_seconds": 1.5,
             "active_requests": 2, "is_loading": False, "state": "ready", "memory_bytes": 123, "pid": 4711,
             "share_bytes": GIB, "pinned": True, "keep_until_seconds": 90.0, "reason": "as control says"}
    assert found == {
        "status": "healthy", "service": "mlx-warden", "version": "0.1.0", "total_models": 2, "models_cached": 1,
        "cached_models": [entry], "active_model_requests": {"tiny": 2}, "loading_models": [], "active_requests": 2,
        "max_concurrent": 5,
        "memory": {"used_percent": 75.0, "available_gb": 4.0, "total_gb": 16.0, "warning_threshold": 85,
                   "critical_threshold": 95, "emergency_threshold": 98, "budget_gb": 12.0, "reserved_gb": 2.0},
        "rate_limit": {"max_per_window": 500, "window_seconds": 90.0},
        "backends": {"mlx": {"healthy": True, "models": 2}}, "warnings": []}


MEASURED = ("used_percent", "available_gb", "total_gb", "budget_gb", "reserved_gb")


def test_what_is_not_known_is_null(health):
    found = health("no table")
    assert found["active_requests"] is None
    assert [found["memory"][name] for name in MEASURED] == [None] * 5
    silent = snapshot(control={"pressure_level": 2}, warning="old news")
    found = health(silent._replace(control=silent.control._replace(heartbeat_ns=NOW_NS - 4 * S)))
    assert [found["memory"][name] for name in MEASURED] == [None] * 5, "control's last words are no reading"
    assert not any("memory" in warning or "old news" in warning for warning in found["warnings"])
    unread = dict.fromkeys(READ, 0)
    assert [health(snapshot(control=unread))["memory"][name] for name in MEASURED] == [None] * 5


def test_keep_until_is_seconds_from_now_and_null_for_ever(health):
    def seconds(keep_until_ns: int) -> float | None:
        kept = row()
        kept = kept._replace(control=kept.control._replace(keep_until_ns=keep_until_ns))
        return health(snapshot(kept))["cached_models"][0]["keep_until_seconds"]

    assert [seconds(at) for at in (FOREVER, 0, NOW_NS - S, NOW_NS + 2 * S)] == [None, None, 0.0, 2.0]


def test_thresholds_are_those_of_the_configuration(tmp_path):
    config = make_config(tmp_path, "[memory]\nmemory_warning_percent = 60\nmemory_critical_percent = 70.5\n" + TOML)
    memory = make_health(snapshot(), config, "0.1.0", now_ns=NOW_NS, wall_s=WALL_S)["memory"]
    assert (memory["warning_threshold"], memory["critical_threshold"]) == (60, 70.5)


def test_loading_models_are_named(health):
    found = health(snapshot(row(worker=Phase.LOADING)))
    assert found["loading_models"] == ["tiny"] and found["cached_models"][0]["is_loading"]


def test_a_silent_worker_stays_listed_as_unknown_and_is_named(health):
    silent = row(gateway={"dispatched": 9, "finished": 7})
    silent = silent._replace(worker=silent.worker._replace(heartbeat_ns=NOW_NS - 4 * S))
    found = health(snapshot(silent))
    [entry] = found["cached_models"]
    assert (entry["state"], entry["active_requests"], entry["is_loading"], entry["memory_bytes"]) == (
        "unknown", 2, False, None)
    assert found["status"] == "warning" and found["warnings"] == ["tiny is silent: no heartbeat for 4 s"]
    gone = silent._replace(control=silent.control._replace(pid=0))
    assert health(snapshot(gone))["models_cached"] == 0, "without a process nobody holds anything"


def test_a_supervisord_that_does_not_answer_degrades_and_is_named(health):
    def at(age_s: int, control_age_s: int = 1) -> Snapshot:
        table = snapshot(control={"supervisord_at_ns": NOW_NS - age_s * S})
        return table._replace(control=table.control._replace(heartbeat_ns=NOW_NS - control_age_s * S))

    silent = "supervisord does not answer: nothing can be loaded; run `warden down`, then `warden up`"
    assert why_not_ready(at(12), NOW_NS) == [silent]
    found = health(at(12))
    assert found["status"] == "degraded" and found["warnings"] == [silent]
    assert why_not_ready(at(11), NOW_NS) == why_not_ready(at(1000), NOW_NS) == [], "fresh, or not yet known"
    [reason] = why_not_ready(at(20, control_age_s=4), NOW_NS)
    assert reason.startswith("control does not answer"), "a silent control says nothing about supervisord"


@pytest.mark.parametrize(("table", "named"), [
    ("/x/table: there is no table; start the stack with `warden up`", "there is no table"),
    (Snapshot(7, None, None, ()), "gateway does not answer"),
    (snapshot(gateway={"heartbeat_ns": NOW_NS - 3 * S}), "gateway does not answer"),
    (snapshot(gateway={"heartbeat_ns": NOW_NS + 3 * S}), "gateway does not answer"),
    (snapshot()._replace(control=None), "control does not answer"),
])
def test_what_is_missing_degrades_and_is_named(health, table, named):
    found = health(table)
    assert found["status"] == "degraded" and any(named in warning for warning in found["warnings"])
    assert why_not_ready(table, NOW_NS) and not found["backends"]["mlx"]["healthy"]


def test_ready_is_both_heartbeats_fresh():
    assert why_not_ready(snapshot(), NOW_NS) == []


@pytest.mark.parametrize(("level", "status"), [(0, "healthy"), (1, "warning"), (2, "critical"), (3, "critical")])
def test_pressure_is_judged_by_control_and_by_nobody_else(health, level, status):
    found = health(snapshot(control={"pressure_permille": 962, "pressure_level": level}))
    assert found["status"] == status and found["memory"]["used_percent"] == 96.2
    assert found["warnings"] == (["memory is at 96.2 %"] if level else [])


def test_what_control_warns_of_stands_among_the_warnings(health):
    text = "memory is at 96.2 % and nothing can go: tiny answers 2 requests"
    found = health(snapshot(row(), warning=text))
    assert (found["status"], found["warnings"]) == ("warning", [text])
    pressed = {"pressure_permille": 962, "pressure_level": 2}
    assert health(snapshot(control=pressed, warning=text))["warnings"] == [text], "the percentage is said once"
    other = "4.0 GiB did not come back"
    assert health(snapshot(control=pressed, warning=other))["warnings"] == ["memory is at 96.2 %", other]


@pytest.mark.parametrize("phase", [Phase.BACKOFF, Phase.QUARANTINED, Phase.LEAK_SUSPECTED])
def test_a_model_in_trouble_is_a_warning_with_the_reason(health, phase):
    found = health(snapshot(row(), row(1, "other", phase)))
    assert found["status"] == "warning" and found["warnings"] == [f"other is {phase.name.lower()}: as control says"]
    quiet = health(snapshot(row(1, "other", phase)._replace(reason="")))
    assert quiet["warnings"] == [f"other is {phase.name.lower()}"]


RELAYS = '[relays]\nollama_url = "http://10.0.0.7:11434"\nvictoria_url = "http://127.0.0.1:8010"\n'


def relay(name: str, **given) -> Row:
    return row(5, name, **given)


@pytest.mark.parametrize(("ollama", "state", "reason"), [
    (relay("relay-ollama"), "ready", ""),
    (relay("relay-ollama", breaker=Breaker.OPEN), "down", "its server does not answer"),
    (relay("relay-ollama", breaker=Breaker.HALF_OPEN), "down", "its server does not answer"),
    (relay("relay-ollama", worker=Phase.LOADING), "starting", "as control says"),
    (relay("relay-ollama", worker=Phase.EMPTY), "starting", "as control says"),
    (relay("relay-ollama", control=Phase.STARTING), "starting", "as control says"),
    (relay("relay-ollama", control=Phase.DOWN), "stopped", "as control says"),
    (relay("relay-ollama", worker=Phase.DRAINING), "stopped", "as control says"),
    (relay("relay-ollama", heartbeat_ns=NOW_NS - 4 * S), "down", "its process does not answer"),
    (None, "starting", "it has no row yet"),
])
def test_relays_are_backends_and_no_models(tmp_path, ollama, state, reason):
    config = make_config(tmp_path, RELAYS + TOML)
    rows = [row(), relay("relay-victoria"), *([ollama] if ollama else [])]
    found = make_health(snapshot(*rows), config, "0.1.0", now_ns=NOW_NS, wall_s=WALL_S)
    assert found["backends"] == {"mlx": {"healthy": True, "models": 2},
                                 "ollama": {"healthy": state == "ready", "state": state, "reason": reason},
                                 "victoria": {"healthy": True, "state": "ready", "reason": ""}}
    assert found["models_cached"] == 1 and found["active_model_requests"].keys() == {"tiny"}
    assert any("ollama does not answer" in warning for warning in found["warnings"]) == (state != "ready")
    assert "10.0.0.7" not in str(found), "monitors need no key, so they get no addresses"


FOR_AGENTS = TOML + """
[models.helper]
engine = "echo"
audience = "agents"
aliases = ["org/Small-Helper:1b"]
[models.helper-for-people]
engine = "echo"
"""


def test_models_for_agents_are_named_to_nobody_and_count_as_work(tmp_path):
    config = make_config(tmp_path, FOR_AGENTS)
    silent = row(3, "helper", gateway={"dispatched": 3})
    silent = silent._replace(worker=silent.worker._replace(heartbeat_ns=NOW_NS - 4 * S))
    for hidden in (row(3, "helper", gateway={"dispatched": 3}), row(3, "helper", worker=Phase.LOADING), silent,
                   row(3, "helper", Phase.QUARANTINED)._replace(reason="cannot read /x/small-helper")):
        shown = row(reason="the Helper needs room; org/small-helper:1b and helper-for-people stay")
        table = snapshot(shown, hidden, gateway={"running_low": 3}, warning="nothing can go: helper (3 requests), tiny")
        found = make_health(table, config, "0.1.0", now_ns=NOW_NS, wall_s=WALL_S)
        assert "helper" not in str(found).lower().replace("helper-for-people", ""), found
        assert (found["total_models"], found["models_cached"], found["active_requests"]) == (3, 1, 3)
        assert found["backends"]["mlx"]["models"] == 3 and found["active_model_requests"].keys() == {"tiny"}
        assert found["memory"]["reserved_gb"] == 2.0 and not found["loading_models"]
        reserved, [entry] = "a model reserved for agents", found["cached_models"]
        assert entry["reason"] == f"the {reserved} needs room; {reserved} and helper-for-people stay"
        assert found["warnings"][0] == f"nothing can go: {reserved} (3 requests), tiny"
    assert f"{reserved} is quarantined" in found["warnings"]


def test_a_rate_that_is_not_limited_is_null(tmp_path):
    config = make_config(tmp_path, "[limits]\nrate_limit_max = 0\nrate_limit_window_s = 30\n" + TOML)
    found = make_health(snapshot(), config, "0.1.0", now_ns=NOW_NS, wall_s=WALL_S)
    assert found["rate_limit"] == {"max_per_window": None, "window_seconds": 30.0}


def test_queue_stats(tmp_path):
    gateway = words(GatewayWords, epoch=5, heartbeat_ns=NOW_NS, running_medium=4, running_high=1, queued_low=3,
                    admitted_high=10, admitted_medium=20, admitted_low=30, finished=40, expired=1, rejected=2,
                    displaced=3, failed=4, cancelled=5)
    rows = (row(gateway={"oldest_wait_since_ns": NOW_NS - 1 * S, "oldest_any_since_ns": NOW_NS - 2 * S}),
            row(1, "other", gateway={"oldest_any_since_ns": NOW_NS - 9 * S})._replace(
                gateway=words(RowGateway, epoch=4, oldest_any_since_ns=NOW_NS - 9 * S)))
    assert make_queue_stats(gateway, rows, make_config(tmp_path), now_ns=NOW_NS) == {
        "active_requests": 5, "max_concurrent": 5, "queue_size": 3, "max_queue_size": 50, "is_processing": True,
        "stats": {"total_queued": 60, "total_processed": 40, "total_expired": 1, "total_rejected": 5,
                  "total_failed": 4, "total_cancelled": 5, "by_priority": {"HIGH": 10, "MEDIUM": 20, "LOW": 30}},
        "in_flight_by_priority": {"HIGH": 1, "MEDIUM": 4, "LOW": 0},
        "queued_by_priority": {"HIGH": 0, "MEDIUM": 0, "LOW": 3},
        "oldest_wait_seconds": 2.0, "stale": False}
    later = make_queue_stats(gateway, (), make_config(tmp_path), now_ns=NOW_NS + 3 * S)
    assert later["stale"] and later["oldest_wait_seconds"] == 0
