"""`warden doctor` on a real stack: while it runs, with a program stopped, after a crash, and on a taken port."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from gateway.cli.doctor_finding import Finding
from tests.support.findings import told
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration
PATIENT = ("--wait", "60")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    stack = LiveStack(tmp_path_factory.mktemp("doctor"), '[models.tiny]\nengine = "echo"\n').up()
    yield stack
    stack.end()


def findings(stack: LiveStack, title: str, **env: str) -> list[Finding]:
    """Those under this title."""
    kept, stack.env = stack.env, stack.env | env
    try:
        said = json.loads(stack.warden("doctor", "--json", *PATIENT, check=False).stdout)
    finally:
        stack.env = kept
    return [Finding(*(each[name] for name in Finding._fields)) for each in said if each["group"] == title]


def test_a_running_stack_is_well_and_stays_as_it_was(running: LiveStack) -> None:
    before = running.processes()
    said = findings(running, "Running stack")
    told(said, "ok", "programs", running.url)
    told(said, "ok", "models", "none is in trouble")
    told(findings(running, "Ports and other servers"), "ok", "served by this stack")
    assert running.processes() == before


def test_another_configuration_and_another_home_on_the_same_port_are_told(running: LiveStack) -> None:
    told(findings(running, "Running stack", WARDEN_MAX_RUNNING="2"), "warning", "configuration", "environment")
    other = str(running.home_path.parent / "other")
    told(findings(running, "Ports and other servers", WARDEN_HOME=other), "problem", "port",
         f"the warden stack in {running.home}", "warden down")


def test_a_stopped_program_then_a_crash_then_what_it_left(running: LiveStack) -> None:
    running.warden("ctl", "stop", "gateway")
    told(findings(running, "Running stack"), "problem", "gateway", "warden ctl start gateway")
    supervisord = running.supervisord.pid()
    with_supervisord = running.processes()
    os.kill(supervisord, signal.SIGKILL)
    wait_until("supervisord to be gone", lambda: supervisord not in running.processes())
    told(findings(running, "Home"), "problem", "crashed", "control (pid", "warden down")
    for pid in with_supervisord.keys() - {supervisord}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it had ended by itself
    wait_until("all to be gone", lambda: not running.processes())
    told(findings(running, "Home"), "note", "stack", "left", "warden up")
    running.warden("down")
    told(findings(running, "Home"), "ok", "stack", "does not run")
