"""GET /dashboard/events over a real socket: what comes, who may see it, and how it ends."""

import json
import time
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from control.table import ControlWords, GatewayWords
from gateway.protocol import CallerInfo, Result, WhoAmI, encode
from tests.support.fake_gateway import error
from tests.support.http_stack import TOML, HttpStack
from tests.support.lan import lan_address

REACHABLE = TOML.replace("[server]", '[server]\nhost = "0.0.0.0"')
PATH = "/dashboard/events"


@pytest.fixture(scope="module")
def open_stack(tmp_path_factory) -> Iterator[HttpStack]:
    """One that other machines can reach, so that they need a key."""
    if not lan_address():
        pytest.skip("this machine has no address but those of the loopback")
    with HttpStack(tmp_path_factory.mktemp("o"), REACHABLE) as stack:
        yield stack


@pytest.fixture
def elsewhere(open_stack) -> Iterator[httpx.Client]:
    open_stack.reset()
    with httpx.Client(base_url=f"http://{lan_address()}:{open_stack.port}", timeout=10) as client:
        yield client


def events_of(response: httpx.Response) -> Iterator[dict]:
    return (json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: "))


def is_known_as(stack: HttpStack, *models: str) -> None:
    who = CallerInfo("ann", "person", "high", list(models), 0, 60.0, 0)
    stack.gateway.on[WhoAmI] = lambda asked: [Result(asked.id, msgspec.Raw(encode(who)))]


def test_first_the_hour_then_a_reading_each_second(stack, http):
    table = stack.make_table()
    try:
        with http.stream("GET", PATH) as response:
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert response.headers["cache-control"] == "no-store"
            events = events_of(response)
            first = next(events)
            assert first["history"]["short"] and first["limits"]["max_queued"] and first["models"] == []
            assert any("gateway is silent" in remark for remark in first["remarks"])
            for kind in (ControlWords, GatewayWords):
                writer = table.writer(kind)
                writer.set(epoch=1, heartbeat_ns=time.monotonic_ns())
                writer.flush()
            event = next(event for event in events if event["queue"] is not None)
            assert "history" not in event and event["remarks"] == [] and len(event["sample"]) == len(
                first["history"]["names"])
    finally:
        table.close()
        stack.table_path.unlink()
    assert stack.notes == [], "that a page is closed is no failure"


def test_a_table_that_is_gone_is_said_and_found_again(stack, http):
    with http.stream("GET", PATH) as response:
        events = events_of(response)
        first = next(events)
        assert first["models"] is None and "there is no table" in first["remarks"][0]
        table = stack.make_table()
        try:
            assert next(event for event in events if event["models"] is not None)["models"] == []
        finally:
            table.close()
            stack.table_path.unlink()


def test_its_head_has_an_end(http):
    response = http.head(PATH)
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")


def test_it_never_asks_the_gateway_about_who_is_here(stack, http, gateway):
    with http.stream("GET", PATH, headers={"authorization": "Bearer nobody"}) as response:
        assert next(events_of(response))
    assert not gateway.all(WhoAmI)


# -- from other machines -------------------------------------------------------------------------------------------


def test_without_a_key_it_says_that_one_is_needed(elsewhere, open_stack):
    response = elsewhere.get(PATH)
    assert response.status_code == 401 and "an API key is needed" in response.json()["error"]
    assert not open_stack.gateway.all(WhoAmI)


def test_a_key_that_the_gateway_knows_opens_it(elsewhere, open_stack):
    is_known_as(open_stack)
    with elsewhere.stream("GET", PATH, headers={"authorization": "Bearer warden-ann"}) as response:
        assert next(events_of(response))["history"]
    assert open_stack.gateway.wait_for(WhoAmI).key == "warden-ann"


def test_a_key_that_nobody_knows_does_not(elsewhere, open_stack):
    open_stack.gateway.on[WhoAmI] = lambda asked: [error(asked.id, "unauthorized", "this key is not known here")]
    response = elsewhere.get(PATH, headers={"x-api-key": "warden-made-up"})
    assert (response.status_code, response.json()) == (401, {"error": "this key is not known here"})


def test_a_key_for_some_models_does_not_show_all_of_them(elsewhere, open_stack):
    is_known_as(open_stack, "tiny")
    response = elsewhere.get(PATH, headers={"x-api-key": "warden-ann"})
    assert response.status_code == 403 and "1 model(s) only" in response.json()["error"]


def test_while_the_gateway_is_silent_no_key_can_be_told_from_another(elsewhere, open_stack, monkeypatch):
    monkeypatch.setattr("gateway.http.dashboard_api.WHO_WITHIN_S", 0.2)
    open_stack.gateway.on[WhoAmI] = lambda _: []
    response = elsewhere.get(PATH, headers={"x-api-key": "warden-ann"})
    assert response.status_code == 503 and "only it can tell whose this key is" in response.json()["error"]


def test_a_stream_that_a_key_opened_ends_so_that_the_key_is_looked_at_again(elsewhere, open_stack, monkeypatch):
    monkeypatch.setattr("gateway.http.dashboard_api.KEY_LASTS_S", 0.1)
    is_known_as(open_stack)
    with elsewhere.stream("GET", PATH, headers={"x-api-key": "warden-ann"}) as response:
        assert all("at_s" in event for event in events_of(response)), "until it ends"
