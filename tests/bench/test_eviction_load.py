"""bench/eviction_load.py: what is asked, and the process of the clients against a gateway that the test plays."""

import threading
from collections import Counter

import msgspec
import multiprocess
import pytest
import zmq

from bench import eviction_load
from bench.eviction_check import words_of
from bench.eviction_load import LENGTHS, Asks, Plan, decode_news, encode, generate
from bench.program import own_folder
from gateway import protocol
from gateway.protocol import Accepted, Done, Started, Timings, Tokens, Usage, Welcome

WITHIN_S = 20.0
SUBMITS = 10


def plan(endpoint="ipc:///nowhere", rate_per_s=400.0, seed="1/asks"):
    return Plan(endpoint, ["m0", "m1"], rate_per_s, seed)


def test_the_same_seed_asks_for_the_same():
    drawn = [[asks.draw() for _ in range(200)] for asks in (Asks(plan()), Asks(plan()), Asks(plan(seed="2")))]
    assert drawn[0] == drawn[1] != drawn[2]
    models, lengths, prompts, gaps_s = zip(*drawn[0], strict=True)
    assert min(Counter(models).values()) > 60
    assert {*lengths} == set(range(LENGTHS[0], LENGTHS[1] + 1))
    assert all(f"#tokens={length} " in prompt for length, prompt in zip(lengths, prompts, strict=True))
    assert 0.001 < sum(gaps_s) / len(gaps_s) < 0.005


def answer_of(submit, end):
    length = int(submit.prompt.split("#tokens=")[1].split()[0])
    done = Done(submit.id, "stop", submit.model, Usage(2, length), Timings(0, 0, 0, 0, 0), "medium")
    return [Accepted(submit.id, 1, submit.model, "medium", 0), Started(submit.id, submit.model, "mlx", "", 1, 0.0, 0.0),
            Tokens(submit.id, 0, list(range(length)), words_of(0, length)), *([done] if end else [])]


def play_gateway(socket, submits, unanswered):
    """Greets, answers so many requests, all of them whole but for the first few, which get no end."""
    seen = 0
    while seen < submits and socket.poll(WITHIN_S * 1000):
        client, frame = socket.recv_multipart()
        message = protocol.decode_from_client(frame)
        if isinstance(message, protocol.Hello):
            assert message.batch
            events = [Welcome(1, 7, 1, "0")]
        else:
            seen += 1
            events = answer_of(message, end=seen > unanswered)
        socket.send_multipart([client, protocol.encode(events)])
    return seen


@pytest.fixture
def gateway():
    """`(socket, endpoint)` of the gateway that the test plays."""
    with own_folder() as folder:
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        socket.linger = 0
        socket.bind(f"ipc://{folder}/clients.ipc")
        yield socket, f"ipc://{folder}/clients.ipc"
        socket.close()


def run_clients(gateway, unanswered):
    """Ten answers, then the order to stop. Returns all news."""
    socket, endpoint = gateway
    ours, theirs = multiprocess.Pipe()
    clients = threading.Thread(target=generate, args=(theirs,))
    clients.start()
    ours.send_bytes(encode(plan(endpoint)))
    assert play_gateway(socket, SUBMITS, unanswered) == SUBMITS
    ours.send_bytes(b"")
    socket.setsockopt(zmq.RCVTIMEO, 0)
    news = []
    while not news or not news[-1].is_last:
        late = play_late(socket)
        assert ours.poll(0.01) or late or clients.is_alive()
        while ours.poll():
            news.append(decode_news(ours.recv_bytes()))
    clients.join(WITHIN_S)
    assert not clients.is_alive()
    return news


def play_late(socket):
    """Answer what was sent before the order to stop arrived."""
    seen = 0
    while True:
        try:
            client, frame = socket.recv_multipart()
        except zmq.Again:
            return seen
        seen += 1
        socket.send_multipart([client, protocol.encode(answer_of(protocol.decode_from_client(frame), end=True))])


@pytest.fixture(autouse=True)
def in_a_thread(monkeypatch):
    """The process's own signals are not the test's."""
    monkeypatch.setattr(eviction_load.signal, "signal", lambda *_: None)


def test_every_answer_is_checked_and_counted(gateway):
    news = run_clients(gateway, unanswered=0)
    last = news[-1]
    assert last.sent == last.ended == last.done >= SUBMITS
    assert (last.lost, last.outstanding, last.refused, last.held_back, last.errors) == (0, 0, 0, 0, {})
    assert last.asking_s > 0 and last.cpu_s > 0
    assert [one.is_last for one in news] == [False] * (len(news) - 1) + [True]


def test_an_answer_without_an_end_is_a_loss_when_the_wait_is_over(gateway, monkeypatch):
    monkeypatch.setattr(eviction_load, "DRAIN_WITHIN_S", 0.3)
    last = run_clients(gateway, unanswered=2)[-1]
    assert last.outstanding == last.lost == last.sent - last.ended == 2
    assert [(loss.request, loss.what) for loss in last.losses] == [(1, "no end"), (2, "no end")]


def test_it_ends_when_nobody_reads_the_news(gateway):
    ours, theirs = multiprocess.Pipe()
    clients = threading.Thread(target=generate, args=(theirs,))
    clients.start()
    ours.send_bytes(encode(plan(gateway[1])))
    ours.close()
    clients.join(WITHIN_S)
    assert not clients.is_alive()


def test_news_are_plain_data():
    assert set(msgspec.structs.asdict(decode_news(encode(eviction_load.News(
        1, 1, 1, 0, 0, 0, {}, 0, [], 1.0, 0.1, True))))) >= {"sent", "losses", "is_last"}
