"""What the benches start, for real: references and stacks give the same work, and leave nothing behind."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from random import Random

import psutil
import pytest

from bench.arrivals import closed_loop
from bench.load import Target, run_load
from bench.program import BenchFailed, Program, own_environment, own_folder, run_command
from bench.ref_batch import bare_batch
from bench.ref_echo import uvicorn_echo
from bench.ref_relay import bare_relay
from bench.ref_server import mlx_lm_server
from bench.stack import Stack
from gateway.client import BlockingClient
from gateway.protocol import Done, Message, Options
from tests.support.models import model_path
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

ANSWERS = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
COMPLAINS = "import sys; print('first', file=sys.stderr); sys.exit('no such model')"
IGNORES_TERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""
A_STACK = """
import signal
from bench.ref_echo import uvicorn_echo
from bench.stack import Stack
with Stack.started({"echo": ""}) as stack, uvicorn_echo(stack._folder) as (_, program):
    print(stack._folder, program.pid, *stack.pids(), flush=True)
    signal.pause()
"""
ENDED_WITHIN_S = 60
PATIENCE_S = 20


@pytest.fixture
def folder():
    with own_folder() as path:
        yield path


@pytest.fixture
def talker(folder):
    """`talker(CODE)`: a Python program that talks, ended with the test."""
    started = []

    def start(code):
        started.append(Program("talker", [sys.executable, "-c", code], folder, talks=True))
        return started[-1]

    yield start
    for program in started:
        program.end(0)


# -- programs ----------------------------------------------------------------------------------------------------


def test_one_line_there_and_one_back(talker):
    program = talker(ANSWERS)
    assert [program.ask(line, PATIENCE_S) for line in (b"abc", b"", b"xy")] == [b"cba", b"", b"yx"]
    program.end()
    assert not program.runs
    program.end()


def test_a_program_that_ends_is_told_with_its_last_words(talker):
    with pytest.raises(BenchFailed, match=r"^talker ended: no such model$"):
        talker(COMPLAINS).next_line(PATIENCE_S)


def test_a_silent_program_is_not_waited_for_for_ever(talker):
    with pytest.raises(BenchFailed, match="talker gave no answer within 0.05 s"):
        talker("import time; time.sleep(60)").next_line(0.05)


def test_a_program_that_does_not_end_is_killed(talker):
    program = talker(IGNORES_TERM)
    assert program.next_line(PATIENCE_S) == b"up"
    program.end(0.05)
    assert not program.runs and not psutil.pid_exists(program.pid)


def test_one_that_does_not_listen_is_told(talker):
    with pytest.raises(BenchFailed, match="talker ended: no such model"):
        talker(COMPLAINS).wait_listening(9, PATIENCE_S)


def test_a_command_that_fails_or_takes_too_long_is_told(folder):
    before = psutil.Process().children()
    assert run_command("it", [sys.executable, "-c", "print(1)"], folder, PATIENCE_S) == "1\n"
    with pytest.raises(BenchFailed, match="it failed with code 1: no such model"):
        run_command("it", [sys.executable, "-c", COMPLAINS], folder, PATIENCE_S)
    with pytest.raises(BenchFailed, match="it took longer than 0.05 s"):
        run_command("it", [sys.executable, "-c", "import time; time.sleep(60)"], folder, 0.05)
    assert psutil.Process().children() == before


# -- references --------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_bare_generator_our_stack_and_mlx_lm_server_do_the_same_work(folder):
    """The same prompts, token for token, and the same number of tokens in the answers."""
    asks = closed_loop(Random(1), 6, {"medium": 1.0}, 60, 5)
    path = str(model_path("1m"))
    with bare_batch(path, 4, folder) as batch:
        measured = batch.run(asks, 4)
        assert batch.run(asks, 4).tokens == measured.tokens, "one order after another"
    with Stack.started({"1m": f'path = "{path}"'}) as stack, mlx_lm_server(path, 4, folder) as (server, _):
        with BlockingClient(stack.clients) as client:
            ends = [list(client.generate(messages=[Message("user", ask.prompt)], options=Options(
                max_tokens=5, temperature=0.0)))[-1] for ask in asks]
        targets = [Target("zmq", "zmq", stack.clients), Target("http", "http", stack.url), server]
        heard = {target.name: run_load(target, asks, streams=4).heard for target in targets}
    assert all(isinstance(end, Done) for end in ends)
    assert measured.prompt_tokens == sum(end.usage.prompt_tokens for end in ends)
    assert measured.tokens == 6 * 5 and measured.wall_s > 0
    for name, answers in heard.items():
        assert [(one.outcome, one.tokens, one.by_usage) for one in answers] == [("done", 5, True)] * 6, name


def test_a_model_that_cannot_be_loaded_is_told_in_one_line(folder):
    with pytest.raises(BenchFailed, match="^bare-batch ended: ") as failed, bare_batch(str(folder / "gone"), 1, folder):
        pass
    assert "\n" not in str(failed.value)


def test_the_bare_relay_brings_everything_back_and_is_gone_afterwards(folder):
    with bare_relay(folder) as relay:
        assert len(relay.pids) == 3 and all(map(psutil.pid_exists, relay.pids))
        assert len(relay.run(50, 1).latencies_s) == 50
        assert len(relay.run(500, 64).latencies_s) == 500
    assert not any(map(psutil.pid_exists, relay.pids))


def test_the_bare_web_server_answers_our_load_generator(folder):
    with uvicorn_echo(folder) as (target, program):
        heard = run_load(target, closed_loop(Random(1), 20, {"high": 1.0}, 60, 1), streams=4).heard
        assert [(one.outcome, one.tokens) for one in heard] == [("done", 1)] * 20
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(urllib.request.Request(target.address, b"{"), timeout=PATIENCE_S)
    assert not psutil.pid_exists(program.pid)


# -- stacks ------------------------------------------------------------------------------------------------------


def test_a_stack_serves_and_leaves_nothing_behind():
    with Stack.started({"echo": "batch_size = 2"}, max_running=2, max_queued=7) as stack:
        pids, folder = stack.pids(), stack._folder
        assert len(pids) >= 5, "supervisord, control, gateway, http, a worker"
        heard = [run_load(Target("x", kind, address), closed_loop(Random(1), 4, {"low": 1.0}, 20, 3), streams=2).heard
                 for kind, address in (("http", stack.url), ("zmq", stack.clients))]
        with BlockingClient(stack.clients) as client:
            assert client.show("echo").batch_max == 2 and client.stats().max_queued == 7
    assert [[one.tokens for one in each] for each in heard] == [[3] * 4] * 2
    assert not any(map(psutil.pid_exists, pids)) and not folder.exists() and stack.pids() == []


def test_a_stack_goes_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), Stack.started({"echo": ""}) as stack:
        pids, folder = stack.pids(), stack._folder
        raise ZeroDivisionError
    assert pids and not any(map(psutil.pid_exists, pids)) and not folder.exists()


def test_a_stack_that_cannot_start_is_told_in_one_line():
    with pytest.raises(BenchFailed, match="^warden up failed with code 2: .*max_running") as failed:
        with Stack.started({"echo": ""}, max_running=0):
            pass
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long),
                                    pytest.param(signal.SIGTERM, marks=pytest.mark.long), signal.SIGKILL])
def test_a_bench_that_is_ended_takes_its_stack_along(number, folder):
    bench = subprocess.Popen([sys.executable, "-c", A_STACK], cwd=folder, env=own_environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with bench:
        home, *pids = bench.stdout.readline().split()
        bench.send_signal(number)
        wait_until("its end", lambda: bench.poll() is not None, ENDED_WITHIN_S)
    assert len(pids) >= 6
    if number == signal.SIGKILL:  # then its guard does it, afterwards
        wait_until("the end of its folder", lambda: not Path(home).exists(), ENDED_WITHIN_S)
        wait_until("the end of all", lambda: not any(psutil.pid_exists(int(pid)) for pid in pids), ENDED_WITHIN_S)
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)
    assert not Path(home).exists()
