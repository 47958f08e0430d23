"""`supervisorctl start|stop worker-x` on a real stack mean what an operator expects: load, drain, hold."""

import os
import signal
import threading
import time

import pytest

from control.states import Phase
from control.supervisord import ProcessState
from gateway.client import GatewayError
from gateway.protocol import Done, Tokens
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

SETTINGS = """
[control]
prewarm = 0
[models.a]
engine = "echo"
[models.a.echo]
rate_per_s = 25
[models.b]
engine = "echo"
"""


def phase_of(stack, slug: str) -> Phase | None:
    row = stack.row(slug)
    return row.phase(time.monotonic_ns()) if row else None


def test_stop_drains_a_busy_worker_then_holds_it_until_start(make_stack):
    stack = make_stack(SETTINGS).up()
    answer: list = []
    started = threading.Event()

    def read() -> None:
        with stack.client() as client:
            for event in client.generate(prompt="#tokens=60"):
                answer.append(event)
                started.set() if isinstance(event, Tokens) else None

    reader = threading.Thread(target=read)
    reader.start()
    assert started.wait(30)
    stack.warden("ctl", "stop", "worker-a")  # returns when the process has ended
    reader.join(30)
    assert isinstance(answer[-1], Done) and answer[-1].usage.completion_tokens == 60, "the answer was finished"
    assert stack.supervisord.processes()["worker-a"].state is ProcessState.STOPPED

    wait_until("the hold", lambda: phase_of(stack, "a") is Phase.HELD)
    with stack.client() as client, pytest.raises(GatewayError) as refused:
        list(client.generate(model="a", prompt="#tokens=2"))
    assert refused.value.code == "model_unavailable" and "warden ctl start worker-a" in refused.value.message
    assert stack.starts_of("a") == 1, "held: nobody starts it but an operator"

    stack.warden("ctl", "start", "worker-a")
    wait_until("the load", lambda: phase_of(stack, "a") is Phase.READY)  # an operator's start loads the model
    with stack.client() as client:
        assert isinstance(list(client.generate(model="a", prompt="#tokens=2"))[-1], Done)
    assert stack.starts_of("a") == 2


def test_start_of_a_worker_nobody_asked_for_loads_its_model(make_stack):
    stack = make_stack(SETTINGS).up()
    assert phase_of(stack, "b") is Phase.DOWN
    stack.warden("ctl", "start", "worker-b")
    wait_until("the load", lambda: phase_of(stack, "b") is Phase.READY)
    status = stack.warden("ctl", "status", check=False).stdout  # its exit code says that not everything runs
    assert "worker-b" in status and "RUNNING" in status and "worker-a" in status


def test_a_worker_that_dies_idle_is_not_started_until_somebody_asks(make_stack):
    stack = make_stack(SETTINGS).up()
    with stack.client() as client:
        client.load("b")
        stack.kill("worker-b")
        wait_until("its end", lambda: phase_of(stack, "b") in (Phase.BACKOFF, Phase.DOWN))
        wait_until("the end of the backoff", lambda: phase_of(stack, "b") is Phase.DOWN)
        assert stack.starts_of("b") == 1
        assert isinstance(list(client.generate(model="b", prompt="#tokens=2"))[-1], Done)
    assert stack.starts_of("b") == 2


def test_workers_of_a_killed_supervisord_finish_their_answer_and_leave(make_stack):
    stack = make_stack(SETTINGS).up()
    with stack.client() as client:
        events = client.generate(model="a", prompt="#tokens=40")
        while not isinstance(next(events), Tokens):
            pass
        stack.supervisord.start("worker-b")  # may learn of the death only after its own start
        os.kill(stack.supervisord.pid(), signal.SIGKILL)
        rest = list(events)
        assert isinstance(rest[-1], Done) and rest[-1].usage.completion_tokens == 40
        wait_until("the end of the workers",
                   lambda: sorted(stack.processes().values()) == ["control", "gateway", "http"])
        with pytest.raises(GatewayError) as refused:
            list(client.generate(model="a", prompt="#tokens=2"))
    assert refused.value.code == "model_unavailable" and "supervisord" in refused.value.message
