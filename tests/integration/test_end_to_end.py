"""One question, answered end to end by real processes: over ZeroMQ and HTTP, under load, and after a death."""

import json
import shutil
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zmq
from safetensors.numpy import save_file

from control.states import Phase
from gateway import protocol
from gateway.client import GatewayError
from gateway.protocol import Accepted, Done, Tokens
from tests.support.models import model_path
from tests.support.supervisor_home import wait_until

pytestmark = pytest.mark.integration

ECHO = """
[control]
prewarm = 0
[models.a]
engine = "echo"
batch_size = 8
"""


def answer_of(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, Tokens))


# -- one question ------------------------------------------------------------------------------------------------


def test_over_zeromq_a_real_model_streams(stack):
    with stack.client() as client:
        events = list(client.generate(model="tiny", messages=[{"role": "user", "content": "hello"}],
                                      options={"max_tokens": 24, "seed": 7, "temperature": 1.0}))
    assert isinstance(events[0], Accepted) and isinstance(events[-1], Done)
    tokens = [event for event in events if isinstance(event, Tokens)]
    assert len(tokens) > 5, "it streams: not one piece at the end"
    assert [i for event in tokens for i in event.ids] and answer_of(events)
    done = events[-1]
    assert done.usage.completion_tokens == sum(len(event.ids) for event in tokens) <= 24
    assert done.usage.prompt_tokens > 0 and done.timings.total_ms > 0


def test_the_same_seed_gives_the_same_answer_over_http_in_both_dialects(stack):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": False}
    status, ollama = stack.post("/api/chat", body | {"options": {"num_predict": 16, "seed": 7, "temperature": 1.0}})
    assert status == 200 and ollama["done"] and ollama["message"]["content"]
    status, openai = stack.post("/v1/chat/completions", body | {"max_tokens": 16, "seed": 7, "temperature": 1.0})
    assert status == 200
    assert openai["choices"][0]["message"]["content"] == ollama["message"]["content"]
    assert openai["usage"]["completion_tokens"] == ollama["eval_count"]


@pytest.mark.parametrize("path, last", [("/api/chat", '"done":true'), ("/v1/chat/completions", "[DONE]")])
def test_over_http_it_streams(stack, path, last):
    body = {"model": "tiny-alias", "messages": [{"role": "user", "content": "hello"}], "stream": True,
            "max_tokens": 16, "options": {"num_predict": 16}}
    request = urllib.request.Request(stack.url + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line]
        assert answer.headers["X-Warden-Model"] == "tiny" and answer.headers["X-Warden-Route"] == "mlx"
        assert answer.headers["X-Request-Id"] and "queue;dur=" in answer.headers["Server-Timing"]
    assert len(lines) > 5 and last in lines[-1].replace(" ", "")


def test_eight_streams_of_one_model_decode_as_one_batch(make_stack):
    """Steps counted by the engine thread, not guessed: eight answers of n tokens take about n steps, not 8 n."""
    stack = make_stack(f"""
[limits]
max_running = 8
[models.tiny]
path = "{model_path("1m")}"
preload = true
""").up()
    wait_until("the model", lambda: (row := stack.row("tiny")) and row.worker and row.worker.phase == Phase.READY, 60)
    before = stack.row("tiny").worker.steps
    together = threading.Barrier(8)

    def ask(number: int) -> int:
        with stack.client() as client:
            together.wait()
            events = list(client.generate(prompt="the quick brown fox", options={
                "max_tokens": 200, "seed": number, "temperature": 1.0}))
        return events[-1].usage.completion_tokens

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(ask, range(8)))
    wait_until("the last words", lambda: stack.row("tiny").worker.active == 0)
    steps = stack.row("tiny").worker.steps - before
    assert sum(counts) > 800 and steps < sum(counts) / 3, f"{steps} steps for {counts}"


# -- under load --------------------------------------------------------------------------------------------------


def test_sixty_at_once_then_a_high_and_the_counters_add_up(make_stack):
    """Five answers run and do not end until HIGH is there, so nothing depends on who is how fast. None is paused
    for it: what the queue does is to be seen.
    """
    stack = make_stack("[limits]\npreemption = false\n" + ECHO).up()
    running = [begin_endless(stack) for _ in range(5)]
    ends: dict[str, object] = {}
    lock = threading.Lock()
    sent = threading.Barrier(61)

    def ask(name: str, priority: str) -> None:
        with stack.client() as client:
            if priority == "medium":
                sent.wait()
            try:
                end = list(client.generate(prompt="#tokens=60", priority=priority, caller="one"))[-1]
            except GatewayError as error:
                end = error
            with lock:
                ends[name] = end

    threads = [threading.Thread(target=ask, args=(f"m{n}", "medium")) for n in range(60)]
    for thread in threads:
        thread.start()
    sent.wait()
    wait_until("50 waiting, the others refused", lambda: (
        stack.gateway_words().queued_medium == 50 and len(ends) == 10))
    assert stack.gateway_words().running_medium == 5
    assert {(e.code, e.status) for e in ends.values()} == {("queue_full", 503)}
    assert all(1 <= e.retry_after_s <= 120 for e in ends.values())
    threads.append(threading.Thread(target=ask, args=("h", "high")))
    threads[-1].start()
    wait_until("HIGH in the place of another", lambda: len(ends) == 11)
    assert (stack.gateway_words().queued_high, stack.gateway_words().queued_medium) == (1, 49)
    (displaced,) = [e for e in ends.values() if e.code == "displaced"]
    assert displaced.status == 503 and displaced.retry_after_s >= 1
    for gone in running:
        gone.close(linger=0)
    for thread in threads:
        thread.join(60)
    words = wait_until("the last count", lambda: (w := stack.gateway_words()).running_medium == 0 and w)
    waits = {name: e.timings.queue_ms for name, e in ends.items() if isinstance(e, Done)}
    assert (len(ends), len(waits)) == (61, 50) and min(waits, key=waits.get) == "h", "it came last and began first"
    assert words.admitted_medium + words.admitted_high == 56 == words.finished + words.displaced + words.cancelled
    assert (words.rejected, words.displaced, words.cancelled, words.expired, words.failed) == (10, 1, 5, 0, 0)
    row = stack.row("a").gateway
    assert row.dispatched == row.finished == 55


def begin_endless(stack) -> zmq.Socket:
    """A client that gets an answer without end, until the socket is closed."""
    client = zmq.Context.instance().socket(zmq.DEALER)
    client.connect(stack.paths.endpoint("clients"))
    client.send(protocol.encode({"type": "submit", "id": "1", "prompt": "#tokens=1000000 #rate=20"}))
    while not isinstance(protocol.decode_event(client.recv()), Tokens):
        pass
    return client


def test_a_client_that_vanishes_frees_its_slot(make_stack):
    stack = make_stack("[limits]\nmax_running = 1\n" + ECHO + "[models.a.echo]\nrate_per_s = 20\n").up()
    begin_endless(stack).close(linger=0)  # as a process that was killed
    with stack.client() as other:
        assert answer_of(list(other.generate(prompt="#tokens=3"))).split() == ["t0", "t1", "t2"]
    assert stack.gateway_words().cancelled == 1


# -- after a death -----------------------------------------------------------------------------------------------


def test_every_process_may_be_killed_and_the_next_question_is_answered(make_stack):
    stack = make_stack(ECHO).up()

    def ask() -> str:
        with stack.client() as client:
            return answer_of(list(client.generate(prompt="#tokens=4")))

    assert ask() == "t0 t1 t2 t3"
    stack.kill("worker-a")
    assert ask() == "t0 t1 t2 t3", "after the worker"
    for program in ("control", "gateway", "http"):
        killed = stack.kill(program)
        wait_until(f"another {program}", lambda k=killed, p=program: stack.pid_of(p) not in (0, k), 10)
        stack.wait_ready()
        assert ask() == "t0 t1 t2 t3", f"after {program}"
        status, body = stack.post("/api/generate", {"model": "a", "prompt": "#tokens=2", "stream": False})
        assert (status, body["response"]) == (200, "t0 t1"), f"after {program}"
    assert stack.starts_of("a") == 2, "one start, and one after its death: control, gateway and http cost none"


@pytest.mark.parametrize("fault, starts", [("header", 0), ("tensors", 3)])
def test_a_model_that_cannot_be_loaded_is_refused_with_its_reason_in_the_end(make_stack, tmp_path, fault, starts):
    """A damaged header is found before anything starts; what only loading shows, after three tries."""
    broken = tmp_path / "broken"
    shutil.copytree(model_path("1m"), broken)
    if fault == "header":
        (broken / "model.safetensors").write_bytes(b"not safetensors")
    else:
        save_file({"of.another.model": np.zeros(4, np.float32)}, broken / "model.safetensors")
    stack = make_stack(f"""
[control]
prewarm = 0
[models.broken]
path = "{broken}"
""").up()
    with stack.client() as client, pytest.raises(GatewayError) as refused:
        list(client.generate(prompt="hello"))
    assert (refused.value.code, refused.value.status) == ("model_unavailable", 503)
    why = {"header": "model.safetensors", "tensors": "of.another.model"}[fault]
    assert why in refused.value.message and "\n" not in refused.value.message and refused.value.retry_after_s > 0
    assert stack.row("broken").control.phase == Phase.QUARANTINED
    assert stack.starts_of("broken") == starts
