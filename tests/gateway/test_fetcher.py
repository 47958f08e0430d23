"""The gateway's hold on a downloader process: it is heard without waiting, ended at once, and ends with us."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.fetcher import Fetch
from tests.support.supervisor_home import ROOT, wait_until
from workers.fetch_lines import Failed, Progress

HOLDS_ONE = """
import sys
from gateway.fetcher import Fetch
fetch = Fetch("pull", "org/tiny")
print(fetch.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def silent_hub() -> Iterator[str]:
    """The address of somebody who listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_it_says_is_heard_line_by_line():
    fetch, heard = Fetch("check", "/nowhere/at/all"), []
    assert fetch.read() == []  # it has only begun, and nobody waits for it
    wait_until("its last word", lambda: heard.extend(fetch.read()) or heard)
    assert isinstance(heard[-1], Failed) and heard[-1].code == "invalid_request"
    wait_until("its end", lambda: fetch.ended)
    assert fetch.read() == []


def test_it_is_ended_at_once(monkeypatch, silent_hub):
    monkeypatch.setenv("HF_ENDPOINT", silent_hub)
    fetch, heard = Fetch("pull", "org/tiny"), []
    wait_until("its first word", lambda: heard.extend(fetch.read()) or heard)
    assert isinstance(heard[0], Progress) and not fetch.ended
    fetch.kill()
    wait_until("its end", lambda: fetch.ended)


def test_it_ends_with_who_started_it_however_that_ends(silent_hub):
    env = {**os.environ, "HF_ENDPOINT": silent_hub, "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen([sys.executable, "-c", HOLDS_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=env, text=True)
    pid = int(holder.stdout.readline())
    assert is_there(pid)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    wait_until("the downloader to be gone", lambda: not is_there(pid))
