"""GET /metrics over a real socket: whatever is down, for whom, in which form, and with hostile names."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from control.table import ControlWords, GatewayWords, Table
from gateway import VERSION
from gateway.http.reserved import RESERVED
from gateway.http.metrics import OPENMETRICS, naming_of
from gateway.protocol import CallerInfo, Metrics, MetricsInfo, Result, WhoAmI, encode
from tests.support.fake_gateway import error
from tests.support.gateway_world import EPOCH, World, make_config, make_model
from tests.support.http_stack import TOML, HttpStack
from tests.support.lan import lan_address
from tests.support.scrape import read, total, value

HOSTILE = 'a"} 1\nwarden_up{x="\\n\\\u2028\u202eß'
SCRAPERS = 8


def told_of(*models) -> MetricsInfo:
    world = World(*models)
    return world.d.measures.info(world.d, world.d.config.models)


def result(request_id: str, told: object) -> Result:
    return Result(request_id, msgspec.Raw(encode(told)))


@pytest.fixture
def table(stack):
    table = stack.make_table()
    for kind in (ControlWords, GatewayWords):
        beat(table, kind)
    yield table
    table.close()
    stack.table_path.unlink()


def beat(table: Table, kind: type, **words: int) -> None:
    writer = table.writer(kind)
    writer.set(epoch=EPOCH, heartbeat_ns=time.monotonic_ns(), **words)
    writer.flush()


@pytest.fixture
def answering(gateway, table):
    gateway.on[Metrics] = lambda question: [result(question.id, told_of("tiny", "other"))]
    return gateway


def test_what_table_and_gateway_say(http, answering):
    response = http.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    found = read(response.text)
    assert value(found, "warden_build_info", version=VERSION) == 1
    assert value(found, "warden_gateway_up") == value(found, "warden_control_up") == 1
    assert total(found, "vllm:request_success_total", model_name="tiny", engine="0") == 0
    assert value(found, "warden_process_start_time_seconds", process="http") <= time.time()


def test_a_head_is_answered_without_a_body(http, answering):
    assert http.head("/metrics").status_code == 200


def test_without_a_table_nobody_is_asked(stack, http, gateway):
    found = read(http.get("/metrics").text)
    assert (value(found, "warden_table_up"), value(found, "warden_gateway_up")) == (0, 0)
    assert value(found, "warden_build_info") == 1 and not gateway.all(Metrics)


@pytest.mark.parametrize("script", [lambda _: [], lambda question: [error(question.id, "internal")]])
def test_a_gateway_that_does_not_answer_is_down_and_the_table_is_said(http, gateway, table, monkeypatch, script):
    monkeypatch.setattr("gateway.http.metrics.GATEWAY_WITHIN_S", 0.05)
    gateway.on[Metrics] = script
    found = read(http.get("/metrics").text)
    assert value(found, "warden_gateway_up") == 0 and value(found, "warden_control_up") == 1
    assert "warden_requests_ended_total" not in found and total(found, "warden_requests_queued") == 0
    gateway.on[Metrics] = lambda question: [result(question.id, told_of("tiny"))]
    assert value(read(http.get("/metrics").text), "warden_gateway_up") == 1


def test_what_a_gateway_that_is_gone_has_written_is_not_said_of_the_new_one(http, answering, table):
    beat(table, GatewayWords, admitted_high=7)
    assert total(read(http.get("/metrics").text), "warden_requests_admitted_total") == 7
    answering.on[Metrics] = lambda question: [
        result(question.id, msgspec.structs.replace(told_of("tiny"), epoch=EPOCH + 1))]
    found = read(http.get("/metrics").text)
    assert value(found, "warden_gateway_up") == 1 and "warden_requests_admitted_total" not in found


def test_openmetrics_for_who_asks_for_it(http, answering):
    accept = f"{OPENMETRICS};version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    response = http.get("/metrics", headers={"accept": accept})
    assert response.headers["content-type"].startswith(f"{OPENMETRICS}; version=1.0.0")
    open_names = {sample.name for family in read_openmetrics(response.text) for sample in family.samples}
    assert response.text.endswith("# EOF\n") and open_names == read(http.get("/metrics").text).keys()
    for hostile in (f"{OPENMETRICS};version=9x;escaping=\"", "text/plain;version=nonsense", "*/*;q=\""):
        assert http.get("/metrics", headers={"accept": hostile}).status_code == 200


def test_scrapes_that_come_together_cost_one_question(http, gateway, table):
    gateway.on[Metrics] = lambda _: []
    with ThreadPoolExecutor(SCRAPERS) as pool:
        scrapes = [pool.submit(http.get, "/metrics") for _ in range(SCRAPERS)]
        statuses = {scrape.result().status_code for scrape in scrapes}
    assert statuses == {200} and len(gateway.all(Metrics)) < SCRAPERS


def test_no_name_can_become_a_line_or_a_label_of_its_own(http, gateway, table):
    gateway.on[Metrics] = lambda question: [result(question.id, told_of(make_model("x", name=HOSTILE)))]
    found = read(http.get("/metrics").text)
    assert value(found, "vllm:generation_tokens_total", model_name=HOSTILE, engine="0") == 0
    response = http.get("/metrics", headers={"accept": OPENMETRICS})
    assert any(sample.labels.get("model_name") == HOSTILE
               for family in read_openmetrics(response.text) for sample in family.samples)


def test_names_are_the_newest_known_and_those_for_agents_nobodys():
    config = make_config("a", make_model("b", audience="agents"))
    naming = naming_of(config, {})
    assert [naming(slug) for slug in ("a", "b", "pulled")] == ["a", RESERVED, "pulled"]
    naming = naming_of(config, {"pulled": ("org/Pulled", "all"), "a": ("a", "agents")})
    assert [naming(slug) for slug in ("a", "pulled")] == [RESERVED, "org/Pulled"]


def test_answers_are_counted_by_the_route_as_it_is_declared(http):
    before = read(http.get("/metrics").text)
    http.get("/v1/models/one-that-nobody-has")
    http.get("/nothing/here")
    http.request("PUT", "/health")
    http.get("/health", headers={"host": "evil.example"})
    after = read(http.get("/metrics").text)

    def grown(**labels: str) -> float:
        name = "warden_http_requests_total"
        return total(after, name, **labels) - total(before, name, **labels)

    assert grown(route="/v1/models/{name:path}", method="GET", status="404") == 1
    assert grown(route="none", status="404") == 1 and grown(route="none", status="403") == 1
    assert grown(route="/health", method="other", status="405") == 1
    assert grown(route="/metrics", status="200") == 1


REACHABLE = TOML.replace("[server]", '[server]\nhost = "0.0.0.0"')


def test_whoever_is_elsewhere_needs_a_key_for_all_models(tmp_path):
    address = lan_address()
    if not address:
        pytest.skip("this machine has no address but those of the loopback")
    with HttpStack(tmp_path, REACHABLE) as stack:
        url, headers = f"http://{address}:{stack.port}/metrics", {"authorization": "Bearer abc"}
        refused = httpx.get(url)
        assert refused.status_code == 401 and "an API key is needed" in refused.json()["error"]
        for models, status in ((["tiny"], 403), ([], 200)):
            who = CallerInfo("ann", "person", "high", models, 0, 60.0, 0)
            stack.gateway.on[WhoAmI] = lambda question, who=who: [result(question.id, who)]
            assert httpx.get(url, headers=headers).status_code == status
        assert stack.client.get("/metrics").status_code == 200, "here nobody needs one"
