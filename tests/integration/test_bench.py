"""The benches as a user runs them, with real generators, real stacks and short settings."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from random import Random

import psutil
import pytest

from bench.arrivals import closed_loop, open_loop
from bench.load import LoadFailed, Target, run_load
from tests.support.supervisor_home import ROOT, free_port, wait_until

pytestmark = pytest.mark.integration

MIX = {"high": 1.0, "low": 1.0}
BENCH_WITHIN_S = 100.0
MARK = "BENCH_TEST_MARK"


@pytest.fixture
def bench(tmp_path):
    """Starts `python -m bench ...` in an empty directory, in a session of its own; ended with the test."""
    started = []

    def start(*words, **environ):
        env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
        started.append(subprocess.Popen([sys.executable, "-m", "bench", *words], cwd=tmp_path, env=env, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        with process:
            if process.poll() is None:
                process.terminate()  # it ends its stack and leaves


def measured(process, path):
    """What it printed, and the JSON it wrote."""
    told, errors = process.communicate(timeout=BENCH_WITHIN_S)
    assert process.returncode == 0, errors
    result = json.loads(path.read_text())
    assert told.splitlines()[-1] == f"All figures: {path}"
    assert max(map(len, told.splitlines())) <= 120
    assert result["machine"]["versions"]["mlx-warden"]
    assert result["command"] in told.replace("\n           ", " ")
    assert not list(path.parent.glob("bench-*")), "--json says where, and nothing else is written"
    return told, result


# -- the load generators ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["http", "ollama", "zmq"])
def target(stack, request):
    address = stack.paths.endpoint("clients") if request.param == "zmq" else stack.url
    return Target(request.param, request.param, address, "tiny")


def test_a_closed_loop_over_two_processes_brings_back_every_ask(target):
    asks = closed_loop(Random(1), 7, MIX, 60, 5)
    loaded = run_load(target, asks, streams=3, processes=2)
    assert [one.klass for one in loaded.heard] == [ask.klass for ask in asks]
    assert {(one.outcome, one.tokens, one.by_usage) for one in loaded.heard} == {("done", 5, True)}
    assert all(0 <= one.at_s == one.sent_s < one.first_s <= one.end_s for one in loaded.heard)
    assert loaded.generator_cpu_s > 0


def test_an_open_loop_sends_at_the_times_of_its_schedule(target):
    asks = open_loop(Random(1), 20, 0.5, MIX, 60, 5)
    heard = run_load(target, asks).heard
    assert [one.at_s for one in heard] == [ask.at_s for ask in asks]
    assert all(one.at_s <= one.sent_s for one in heard)
    assert {one.outcome for one in heard} == {"done"}


@contextmanager
def silent_server():
    """Takes every request and answers none. Yields its URL and an event: somebody asks."""
    asked, ready, loop = threading.Event(), threading.Event(), asyncio.new_event_loop()
    urls = []

    async def serve(reader, writer):
        if (await reader.readline()).startswith(b"POST"):
            asked.set()
            await reader.read()
        writer.close()

    async def listen():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        ready.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(listen()), loop.run_forever(), loop.close()))
    thread.start()
    assert ready.wait(BENCH_WITHIN_S)
    yield urls[0], asked
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def generators():
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_generator_that_is_killed_ends_the_run_and_nothing_is_left():
    def kill_one():
        asked.wait(BENCH_WITHIN_S)
        generators()[0].kill()

    with silent_server() as (url, asked):
        killer = threading.Thread(target=kill_one)
        killer.start()
        with pytest.raises(LoadFailed, match="exit code -9"):
            run_load(Target("t", "http", url, "m"), closed_loop(Random(1), 4, MIX, 20, 1), streams=2, processes=2)
        killer.join()
    assert generators() == []


# -- latency ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_latency_of_a_stack_of_its_own_and_of_another_server(bench, stack, tmp_path):
    path = tmp_path / "x.json"
    told, result = measured(bench(
        "latency", "--model", "1m", "--rate", "10", "--duration", "1", "--rounds", "2", "--max-tokens", "4", "--mix",
        "high=1,low=1", "--seed", "3", "--max-running", "2", "--against", f"other={stack.url}/v1", "--model-of",
        "other=tiny-alias", "--json", str(path)), path)
    assert list(result["targets"]) == ["warden", "warden-zmq", "other"]
    for name, target in result["targets"].items():
        median = target["median"]
        assert median["all"]["n"] == median["all"]["done"] == sum(one["n"] for one in median["classes"].values()), name
        assert list(median["classes"]) == ["high", "low"]
        assert median["all"]["ttft_ms"]["p50"] <= median["all"]["total_ms"]["p99"]
        assert [turn["figures"]["summary"]["tokens_by"] for turn in target["rounds"]] == ["usage", "usage"]
        assert f"{name}: " in told
    asked = {target["median"]["all"]["n"] for target in result["targets"].values()}
    assert len(asked) == 1, "all have the same schedule"
    assert "first text p50, warden beside other" in [figure["what"] for figure in result["figures"]]
    assert (result["seed"], result["model"], result["settings"]["max_running"]) == (3, "1m", 2)


def test_latency_of_a_running_stack_in_a_closed_loop(bench, stack, tmp_path):
    path = tmp_path / "x.json"
    _, result = measured(bench("latency", "--url", stack.url, "--model-of", "warden=echo", "--closed", "3",
                               "--requests", "6", "--rounds", "1", "--generators", "2", "--json", str(path)), path)
    assert list(result["targets"]) == ["warden"]
    assert result["targets"]["warden"]["median"]["all"]["done"] == 6
    assert result["settings"]["closed_loop_streams"] == 3


@pytest.mark.parametrize(("words", "says"), [
    (["--url", "http://127.0.0.1:{port}"], "does not answer"),
    (["--url", "{stack}", "--model-of", "warden=nobody"], "first request was error: 404 model_not_found"),
    (["--json", "missing/x.json"], "cannot be written"),
], ids=["nobody there", "no such model", "no such folder"])
def test_what_cannot_be_measured_is_one_line_before_anything_is(bench, stack, tmp_path, words, says):
    filled = [word.format(port=free_port(), stack=stack.url) for word in words]
    process = bench("latency", *filled)
    told, errors = process.communicate(timeout=BENCH_WITHIN_S)
    [line] = [line for line in errors.splitlines() if not line.startswith("...")]
    assert (process.returncode, told) == (1, "")
    assert line.startswith("bench latency: ")
    assert says in line
    assert list(tmp_path.iterdir()) == []


def marked(mark):
    """Our programs that were started below the bench with this mark: environments are inherited."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_ctrl_c_ends_the_bench_and_the_stack_it_started(bench, tmp_path):
    mark = str(tmp_path)
    process = bench("latency", "--model", "echo", "--duration", "60", "--rounds", "1", **{MARK: mark})
    heard = ""
    while "first request" not in heard:
        heard = process.stderr.readline()
        assert heard, "it ended by itself"
    # its stack runs now: supervisord and others that are not the bench's own session
    assert any(os.getsid(one.pid) != process.pid for one in marked(mark))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=BENCH_WITHIN_S)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "bench latency: ended by Ctrl-C"
    wait_until("the end of all that it started", lambda: not marked(mark))
    assert list(tmp_path.iterdir()) == []


# -- throughput and overhead -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_throughput_beside_its_references(bench, tmp_path):
    path = tmp_path / "x.json"
    _, result = measured(bench("throughput", "--model", "1m", "--streams", "2,1", "--tokens", "4",
                               "--requests-per-stream", "2", "--rounds", "1", "--json", str(path)), path)
    assert list(result["targets"]) == ["2 streams, 1 M model", "1 stream, 1 M model"]
    for targets in result["targets"].values():
        assert set(targets) == {"bare-batch", "warden-zmq", "warden", "mlx_lm.server"}
        assert all(target["tokens_per_s"] > 0 for target in targets.values())
        assert targets["warden"]["rounds"][0]["cpu_s"].keys() >= {"gateway", "gateway.http", "workers"}
    assert {"tokens/s over HTTP, 2 streams, 1 M model", "CPU per token in gateway and http, 1 stream, 1 M model"} <= {
        figure["what"] for figure in result["figures"]}
    assert result["settings"]["max_running"] in (2, "2")


def test_overhead_beside_its_references(bench, tmp_path):
    path = tmp_path / "x.json"
    told, result = measured(bench("overhead", "--requests", "20", "--outstanding", "4", "--saturated-requests", "40",
                                  "--rounds", "1", "--json", str(path)), path)
    assert {"warden-zmq", "warden"} < set(result["targets"])
    assert [figure["target"] for figure in result["figures"]] == [1.8, 0.5, 1.5]
    assert "p99" in told
