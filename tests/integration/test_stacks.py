"""Whole stacks as their owner sees them: two at once, one killed to its last process, wrong configurations."""

import os
import signal
import socket

import pytest

from gateway.protocol import Tokens
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

ECHO = """
[control]
prewarm = 0
[models.a]
engine = "echo"
"""


def ask(stack) -> str:
    with stack.client() as client:
        return "".join(e.text for e in client.generate(prompt="#tokens=3") if isinstance(e, Tokens))


def test_two_stacks_live_side_by_side_and_do_not_meet(make_stack):
    one, other = make_stack(ECHO, "one").up(), make_stack(ECHO, "other").up()
    assert ask(one) == ask(other) == "t0 t1 t2"
    before = other.processes()
    assert "already running" in one.warden("up").stdout
    one.down()
    assert not one.processes() and other.processes() == before
    assert ask(other) == "t0 t1 t2"
    assert one.get("/livez")[0] == 0 and other.get("/livez")[0] == 200


def test_after_down_no_process_socket_or_lock_is_left(make_stack):
    stack = make_stack(ECHO).up()
    assert ask(stack)
    stack.down()
    assert not stack.processes()
    left = sorted(path.name for path in stack.paths.run.iterdir())
    assert left == ["control.lock", "gateway.lock", "row-a.lock", "up.lock"], "files that a lock may be taken on"
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", int(stack.env["WARDEN_PORT"])))


def test_a_stack_killed_to_the_last_process_starts_cleanly(make_stack):
    stack = make_stack(ECHO).up()
    assert ask(stack)
    killed = stack.processes()
    assert sorted(killed.values()) == ["control", "gateway", "http", "supervisord", "worker-a"]
    for pid in sorted(killed, key=lambda pid: killed[pid] != "supervisord"):
        os.kill(pid, signal.SIGKILL)
    wait_until("their end", lambda: not stack.processes())
    stack.up()
    assert ask(stack) == "t0 t1 t2"


@pytest.mark.parametrize("settings, where, remedy", [
    ('[limits]\nmax_runing = 5\n', ":2: limits.max_runing", "did you mean max_running?"),
    ('[limits]\nmax_running = "5"\n', ":2: limits.max_running", "write max_running = 5"),
    ('[models.m]\npath = "/nowhere/at/all"\n', ":2: models.m.path", "/nowhere/at/all"),
    ('[models.a]\nengine = "echo"\n[models.b]\nengine = "echo"\naliases = ["A"]\n', ":5: models.b.aliases", "line 1"),
    ('[models.a\n', ":1: ", "]"),
])
def test_a_wrong_configuration_starts_nothing_and_is_told_in_one_line(make_stack, settings, where, remedy):
    stack = make_stack(settings)
    ran = stack.warden("up", check=False)
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr.count("\n") == 1 and f"{stack.config_file}{where}" in ran.stderr and remedy in ran.stderr
    assert not stack.processes() and not stack.paths.supervisor_conf.exists()


def test_a_port_in_use_is_told_with_its_setting_and_nothing_starts(make_stack):
    stack = make_stack(ECHO)
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(stack.env["WARDEN_PORT"])))
        other.listen()
        ran = stack.warden("up", check=False)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert "WARDEN_PORT" in ran.stderr and stack.env["WARDEN_PORT"] in ran.stderr
    assert not stack.processes() and not stack.paths.supervisor_conf.exists()
