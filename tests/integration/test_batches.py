"""`warden batch`, `key` and `route` as a user runs them, on a real stack whose "Ollama" is a second real stack."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

REQUESTS = 60
FAR = '[models.far]\nengine = "echo"\n[models.far.echo]\nrate_per_s = 60\n'
SLOW = """[limits]
max_running = 2
rate_limit_max = 0
[routing]
simple_max_chars = 100
[relays]
ollama_url = "{url}"
relay_probe_every_s = 0.2
[models.slow]
engine = "echo"
ollama_model = "far"
[models.slow.echo]
rate_per_s = 60
answer_tokens = 12
[models.secret]
engine = "echo"
audience = "agents"
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    far = LiveStack(tmp_path_factory.mktemp("far"), FAR)
    near = LiveStack(tmp_path_factory.mktemp("near"), SLOW.format(url=far.url))
    try:
        far.up()
        near.up()
        wait_until("the relay to be ready", lambda: state_of(near, "ollama") == "open")
        yield near
    finally:
        near.end()
        far.end()


def state_of(stack: LiveStack, backend: str) -> str:
    ran = stack.warden("route", "--dry-run", "hi", "--json", check=False)
    steps = json.loads(ran.stdout)["steps"] if ran.stdout else []
    return next((step["state"] for step in steps if step["backend"] == backend), "")


def write(folder: Path) -> Path:
    """Every other request is too long to be simple work."""
    file = folder / "q.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"{n} " + "x" * (200 * (n % 2)), "max_tokens": 12}) + "\n"
                            for n in range(REQUESTS)))
    return file


def answers(file: Path) -> list[dict]:
    out = file.with_name("q.answers.jsonl")
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def begin(stack: LiveStack, file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "gateway.cli.main", "batch", str(file), "--concurrency", "6"]
    return subprocess.Popen(command, env=stack.env, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        _, err = process.communicate(timeout=90)
    finally:
        process.kill()
    return process.returncode, err


def is_idle(stack: LiveStack) -> bool:
    shown = json.loads(stack.warden("ps", "--json").stdout)
    return not any(each["in_flight"] or each["queued"] for each in shown)


def test_a_killed_batch_leaves_nothing_behind_and_goes_on_where_it_was(stack: LiveStack, tmp_path: Path) -> None:
    file = write(tmp_path)
    process = begin(stack, file)
    wait_until("some answers", lambda: len(answers(file)) >= 10)
    process.send_signal(signal.SIGKILL)
    finish(process)
    before = answers(file)
    assert 0 < len(before) < REQUESTS
    wait_until("what was on its way to be cancelled", lambda: is_idle(stack))
    code, err = finish(begin(stack, file))
    assert code == 0, err
    assert f"{len(before)} of {REQUESTS} are answered already" in err
    found = answers(file)
    assert sorted(each["line"] for each in found) == list(range(1, REQUESTS + 1)), "each answered once"
    assert found[:len(before)] == before
    for each in found:
        is_simple = each["line"] % 2 == 1
        assert each["route"] == "mlx" or (is_simple and each["reason"] == "overloaded"), "complex work stays here"
    assert {each["route"] for each in found} == {"mlx", "mlx>ollama"}, "six at a time are more than two can do"


def test_a_batch_outlives_the_gateway(stack: LiveStack, tmp_path: Path) -> None:
    file = write(tmp_path)
    process = begin(stack, file)
    wait_until("some answers", lambda: len(answers(file)) >= 10)
    stack.kill("gateway")
    code, err = finish(process)
    relayed = "another server had begun"  # those alone are not asked again by themselves
    assert code == (1 if relayed in err else 0), err
    assert "worker" not in err and sorted({each["line"] for each in answers(file)}) == sorted(
        each["line"] for each in answers(file)), "nothing twice"
    assert finish(begin(stack, file))[0] == 0 and len(answers(file)) == REQUESTS


def test_a_key_works_at_once_and_a_revoked_one_no_more(stack: LiveStack) -> None:
    refused = stack.warden("ask", "hi", "--model", "secret", check=False)
    assert refused.returncode == 2 and "reserved for agents" in refused.stderr
    key = stack.warden("key", "create", "--name", "bot", "--audience", "agent", "--models", "secret").stdout.strip()

    def asked(*more: str) -> subprocess.CompletedProcess[str]:
        return stack.warden("ask", "hi", "--model", "secret", "--max-tokens", "2", "--key", key, *more, check=False)

    wait_until("the key to be known", lambda: asked().returncode == 0)
    assert asked("--http").stdout == asked().stdout == "t0 t1\n"
    other = stack.warden("ask", "hi", "--model", "slow", "--key", key, check=False)
    assert other.returncode == 2 and "the key bot is not for slow" in other.stderr
    assert key not in stack.warden("key", "list", "--json").stdout
    stack.warden("key", "revoke", "bot")
    wait_until("the key to be worthless", lambda: asked().returncode == 2)
    assert "not known here" in asked().stderr and asked("--http").returncode == 2
    logs = "".join(log.read_text() for log in stack.paths.logs.iterdir())
    assert key not in logs


def test_the_route_follows_what_the_relay_does(stack: LiveStack) -> None:
    shown = stack.warden("route", "--dry-run", "hi").stdout.splitlines()
    assert shown[3].split()[:4] == ["->", "mlx", "slow", "open"] and shown[4].split()[:3] == ["ollama", "far", "open"]
    assert shown[-1].startswith("answered by mlx: the first of its chain")
    assert "relay-ollama" in stack.warden("ps").stdout.split("RELAY")[1]
    relays = stack.warden("ctl", "models").stdout.split("RELAY")[1]
    assert relays.splitlines()[1].split()[:2] == ["relay-ollama", "ready"] and "closed" in relays
