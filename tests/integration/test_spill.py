"""MLX is full: simple tasks are answered by Ollama, complex ones wait for MLX, and none is lost."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from control.routing import Kind
from tests.support.door import Door
from tests.support.http_answers import HttpAnswer
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

RUNNING, WAITING = 5, 4  # all slots, and more than `spill_after_queued`
EACH = 20
FAR = """
[control]
prewarm = 0
[models.there]
engine = "echo"
preload = true
"""
NEAR = """
[control]
prewarm = 0
[limits]
rate_limit_max = 0
[relays]
ollama_url = "{url}"
relay_probe_every_s = 0.1
[models.here]
engine = "echo"
preload = true
ollama_model = "there"
"""


class Two(NamedTuple):
    """`door`: between them."""

    near: LiveStack
    far: LiveStack
    door: Door


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder, door = tmp_path_factory.mktemp("spill"), Door()
    far, near = LiveStack(folder / "far", FAR), LiveStack(folder / "near", NEAR.format(url=door.url))
    try:
        far.up()
        door.lead_to(int(far.env["WARDEN_PORT"]))
        near.up()
        near.load("here")
        near.wait_relay("ollama")
        yield Two(near, far, door)
    finally:
        near.end()
        far.end()
        door.shut()


def ask(stack: LiveStack, work: str, number: int, tokens: str = "3") -> HttpAnswer:
    prompt = f"#tokens={tokens} task {number} " + ("" if work == "simple" else "long " * 100)
    return HttpAnswer(stack.url, "/api/chat", {"model": "here", "messages": [{"role": "user", "content": prompt}]})


@contextmanager
def full(stack: LiveStack) -> Iterator[None]:
    """All slots are taken and tasks wait, until it ends."""
    prompt = "#tokens=1000000 #rate=20 " + "long " * 100
    body = {"model": "here", "messages": [{"role": "user", "content": prompt}]}
    load = [HttpAnswer(stack.url, "/api/chat", body) for _ in range(RUNNING + WAITING)]
    try:
        wait_until("overload", lambda: stack.control_words().spill & Kind.TASK.bit)
        yield
    finally:
        for answer in sorted(load, key=lambda answer: bool(answer.text)):
            answer.leave()


def check(answer: HttpAnswer, backend: str, reason: str = "") -> None:
    told = (answer.status, answer.route, answer.reason, answer.error, answer.text)
    assert (answer.status, answer.backend, answer.reason) == (200, backend, reason), told
    assert answer.text == "t0 t1 t2" and answer.ended_well, told


def test_of_forty_tasks_on_a_full_mlx_ollama_answers_the_simple_and_mlx_the_complex_ones(two):
    spilled = two.near.gateway_words().spilled
    with full(two.near):
        asked = {(work, number): ask(two.near, work, number)
                 for number in range(EACH) for work in ("simple", "complex")}
        for number in range(EACH):
            check(asked["simple", number].wait_end(), "ollama", "overloaded")
        assert not any(answer.text for (work, _), answer in asked.items() if work == "complex"), "they wait for MLX"
    for number in range(EACH):
        check(asked["complex", number].wait_end(), "mlx")
    assert two.near.gateway_words().spilled == spilled + EACH


def test_without_load_all_forty_are_answered_by_mlx(two):
    wait_until("the end of overload", lambda: not two.near.control_words().spill)

    def answered(number: int) -> str:
        return ask(two.near, ("simple", "complex")[number % 2], number).wait_end().backend

    with ThreadPoolExecutor(RUNNING) as pool:
        assert Counter(pool.map(answered, range(2 * EACH))) == {"mlx": 2 * EACH}


def test_tasks_that_wait_already_go_to_ollama_when_it_comes_back(two):
    with full(two.near):
        two.door.shut()
        wait_until("the loss", lambda: not two.near.get("/health")[1]["backends"]["ollama"]["healthy"])
        queued = two.near.gateway_words().queued_medium
        asked = ask(two.near, "simple", 0)
        wait_until("it to wait for MLX", lambda: two.near.gateway_words().queued_medium > queued)
        two.door.lead_to(int(two.far.env["WARDEN_PORT"]))
        check(asked.wait_end(), "ollama", "overloaded")


def test_a_remote_that_is_full_itself_lets_nothing_wait_for_ever(two):
    """Both are full: the simple task waits in the queue of the other machine, and is answered there."""
    body = {"model": "there", "messages": [{"role": "user", "content": "#tokens=1000000 #rate=20"}]}
    load = [HttpAnswer(two.far.url, "/api/chat", body) for _ in range(RUNNING)]
    try:
        for answer in load:
            answer.wait_text()
        with full(two.near):
            asked = ask(two.near, "simple", 0)
            wait_until("it to wait there", lambda: two.far.gateway_words().queued_medium == 1)
            load[0].leave()
            check(asked.wait_end(), "ollama", "overloaded")
    finally:
        for answer in load:
            answer.leave()


def test_a_worker_that_dies_there_in_the_midst_is_an_error_here(two):
    with full(two.near):
        asked = ask(two.near, "simple", 0, tokens="1000000 #rate=20").wait_text()
        two.far.kill("worker-there")
        asked.wait_end()
    told = (asked.status, asked.route, asked.text, asked.error)
    assert (asked.status, asked.backend) == (200, "ollama") and not asked.ended_well, told
    assert asked.text.startswith("t0") and "ollama" in asked.error and "died" in asked.error, told


def test_a_caller_who_leaves_here_frees_the_place_there(two):
    with full(two.near):
        asked = ask(two.near, "simple", 0, tokens="1000000 #rate=20").wait_text()
        cancelled = two.far.gateway_words().cancelled
        asked.leave()
        wait_until("the end there", lambda: two.far.gateway_words().cancelled == cancelled + 1)
