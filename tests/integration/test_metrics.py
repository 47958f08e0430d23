"""/metrics of a whole stack: every rule of the format, every metric of the list, and numbers that callers saw too."""

import urllib.request

import pytest

from gateway.http.metrics_families import FAMILIES
from gateway.inbox import GatewayError
from tests.support.live_stack import LiveStack
from tests.support.scrape import Samples, exported_names, fallen, read, total, value
from tests.support.stack_fixtures import shared_stack
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

PROMETHEUS = ("application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
              "text/plain;version=0.0.4;q=0.3,*/*;q=0.2")  # what it asks for
WITHIN_S = 10.0
ANSWERS, TOKENS = 5, 4
MODEL = "org/A"
ONLY_WHILE_LOADING = {"warden_model_load_progress_ratio"}
shared = shared_stack("""
[control]
prewarm = 0
[limits]
max_running = 1
max_queued = 2
[relays]
ollama_url = "http://127.0.0.1:9"
[models."org/A"]
engine = "echo"
[models.hidden-one]
engine = "echo"
audience = "agents"
""")


def scrape(stack: LiveStack, accept: str = "text/plain") -> str:
    request = urllib.request.Request(f"{stack.url}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        assert answer.status == 200
        return answer.read().decode()


def seen(stack: LiveStack) -> Samples:
    return read(scrape(stack))


def test_everything_in_the_list_is_exported_with_its_labels(shared):
    shared.load(MODEL)
    wait_until("a relay that was tried", lambda: "warden_relay_breaker" in seen(shared))
    found, names = seen(shared), exported_names()
    assert found.keys() == names.keys() - ONLY_WHILE_LOADING
    for name, values in found.items():
        for labels in values:
            assert {label for label, _ in labels} == names[name], name
    assert value(found, "warden_relay_up", relay="ollama") == 0
    assert {name for name, family in FAMILIES.items() if family.kind == "histogram"} >= {
        "vllm:time_to_first_token_seconds", "warden_request_wait_seconds"}


def test_prometheus_gets_the_same_names_in_its_own_form(shared):
    text = scrape(shared, PROMETHEUS)
    assert text.endswith("# EOF\n") and "\nvllm:time_to_first_token_seconds_bucket{" in text and "vllm_" not in text


def test_the_numbers_are_those_that_callers_saw(shared):
    with shared.client() as client:
        before = seen(shared)
        done = [list(client.generate(model=MODEL, prompt=f"#tokens={TOKENS}", priority="high"))[-1]
                for _ in range(ANSWERS)]
        for event in client.generate(model=MODEL, prompt="#tokens=100000"):
            if type(event).__name__ == "Tokens":
                break  # leaving cancels
        for request in ({"model": "nope"}, {"model": "hidden-one"}):
            with pytest.raises(GatewayError):
                list(client.generate(prompt="hello", **request))

        def grown(name: str, **labels: str) -> float:
            return total(after, name, **labels) - total(before, name, **labels)

        after = wait_until("the cancel to be counted", lambda: (
            now if total(now := seen(shared), "warden_requests_ended_total", reason="cancelled") else None))
    ours = {"model_name": MODEL, "engine": "0"}
    assert not list(fallen(before, after))
    assert grown("warden_requests_admitted_total", class_="high") == ANSWERS
    assert grown("warden_requests_admitted_total") == ANSWERS + 1 == grown("warden_requests_ended_total")
    assert grown("warden_request_wait_seconds_count", class_="high") == ANSWERS
    assert grown("warden_refusals_total", asked="answer") == 2 == (
        grown("warden_refusals_total", code="model_not_found") + grown("warden_refusals_total", code="model_reserved"))
    assert grown("vllm:prompt_tokens_total", **ours) >= sum(each.usage.prompt_tokens for each in done)
    assert grown("vllm:request_generation_tokens_sum", **ours) == sum(each.usage.completion_tokens for each in done)
    assert grown("vllm:generation_tokens_total", **ours) > ANSWERS * TOKENS
    assert grown("vllm:inter_token_latency_seconds_count", **ours) == ANSWERS * (TOKENS - 1)
    assert grown("vllm:time_to_first_token_seconds_count", **ours) == ANSWERS + 1
    assert grown("vllm:request_success_total", finished_reason="abort", **ours) == 1
    assert grown("vllm:e2e_request_latency_seconds_sum", **ours) == pytest.approx(
        sum(each.timings.total_ms for each in done) / 1000)
    assert grown("warden_http_requests_total", route="/metrics", status="200") >= 1


def test_a_model_for_agents_has_no_name(shared):
    assert "hidden-one" not in scrape(shared) and "a model reserved for agents" in scrape(shared)


def test_evictions_and_refusals_to_evict(shared):
    shared.load(MODEL)
    before = seen(shared)
    with shared.client() as client, shared.client() as operator:
        answer = client.generate(model=MODEL, prompt="#tokens=100000")
        while type(next(answer)).__name__ != "Tokens":
            pass
        with pytest.raises(GatewayError, match="model_busy|not evicted|answer"):
            operator.evict(MODEL)
        answer.close()
        wait_until("the answer to end", lambda: total(seen(shared), "warden_requests_running") == 0)
        operator.evict(MODEL)
    evictions = total(before, "warden_evictions_total")
    after = wait_until("the eviction to be counted", lambda: (
        now if total(now := seen(shared), "warden_evictions_total") > evictions else None))
    assert total(after, "warden_eviction_refusals_total") == total(before, "warden_eviction_refusals_total") + 1
    assert value(after, "warden_model_evictions_total", model=MODEL) == 1
    assert total(after, "warden_jobs_lost_to_eviction_total") == 0
    assert value(after, "warden_model_state", model=MODEL, state="ready") == 0


def test_while_the_gateway_stands_still_the_table_is_told(shared):
    with shared.frozen("gateway"):
        found = seen(shared)
        assert value(found, "warden_gateway_up") == 0 and value(found, "warden_control_up") == 1
        assert "vllm:prompt_tokens_total" not in found and "warden_evictions_total" in found
    wait_until("the gateway to answer", lambda: value(seen(shared), "warden_gateway_up") == 1)


def test_a_new_gateway_counts_from_nothing_and_control_goes_on(shared):
    loads = total(seen(shared), "warden_model_loads_total")
    shared.kill("gateway")
    found = wait_until("a new gateway", lambda: (
        now if value(now := seen(shared), "warden_gateway_up") and not total(now, "warden_requests_ended_total")
        else None))
    assert total(found, "warden_requests_admitted_total") == 0 and total(found, "warden_model_loads_total") == loads
