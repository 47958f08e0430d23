"""`warden service run`, as launchd and systemd start it: it is supervisord, is mended after a crash, ends in order."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.live_stack import COMMAND_MAX_S, LiveStack
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration
SETTINGS = '[models.tiny]\nengine = "echo"\n'
LONG_NAME = "a" * 100  # its sockets lie in a directory of their own, which goes with a stack that is ended


@contextmanager
def service(stack: LiveStack) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-P", "-m", "gateway.cli.main", "service", "run"]
    process = subprocess.Popen(command, env=stack.env, cwd=stack.home_path.parent, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def is_supervisord() -> bool:
        assert process.poll() is None, f"it ended with {process.returncode}:\n{process.stdout.read()}{stack.logs()}"
        return stack.processes().get(process.pid) == "supervisord" and stack.paths.supervisor_socket.exists()

    try:
        wait_until("it to be supervisord", is_supervisord, COMMAND_MAX_S)
        stack.wait_ready()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(COMMAND_MAX_S)
        process.stdout.close()


def test_it_is_supervisord_leaves_others_alone_is_mended_after_a_crash_and_ends_in_order(
        make_stack: Callable[..., LiveStack]) -> None:
    stack = make_stack(SETTINGS, name=LONG_NAME)
    assert stack.paths.socket_dir != stack.paths.run
    with service(stack) as first:
        running = stack.processes()
        assert stack.supervisord.pid() == first.pid and running[first.pid] == "supervisord"
        assert "runs already" in stack.warden("service", "run").stdout
        assert "started by hand" in stack.warden("service", "stop").stdout, "it is not the child of who asks"
        assert stack.processes() == running
        first.kill()
        assert first.wait(COMMAND_MAX_S) == -signal.SIGKILL
    with service(stack) as second:
        assert not running.keys() & stack.processes().keys(), "what the crash left was ended"
        stack.env["MAINPID"] = str(second.pid)
        stack.warden("service", "stop")
        assert second.wait(COMMAND_MAX_S) == 0, "an end in order, after which no manager starts it again"
        assert "starting" in second.stdout.read() and stack.processes() == {}
    assert "does not run" in stack.warden("service", "stop").stdout
