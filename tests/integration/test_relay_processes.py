"""The relays' processes under a real supervisord: orders, kills, another control process, another configuration."""

import signal
import sys

import pytest

from control.states import Breaker, Phase
from control.supervisord import ProcessState
from control.table_layout import LAYOUT_VERSION
from gateway.protocol import Done
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

SETTINGS = """
[control]
prewarm = 0
drain_deadline_s = 20
[relays]
relay_probe_every_s = 0.2
ollama_url = "{ollama}"
{more}
[models.a]
engine = "echo"
ollama_model = "llama3.2:1b"
"""
OLLAMA = "relay-ollama"


def up(make_stack, ollama, more: str = ""):
    stack = make_stack(SETTINGS.format(ollama=ollama.url, more=more)).up()
    stack.wait_phase(OLLAMA, Phase.READY)
    return stack


def incarnation(stack) -> int:
    return stack.row(OLLAMA).control.incarnation


def rewrite(stack, old: str, new: str) -> None:
    stack.config_file.write_text(stack.config_file.read_text().replace(old, new))


def hold(stack, model: str) -> None:
    """An operator keeps it from running, so that its work goes on to the relay."""
    stack.load(model)
    stack.warden("ctl", "stop", f"worker-{model}")
    stack.wait_phase(model, Phase.HELD)
    with stack.client() as client:
        wait_until("the way to ollama", lambda: client.route(model=model, prompt="x").route == "mlx>ollama")


def next_incarnation(stack, before: int) -> None:
    wait_until("the next incarnation", lambda: incarnation(stack) > before)
    stack.wait_phase(OLLAMA, Phase.READY)


def test_supervisorctl_stops_starts_and_restarts_a_relay(make_stack, ollama):
    stack = up(make_stack, ollama)
    first = incarnation(stack)
    wait_until("a second of it", lambda: "RUNNING" in stack.warden("ctl", "status", OLLAMA).stdout)

    stack.warden("ctl", "stop", OLLAMA)
    assert stack.supervisord.processes()[OLLAMA].state is ProcessState.STOPPED
    stack.wait_phase(OLLAMA, Phase.DOWN)
    wait_until("the reason", lambda: stack.row(OLLAMA).reason == (
        "an operator stopped it; `warden ctl start relay-ollama` brings it back"))
    with stack.client() as client:
        assert isinstance(list(client.generate(model="a", prompt="#tokens=2"))[-1], Done), "MLX goes on"
    assert stack.supervisord.processes()[OLLAMA].state is ProcessState.STOPPED, "nobody starts it but an operator"

    stack.warden("ctl", "start", OLLAMA)
    next_incarnation(stack, first)
    second = incarnation(stack)
    stack.warden("ctl", "restart", OLLAMA)
    next_incarnation(stack, second)
    assert stack.row(OLLAMA).control.starts == 3 and stack.row(OLLAMA).reason == "ready"


def test_a_relay_that_is_killed_comes_back_and_models_notice_nothing(make_stack, ollama):
    stack = up(make_stack, ollama)
    stack.load("a")
    worker, first = stack.pid_of("worker-a"), incarnation(stack)
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = incarnation(stack)
        stack.kill(OLLAMA, number)
        next_incarnation(stack, before)
    assert stack.pid_of("worker-a") == worker and stack.phase("a") is Phase.READY
    assert incarnation(stack) > first and stack.starts_of("a") == 1
    assert stack.control_words().reserved_bytes == stack.row("a").control.share_bytes, "relays have no share"


def test_another_control_process_adopts_a_relay_as_it_is(make_stack, ollama):
    stack = up(make_stack, ollama)
    before, pid, epoch = incarnation(stack), stack.pid_of(OLLAMA), stack.control_words().epoch
    hold(stack, "a")
    ollama.be(mode="hold")
    with stack.client() as client:
        events = client.generate(model="a", prompt="hello")
        next(events)
        ollama.wait_stuck()
        stack.kill("control")
        wait_until("another control process", lambda: stack.control_words().epoch > epoch)
        assert stack.row(OLLAMA).control.phase == Phase.ALIVE, "before its hello, too"
        stack.wait_phase(OLLAMA, Phase.READY)
        ollama.release()
        assert isinstance(list(events)[-1], Done), "its answer goes on"
    assert (incarnation(stack), stack.pid_of(OLLAMA)) == (before, pid)
    assert stack.row(OLLAMA).control.starts == 1


def test_a_server_that_goes_and_comes_is_told_in_the_row(make_stack, ollama):
    stack = up(make_stack, ollama)
    pid = stack.pid_of(OLLAMA)
    wait_until("an answer to a probe", ollama.probes)
    ollama.down()
    wait_until("the breaker", lambda: stack.row(OLLAMA).worker.breaker != Breaker.CLOSED)
    assert stack.phase(OLLAMA) is Phase.READY, "the relay itself is well"
    ollama.up()
    wait_until("the recovery", lambda: stack.row(OLLAMA).worker.breaker == Breaker.CLOSED)
    assert stack.pid_of(OLLAMA) == pid


def test_a_relay_is_gone_once_its_url_is_and_comes_with_it(make_stack, ollama, victoria):
    stack = up(make_stack, ollama, f'victoria_url = "{victoria.url}"')
    stack.wait_phase("relay-victoria", Phase.READY)
    stack.down()
    assert not stack.processes()
    rewrite(stack, f'ollama_url = "{ollama.url}"', "")
    stack.up()
    stack.wait_phase("relay-victoria", Phase.READY)
    assert OLLAMA not in stack.supervisord.processes() and stack.row(OLLAMA) is None
    assert sorted(stack.processes().values()) == ["control", "gateway", "http", "relay-victoria", "supervisord"]
    stack.down()
    rewrite(stack, "[relays]", f'[relays]\nollama_url = "{ollama.url}"')
    stack.up()
    stack.wait_phase(OLLAMA, Phase.READY)


def test_a_configuration_that_a_relay_refuses_is_told_in_its_row_and_its_log(make_stack, ollama):
    stack = up(make_stack, ollama)
    rewrite(stack, f'ollama_url = "{ollama.url}"', "")
    stack.kill(OLLAMA)
    log = stack.paths.logs / f"{OLLAMA}.log"
    wait_until("its last words", lambda: "ollama_url in [relays] is not set" in log.read_text())
    told = ("its process cannot run", "its process ended within its first second")  # a slow machine, a fast one
    wait_until("the reason", lambda: stack.row(OLLAMA).reason.startswith(told))
    assert f"logs/{OLLAMA}.log" in stack.row(OLLAMA).reason
    assert stack.supervisord.processes()[OLLAMA].state in (
        ProcessState.EXITED, ProcessState.BACKOFF, ProcessState.STARTING)


def test_a_table_of_another_version_is_made_anew_and_the_relay_stays_who_it_is(make_stack, ollama):
    stack = up(make_stack, ollama)
    before, pid, boot = incarnation(stack), stack.pid_of(OLLAMA), stack.boot_id()
    with stack.paths.table.open("r+b") as table:
        table.seek(8)
        table.write((LAYOUT_VERSION - 1).to_bytes(8, sys.byteorder))
    wait_until("another table", lambda: stack.boot_id() not in (0, boot))
    stack.wait_phase(OLLAMA, Phase.READY)
    made = stack.wait_journal("table_created", count=2)[-1]
    assert f"layout version {LAYOUT_VERSION - 1}" in made["reason"]
    assert (incarnation(stack), stack.pid_of(OLLAMA)) == (before, pid)
    hold(stack, "a")
    with stack.client() as client:
        assert isinstance(list(client.generate(model="a", prompt="hello"))[-1], Done), "and answers"


def test_relays_end_with_the_stack_and_finish_what_they_answer(make_stack, ollama):
    stack = up(make_stack, ollama)
    hold(stack, "a")
    ollama.be(mode="hold")
    with stack.client() as client:
        events = client.generate(model="a", prompt="hello")
        next(events)
        request = ollama.wait_asked()
        ollama.wait_stuck()
        stack.supervisord.stop(OLLAMA)  # returns at once: it drains
        stack.wait_phase(OLLAMA, Phase.DRAINING)
        ollama.release()
        assert isinstance(list(events)[-1], Done)
        ollama.wait_ended(request, "finished")
    wait_until("its end", lambda: stack.supervisord.processes()[OLLAMA].state is ProcessState.STOPPED)
    stack.down()
    assert not stack.processes()
