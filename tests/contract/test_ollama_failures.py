"""The `ollama` package when things go wrong: what is refused, what breaks off, who leaves; models that come and go."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import ollama
import pytest

from tests.support.supervisor_home import wait_until

LONG = [{"role": "user", "content": "#tokens=100000 #rate=50"}]
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def client(base_url):
    return ollama.Client(base_url)


@pytest.fixture
def idle(stack):
    """How many answers are under way."""
    def running() -> int:
        with stack.client() as asking:
            return sum(asking.stats().running)

    yield running
    wait_until("nothing under way", lambda: running() == 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_model_that_is_not_there_is_404_in_words_that_clients_look_for(client, stream):
    for ask in (client.chat, client.generate):
        with pytest.raises(ollama.ResponseError, match='^model "nobody" not found') as refused:
            list(ask("nobody", HI if ask == client.chat else "hi", stream=stream))
        assert refused.value.status_code == 404
    for ask in (client.show, lambda name: client.generate(name)):
        with pytest.raises(ollama.ResponseError, match='model "nobody" not found') as refused:
            ask("nobody")
        assert refused.value.status_code == 404


@pytest.mark.parametrize(("how", "field"), [
    ({"options": {"temperature": "hot"}}, "options.temperature"), ({"format": "json5"}, "format"),
    ({"keep_alive": "soon"}, "keep_alive"), ({"top_logprobs": 21}, "top_logprobs"),
])
def test_a_wrong_field_is_400_and_named(client, how, field):
    body = {"model": "echo", "messages": HI, "stream": False} | how
    with pytest.raises(ollama.ResponseError, match=f"^{field}: ") as refused:
        client._request_raw("POST", "/api/chat", json=body)  # the package itself would not send such a body
    assert refused.value.status_code == 400


def test_a_worker_that_dies_in_mid_answer_is_an_error_and_never_an_end(client, stack, idle):
    heard = []
    with pytest.raises(ollama.ResponseError, match="died after token"):
        for part in client.chat("echo", LONG, stream=True):
            heard.append(part)
            if len(heard) == 3:
                stack.kill("worker-echo")
    assert len(heard) >= 3 and not any(part.done for part in heard)
    assert client.chat("echo", HI).message.content, "the next request finds another worker"


def test_a_worker_that_dies_fails_a_whole_answer_with_a_status(stack, client, idle):
    stack.load("echo")

    def at_work() -> tuple[int, int] | None:
        """Incarnation and tokens of the worker that answers now; a word that is being written reads as None."""
        row = stack.row("echo")
        words = row.worker if row is not None else None
        return (words.incarnation, words.tokens_out) if words is not None and words.active else None

    def kill_in_mid_answer() -> None:
        incarnation, before = wait_until("a worker at work", at_work)
        wait_until("tokens", lambda: (now := at_work()) and now[0] == incarnation and now[1] > before + 3)
        os.kill(wait_until("its process", lambda: stack.pid_of("worker-echo")), signal.SIGKILL)

    with ThreadPoolExecutor(1) as other:
        killing = other.submit(kill_in_mid_answer)
        with pytest.raises(ollama.ResponseError, match="died after token") as failed:
            client.chat("echo", LONG)
        killing.result()
    assert failed.value.status_code == 500


def test_who_leaves_ends_its_request(client, stack, idle):
    stream = client.chat("echo", LONG, stream=True)
    next(stream)
    before = len(stack.journal("request_failed", "http", status=499))
    stream.close()
    wait_until("its request to end", lambda: idle() == 0)
    [line] = wait_until("a line in the journal", lambda: stack.journal("request_failed", "http", status=499)[before:])
    assert (line["path"], line["model"], line["code"]) == ("/api/chat", "echo", "caller_left")
    assert "#tokens" not in str(line)


def test_loading_and_unloading(client, stack, idle):
    for ask in (lambda **how: client.generate("random", **how), lambda **how: client.chat("random", **how)):
        loaded = ask(keep_alive="1h")
        assert loaded.done and loaded.done_reason == "load"
        [shown] = [model for model in client.ps().models if model.model == "random:latest"]
        assert shown.size > 0 and shown.size_vram == shown.size and shown.context_length == 4096
        assert shown.expires_at is not None and shown.digest and shown.details.family == "llama"
        assert ask(keep_alive=0).done_reason == "unload"
        wait_until("it to be gone", lambda: "random:latest" not in [model.model for model in client.ps().models])


def test_a_model_kept_for_ever_expires_in_the_far_future(client):
    client.generate("random", keep_alive=-1)
    wait_until("it to be kept", lambda: [model for model in client.ps().models if model.model == "random:latest"
                                         and model.expires_at.year > 2300])
    client.generate("random", keep_alive="5m")
