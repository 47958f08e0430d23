"""When a model is loaded, how long it stays, and what ends it: each rule on a real stack, as its callers see it."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from control.states import Phase
from gateway.client import GatewayError
from tests.support.live_stack import LiveStack
from tests.support.stack_fixtures import echo_settings, shared_stack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Transcript

pytestmark = pytest.mark.integration

CAP_S = 2
SETTINGS = echo_settings("a", "b", "slow", "crashing", memory=f'keep_alive_max = "{CAP_S}s"\n') + """
[models.short]
engine = "echo"
keep_alive = "1s"
[models.kept]
engine = "echo"
pinned = true
[models.slow.echo]
load_s = 2
[models.crashing.echo]
crash_in_load = true
"""

PRELOADED = """
[control]
prewarm = 0
[models.asked]
engine = "echo"
""" + "".join(f"""
[models.{name}]
engine = "echo"
preload = true
[models.{name}.echo]
load_s = 0.2
""" for name in ("second", "first", "third"))


life = shared_stack(SETTINGS)  # each test loads what it needs, and leaves memory as it should be


def idle_s_at_eviction(stack: LiveStack, slug: str) -> float:
    """How long the model had been idle when it was last evicted, and that its keep-alive was the reason."""
    evicted = wait_until("its eviction", lambda: stack.journal("evicted", model=slug))[-1]
    assert "keep-alive over" in evicted["reason"]
    return evicted["idle_ms"] / 1000


# -- coming --------------------------------------------------------------------------------------------------


def test_models_are_preloaded_in_order_and_only_while_memory_is_free(make_stack):
    stack = make_stack(PRELOADED)
    stack.press(0.75)
    stack.up().load("asked")  # which anybody may have at 75 %
    assert {stack.phase(slug) for slug in ("first", "second", "third")} == {Phase.DOWN}
    stack.press(0.3)
    for slug in ("first", "second", "third"):
        stack.wait_phase(slug, Phase.READY)
    assert [line["model"] for line in stack.wait_journal("loaded", 4)] == ["asked", "second", "first", "third"]
    assert stack.journal("load", model="first")[0]["reason"] == "wanted by preload"


def test_callers_who_want_the_same_model_share_one_load(life):
    def ask_zeromq(number: int) -> bool:
        return bool(Transcript(life, "slow", f"#tokens={number + 1}").check_whole(number + 1))

    def load_zeromq(_: int) -> bool:
        with life.client() as client:
            return client.load("slow").load_progress == 1

    def ask_http(_: int) -> bool:
        status, body = life.post("/api/generate", {"model": "slow", "prompt": "#tokens=2", "stream": False})
        return (status, body["response"]) == (200, "t0 t1")

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, n) for n, ask in enumerate((ask_zeromq, load_zeromq, ask_http) * 2)]
        assert all(each.result(60) for each in asked)
    row = life.row("slow")
    assert (life.starts_of("slow"), row.control.starts, row.control.loads) == (1, 1, 1)


# -- staying -------------------------------------------------------------------------------------------------


def test_a_model_goes_when_its_own_keep_alive_is_over(life):
    Transcript(life, "short", "#tokens=5").check_whole(5)
    life.wait_phase("short", Phase.DOWN)
    assert idle_s_at_eviction(life, "short") >= 1


def test_a_request_may_ask_for_another_keep_alive_and_the_newest_decides(life):
    Transcript(life, "a", "#tokens=5", keep_alive_s=0.0).check_whole(5)
    Transcript(life, "a", "#tokens=5", keep_alive_s=1.5).check_whole(5)
    life.wait_phase("a", Phase.DOWN)
    assert idle_s_at_eviction(life, "a") >= 1.5


def test_no_request_may_ask_for_more_than_the_cap(life):
    Transcript(life, "b", "#tokens=5", keep_alive_s=-1.0).check_whole(5)
    life.wait_phase("b", Phase.DOWN)  # for ever was asked for
    assert idle_s_at_eviction(life, "b") >= CAP_S


def test_keep_alive_0_in_the_ollama_dialect_unloads_the_model_once_it_is_idle(life):
    other = Transcript(life, "a", "#tokens=100 #rate=50").wait_tokens()
    status, body = life.post("/api/generate", {"model": "a", "prompt": "#tokens=3", "keep_alive": 0, "stream": False})
    assert (status, body["response"]) == (200, "t0 t1 t2")
    other.check_whole(100)
    life.wait_phase("a", Phase.DOWN)

    life.load("a")
    status, body = life.post("/api/generate", {"model": "a", "keep_alive": 0})
    assert (status, body["done_reason"]) == (200, "unload")
    life.wait_phase("a", Phase.DOWN)


def test_a_pinned_model_stays_when_memory_is_critical(life):
    life.load("kept", "a")
    life.press(0.96)
    life.wait_phase("a", Phase.DOWN)
    try:
        wait_until("the warning", lambda: any(
            "kept (pinned)" in text for text in life.get("/health")[1]["warnings"]))
        assert life.phase("kept") is Phase.READY
        Transcript(life, "kept", "#tokens=5", priority="high").check_whole(5)
        assert life.phase("kept") is Phase.READY
    finally:
        life.calm()
    with life.client() as client, pytest.raises(GatewayError) as refused:
        client.unload("kept")
    assert refused.value.code == "invalid_request" and "pinned" in refused.value.message


# -- going ---------------------------------------------------------------------------------------------------


def test_unload_of_a_busy_model_waits_for_its_answers(life):
    answer = Transcript(life, "a", "#tokens=100 #rate=50").wait_tokens()
    with life.client() as client:
        assert "1 answer in flight" in client.unload("a").text
    assert not answer.ended
    answer.check_whole(100)
    life.wait_phase("a", Phase.DOWN)


def test_evict_of_a_busy_model_is_refused_with_the_reason(life):
    answer = Transcript(life, "a", "#tokens=300 #rate=50").wait_tokens()
    told = life.warden("ctl", "evict", "a", check=False)
    assert not answer.ended
    assert (told.returncode, told.stdout) == (1, "a: ERROR (a is not evicted: 1 answer in flight)\n"), told.stderr
    answer.check_whole(300)
    assert life.warden("ctl", "evict", "a").stdout == "a is evicted\n"
    assert life.phase("a") is not Phase.READY


def test_three_crashes_while_loading_end_the_tries_until_an_operator_asks(life):
    with life.client() as client, pytest.raises(GatewayError) as refused:
        list(client.generate(model="crashing", prompt="#tokens=2"))
    assert (refused.value.code, refused.value.status) == ("model_unavailable", 503)
    assert life.starts_of("crashing") == 3
    warning = next(text for text in life.get("/health")[1]["warnings"] if text.startswith("crashing is "))
    assert re.match(r"crashing is quarantined: 3 crashes in 5 min, the last: its process died while loading", warning)
    life.warden("ctl", "load", "crashing")
    wait_until("another try", lambda: life.starts_of("crashing") == 4)


def test_after_a_death_for_want_of_memory_the_model_is_loaded_into_a_smaller_batch(life):
    life.load("b")
    assert life.row("b").worker.batch_max == 8
    cut = Transcript(life, "b", "#tokens=20 #oom_at=3")
    cut.check_error("worker_crashed")
    assert cut.ids == [0, 1, 2]
    assert "out of memory" in life.wait_journal("crashed", model="b")[-1]["reason"]
    Transcript(life, "b", "#tokens=20").check_whole(20)
    row = life.row("b")
    assert (row.control.shrink, row.control.batch_max, row.worker.batch_max) == (1, 4, 4)
