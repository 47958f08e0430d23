"""Operations endpoints over a real socket: true while the gateway is down, and about the table that stands now."""

import time

import httpx
import pytest

from control.table import ControlWords, GatewayWords
from gateway import VERSION
from gateway.protocol import ListModels
from tests.support.http_stack import TOML, HttpStack
from tests.support.lan import lan_address


@pytest.fixture
def table(stack):
    table = stack.make_table()
    yield table
    table.close()
    stack.table_path.unlink()


def beat(table, kind: type, **words: int) -> None:
    writer = table.writer(kind)
    writer.set(epoch=1, heartbeat_ns=time.monotonic_ns(), **words)
    writer.flush()


def test_root_for_clients_and_for_people(http):
    response = http.get("/")
    assert response.text.startswith("Ollama is running") and "mlx-warden" in response.text
    response = http.get("/", headers={"accept": "text/html,application/xhtml+xml"})
    assert response.headers["content-type"].startswith("text/html") and "<h2" in response.text
    assert response.headers["vary"] == "accept", "nobody keeps the one for the other"
    assert http.head("/").status_code == 200


def test_alive_means_only_that_we_answer(http):
    assert http.get("/livez").json() == {"status": "alive"}


def test_without_a_table_nothing_is_ready_and_health_says_why(http):
    response = http.get("/readyz")
    assert response.status_code == 503 and "there is no table" in response.json()["reasons"][0]
    health = http.get("/health")
    assert health.status_code == 200 and health.json()["status"] == "degraded"
    response = http.get("/queue/stats")
    assert response.status_code == 503 and "there is no table" in response.json()["error"]


def test_ready_as_soon_as_both_write_heartbeats(http, table):
    beat(table, ControlWords)
    response = http.get("/readyz")
    assert response.status_code == 503 and "gateway does not answer" in response.json()["reasons"][0]
    assert "has not written" in http.get("/queue/stats").json()["error"]
    beat(table, GatewayWords, running_high=1, admitted_high=4)
    assert http.get("/readyz").json() == {"status": "ready", "reasons": []}
    assert http.get("/health").json()["status"] == "healthy"
    stats = http.get("/queue/stats").json()
    assert stats["active_requests"] == 1 and stats["stats"]["by_priority"]["HIGH"] == 4


def test_a_table_made_anew_is_followed(stack, http, table):
    beat(table, ControlWords)
    beat(table, GatewayWords, finished=1)
    assert http.get("/queue/stats").json()["stats"]["total_processed"] == 1
    new = stack.make_table(boot_id=8)
    beat(new, ControlWords)
    beat(new, GatewayWords, finished=2)
    assert http.get("/queue/stats").json()["stats"]["total_processed"] == 2
    new.close()


def test_operations_never_ask_the_gateway(stack, http, gateway, table):
    gateway.kill()
    try:
        assert http.get("/health").status_code == 200
        assert http.get("/livez").status_code == 200
        assert http.get("/readyz").status_code == 503
    finally:
        gateway.revive(gateway.epoch + 1)


# -- from other machines -------------------------------------------------------------------------------------------


REACHABLE = TOML.replace("[server]", '[server]\nhost = "0.0.0.0"') + '[relays]\nvictoria_url = "http://127.0.0.1:9"\n'


def test_whoever_is_elsewhere_reads_how_we_are_and_no_more(tmp_path):
    address = lan_address()
    if not address:
        pytest.skip("this machine has no address but those of the loopback")
    with HttpStack(tmp_path, REACHABLE) as stack:
        elsewhere = f"http://{address}:{stack.port}"
        for headers in ({}, {"authorization": "Bearer abc"}):
            for path in ("/health", "/queue/stats"):
                assert httpx.get(elsewhere + path, headers=headers).json() == {
                    "status": "degraded", "service": "mlx-warden", "version": VERSION}
            assert httpx.get(f"{elsewhere}/status", headers=headers).json() == {
                "status": "degraded", "service": "mlx-warden", "version": VERSION,
                "backends": {"mlx": {"healthy": False}, "victoria": {"healthy": False}}}
        assert httpx.get(f"{elsewhere}/livez").json() == stack.client.get("/livez").json()
        assert httpx.get(f"{elsewhere}/readyz").json() == stack.client.get("/readyz").json()
        assert "memory" in stack.client.get("/health").json(), "here everything can be read"
        assert "reason" in stack.client.get("/status").json()["backends"]["mlx"]
        assert not stack.gateway.all(ListModels)
