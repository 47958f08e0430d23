"""Evictions as people see them, with real processes: who goes, who stays, and that no answer is ever cut for it."""

import json
import time
from datetime import datetime

import pytest

from control.states import Phase
from gateway.client import GatewayError
from gateway.protocol import TERMINAL, Done, Tokens
from tests.support.live_stack import LiveStack
from tests.support.models import model_path
from tests.support.stack_fixtures import echo_settings, shared_stack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Caller, Transcript, calling

pytestmark = pytest.mark.integration

RESIDENCY_S = 1.5
TURNS_S = 10.0

THREE = echo_settings("a", "b", "c", "slow") + """
[models.slow.echo]
load_s = 3
"""

ONLY_ONE_FITS = f"""
[control]
prewarm = 0
[memory]
memory_budget_gb = 0.8
grace_s = 1
min_residency_s = {RESIDENCY_S}
"""

ONE_OF_TWO = ONLY_ONE_FITS + """
[models.a]
engine = "echo"
memory_gb = 0.5
[models.b]
engine = "echo"
memory_gb = 0.5
[models.big]
engine = "echo"
memory_gb = 2
"""


three = shared_stack(THREE)
one_of_two = shared_stack(ONE_OF_TWO)  # two models of which only one fits, and one that never does


@pytest.fixture
def loaded(three):
    """`three` with a, b and c loaded and idle, and memory not short."""
    three.calm()
    three.load("a", "b", "c")
    return three


def nobody_was_harmed(stack: LiveStack) -> None:
    """No answer was lost to an eviction and no process was forced to end."""
    assert stack.gateway_words().lost_to_eviction == 0
    assert stack.control_words().forced_kills == 0


# -- memory is critical ------------------------------------------------------------------------------------------


def test_idle_models_go_and_answers_in_flight_are_finished(loaded):
    answers = [Transcript(loaded, "a", "#tokens=240 #rate=40") for _ in range(2)]
    for answer in answers:
        answer.wait_tokens()
    pid = loaded.pid_of("worker-a")
    loaded.press(0.96)
    loaded.wait_phase("b", Phase.DOWN)
    loaded.wait_phase("c", Phase.DOWN)
    assert not any(answer.ended for answer in answers), "they were in flight all the time"
    assert loaded.pid_of("worker-a") == pid
    for answer in answers:
        answer.check_whole(240)
    nobody_was_harmed(loaded)


def test_a_load_under_way_is_finished_and_who_idles_goes(loaded):
    starts = loaded.starts_of("slow")
    answer = Transcript(loaded, "slow", "#tokens=40", priority="high")
    loaded.wait_phase("slow", Phase.LOADING)
    loaded.press(0.96)
    for slug in ("a", "b", "c"):
        loaded.wait_phase(slug, Phase.DOWN)
    assert loaded.phase("slow") is Phase.LOADING, "it goes on loading"
    answer.check_whole(40)
    assert loaded.starts_of("slow") == starts + 1
    loaded.wait_phase("slow", Phase.DOWN)  # now it is idle itself
    nobody_was_harmed(loaded)


def test_if_all_are_in_use_none_goes_and_a_warning_says_who_and_why(loaded):
    evictions = loaded.control_words().evictions
    short = Transcript(loaded, "a", "#tokens=160 #rate=40")
    long = [Transcript(loaded, slug, "#tokens=400 #rate=50") for slug in ("b", "c")]
    for answer in [short, *long]:
        answer.wait_tokens()
    loaded.press(0.96)
    warning = wait_until("a warning that names them", lambda: next(
        (text for text in loaded.get("/health")[1]["warnings"] if "nothing is evicted" in text), ""))
    for slug in ("a", "b", "c"):
        assert f"{slug} (1 answer in flight)" in warning
    assert loaded.get("/health")[1]["status"] == "critical"

    for priority in ("medium", "low"):
        refused = loaded.ask_http("/v1/chat/completions", {
            "model": "b", "messages": [{"role": "user", "content": "#tokens=2"}]}, X_Request_Priority=priority)
        assert (refused.status, refused.body["error"]["code"]) == (503, "memory_pressure"), priority
        assert 1 <= int(refused.headers["retry-after"]) <= 120
    Transcript(loaded, "b", "#tokens=30", priority="high").check_whole(30)
    assert not short.ended and loaded.control_words().evictions == evictions, "none has gone"

    short.check_whole(160)
    loaded.wait_phase("a", Phase.DOWN)
    assert not any(answer.ended for answer in long), "it went at its own completion, while the others answered"
    for answer in long:
        answer.check_whole(400)
    nobody_was_harmed(loaded)


# -- two models that do not fit together -------------------------------------------------------------------------


class RealCaller(Caller):
    """Of a model with random weights nobody knows the answer, but where it begins and that it ends."""

    def __init__(self, stack: LiveStack, models: tuple[str, ...]) -> None:
        super().__init__(stack, models)
        self.fields = {"prompt": "the quick brown fox", "options": {"max_tokens": 12, "seed": 5, "temperature": 1.0}}

    def check_answer(self, events: list) -> None:
        pieces = [event for event in events if isinstance(event, Tokens) and event.ids]
        positions = [event.position + n for event in pieces for n in range(len(event.ids))]
        assert isinstance(events[-1], Done) and len([one for one in events if isinstance(one, TERMINAL)]) == 1
        assert positions == list(range(events[-1].usage.completion_tokens)) and positions


def times_loaded(stack: LiveStack) -> list[tuple[str, datetime]]:
    return [(line["model"], datetime.fromisoformat(line["timestamp"])) for line in stack.journal("loaded")]


def take_turns(stack: LiveStack, seconds: float, count: int) -> list[Caller]:
    """Four callers ask a and b in turn for so long, and once more until each has heard both."""
    callers = [Caller(stack, models, count) for models in (("a", "b"), ("b", "a")) * 2]
    until = time.monotonic() + seconds
    with calling(*callers):
        wait_until("the time to be over and everybody to have heard both", lambda: time.monotonic() > until and all(
            caller.answered(model) for caller in callers for model in ("a", "b")), 90)
    return callers


def check_turns(stack: LiveStack, residency_s: float) -> None:
    """One goes when the other comes, and none comes before the other has had its time: a rule, not a speed."""
    turns = times_loaded(stack)
    assert len(turns) >= 2 and all(one[0] != next_[0] for one, next_ in zip(turns, turns[1:], strict=False)), turns
    gaps = [(next_[1] - one[1]).total_seconds() for one, next_ in zip(turns, turns[1:], strict=False)]
    assert all(gap >= residency_s for gap in gaps), gaps


def test_two_models_that_do_not_fit_together_take_turns(one_of_two):
    callers = take_turns(one_of_two, TURNS_S, count=30)
    check_turns(one_of_two, RESIDENCY_S)
    assert sum(len(caller.answers) for caller in callers) >= 8
    nobody_was_harmed(one_of_two)


def test_one_request_gets_its_turn_beside_traffic_that_never_stops(one_of_two):
    """The eviction that makes room for it is a closing one: the answers in flight end first."""
    one_of_two.load("a")
    wait_until("a to be there alone", lambda: one_of_two.phase("b") is Phase.DOWN)
    before = len(one_of_two.journal("evicted", model="a", closing=True))
    callers = [Caller(one_of_two, ("a",), 20, rate_per_s=rate) for rate in (30, 40, 50, 60)]
    with calling(*callers):
        wait_until("traffic on a", lambda: all(caller.answered("a") for caller in callers))
        Transcript(one_of_two, "b", "#tokens=30").check_whole(30)
        heard = [caller.answered("a") for caller in callers]
        wait_until("a to answer again", lambda: all(
            caller.answered("a") > count for caller, count in zip(callers, heard, strict=True)), 60)
    one_of_two.wait_journal("evicted", before + 1, model="a", closing=True)
    nobody_was_harmed(one_of_two)


@pytest.mark.long
def test_two_real_models_that_do_not_fit_together_take_turns(make_stack):
    stack = make_stack(ONLY_ONE_FITS + f"""
[models.a]
path = "{model_path("1m")}"
memory_gb = 0.5
[models.b]
path = "{model_path("1m")}"
memory_gb = 0.5
""").up()
    callers = [RealCaller(stack, models) for models in (("a", "b"), ("b", "a")) * 2]
    with calling(*callers):
        wait_until("everybody to have heard both", lambda: all(
            caller.answered(model) for caller in callers for model in ("a", "b")), 90)
    check_turns(stack, RESIDENCY_S)
    nobody_was_harmed(stack)


# -- a model that never fits -------------------------------------------------------------------------------------


def test_a_model_that_can_never_fit_is_refused_with_the_arithmetic(one_of_two):
    reply = one_of_two.ask_http("/v1/chat/completions", {
        "model": "big", "messages": [{"role": "user", "content": "hello"}]})
    assert (reply.status, reply.headers["x-should-retry"]) == (507, "false")
    assert "retry-after" not in reply.headers
    error = reply.body["error"]
    assert error["code"] == "insufficient_memory"
    for part in ("needs at least 2.0 GiB", "the budget for all models is 819 MiB", "memory_budget_gb"):
        assert part in error["message"]

    with one_of_two.client() as client, pytest.raises(GatewayError) as refused:
        list(client.generate(model="big", prompt="hello"))
    assert (refused.value.code, refused.value.status) == ("insufficient_memory", 507)
    assert refused.value.message == error["message"]

    told = one_of_two.warden("fits", "big", "--json", check=False)
    found = json.loads(told.stdout)
    assert told.returncode == 1 and found["verdict"] == "never" and found["least_bytes"] == 2 * 1024**3
    assert found["arithmetic"] in error["message"], "the same arithmetic"
    assert one_of_two.starts_of("big") == 0
