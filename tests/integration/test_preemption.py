"""HIGH does not wait for LOW, through real processes: who is paused loses no token, and says none twice."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest

from gateway.client import GatewayError
from gateway.protocol import Done, Progress, Tokens
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

LONG, SHORT = "x #tokens=80 #rate=50", "x #tokens=3"
ENDLESS = "x #tokens=4000 #rate=20"
WHOLE = " ".join(f"t{number}" for number in range(80))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    shared = LiveStack(tmp_path_factory.mktemp("stack"), """
[control]
prewarm = 0
[limits]
max_running = 3
[models.a]
engine = "echo"
batch_size = 2
[models.b]
engine = "echo"
""").up()
    with shared.client() as client:
        for model in "ab":
            client.load(model)
    yield shared
    shared.end()


class Asked(threading.Thread):
    """A question asked by somebody else. `order`, shared by several, gets its name at its first token and its end."""

    def __init__(self, stack: LiveStack, name: str, order: list[str], model: str, prompt: str, priority: str) -> None:
        super().__init__(name=name)
        self.stack, self.order = stack, order
        self.fields = {"model": model, "prompt": prompt, "priority": priority}
        self.events: list = []
        self.failed: GatewayError | None = None
        self.leave = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            with self.stack.client() as client, closing(client.generate(**self.fields)) as answer:
                for event in answer:
                    self.take(event)
                    if self.leave.is_set():
                        return
        except GatewayError as error:
            self.failed = error

    def take(self, event: object) -> None:
        if isinstance(event, Tokens) and not self.tokens:
            self.order.append(f"{self.name} begins")
        self.events.append(event)
        if isinstance(event, Done):
            self.order.append(f"{self.name} ends")

    @property
    def tokens(self) -> list[Tokens]:
        return [event for event in self.events if isinstance(event, Tokens)]

    @property
    def was_paused(self) -> bool:
        return any(isinstance(event, Progress) and event.reason == "paused" for event in self.events)

    def begun(self) -> "Asked":
        wait_until(f"{self.name} to begin", lambda: self.tokens or self.failed)
        return self

    def check_whole(self) -> None:
        self.join(30)
        assert self.failed is None, self.failed
        assert "".join(event.text for event in self.tokens) == WHOLE
        assert [number for event in self.tokens for number in event.ids] == list(range(80))
        assert [event.position for event in self.tokens] == [event.ids[0] for event in self.tokens]
        (done,) = [event for event in self.events if isinstance(event, Done)]
        assert done is self.events[-1] and done.usage.completion_tokens == 80


@pytest.mark.parametrize("models", ["aa", "bbb"])
def test_high_goes_first_where_a_batch_or_all_slots_are_full_and_every_low_answer_is_whole(stack, models):
    """Two fill the batch of a; three at b fill all slots, and HIGH asks for a."""
    order: list[str] = []
    lows = [Asked(stack, f"low {n}", order, model, LONG, "low").begun() for n, model in enumerate(models)]
    before = stack.gateway_words()
    with stack.client() as client:
        events = list(client.generate(model="a", prompt=SHORT, priority="high"))
    assert isinstance(events[-1], Done) and not [line for line in order if "ends" in line]
    for low in lows:
        low.check_whole()
    paused = [low for low in lows if low.was_paused]
    assert paused == lows[-1:], "the youngest"
    words = wait_until("the table", lambda: (w := stack.gateway_words()) and not w.running_low and w)
    assert words.preemptions - before.preemptions == words.resumptions - before.resumptions == 1
    assert words.continuations == 0


def test_many_of_high_come_and_go_and_low_is_paused_at_most_twice(stack):
    order: list[str] = []
    lows = [Asked(stack, f"low {n}", order, "a", LONG, "low").begun() for n in range(2)]
    before = stack.gateway_words().preemptions
    with stack.client() as client:
        for _ in range(6):
            list(client.generate(model="a", prompt=SHORT, priority="high"))
    for low in lows:
        low.check_whole()
    assert 0 < stack.gateway_words().preemptions - before <= 4


def test_cancelled_while_it_is_paused_it_leaves_and_nobody_else_is_touched(stack):
    order: list[str] = []
    lows = [Asked(stack, f"low {n}", order, "a", LONG, "low").begun() for n in range(2)]
    high = Asked(stack, "high", order, "a", LONG, "high").begun()
    assert stack.row("a").gateway.paused == 1
    lows[1].leave.set()
    finished = stack.gateway_words().cancelled
    lows[1].join(10)
    wait_until("the worker to confirm", lambda: stack.gateway_words().cancelled == finished + 1)
    assert stack.row("a").gateway.paused == 0
    for asked in (high, lows[0]):
        asked.check_whole()


def test_a_pause_shows_in_ps_in_the_metrics_and_in_the_journal(stack):
    order: list[str] = []
    everybody = [Asked(stack, f"low {n}", order, "a", ENDLESS, "low").begun() for n in range(2)]
    everybody.append(Asked(stack, "high", order, "a", ENDLESS, "high").begun())
    assert "3 (1 paused)" in stack.warden("ps").stdout
    with urllib.request.urlopen(f"{stack.url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    assert {'warden_requests_paused{class="low"} 1.0', 'warden_model_requests_paused{model="a"} 1.0'} <= {*lines}
    words = stack.gateway_words()
    assert f"warden_preemptions_total {words.preemptions:.1f}" in lines
    assert f"warden_resumptions_total {words.resumptions:.1f}" in lines
    assert any(line.startswith("vllm:num_preemptions_total") and not line.endswith(" 0.0") for line in lines)
    wait_until("the journal", lambda: stack.journal("preempted", "gateway", model="a", priority="LOW"))
    for asked in everybody:
        asked.leave.set()
    wait_until("all to be gone", lambda: not (row := stack.row("a").gateway).unfinished and not row.paused)


def test_a_worker_that_is_told_to_stop_ends_what_was_paused_too(stack):
    order: list[str] = []
    low = Asked(stack, "low", order, "b", LONG, "low").begun()
    others = [Asked(stack, f"high {n}", order, "b", LONG, "high").begun() for n in range(3)]
    assert stack.row("b").gateway.paused == 1
    stack.warden("ctl", "stop", "worker-b")
    for asked in (low, *others):
        asked.check_whole()
    assert order[-1] == "low ends" and stack.gateway_words().continuations == 0
