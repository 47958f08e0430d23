"""The three roles of the bare relay, in threads: every request comes back, and the roles can be ended."""

import os
import threading
from contextlib import ExitStack, contextmanager

import msgspec
import pytest
import zmq

from bench.ref_relay import OUTSTANDING_MAX, WORKER_NAME, Order, Relayed, ask, open_socket, relay, work

ENDED_WITHIN_S = 10


@contextmanager
def role(target, *sockets):
    """Runs it in a thread until the block ends, by the end of its orders."""
    reading, writing = os.pipe()
    thread = threading.Thread(target=target, args=(*sockets, reading), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(writing)
        thread.join(ENDED_WITHIN_S)
        assert not thread.is_alive(), "it did not see the end of its orders"
        os.close(reading)


@pytest.fixture
def front(tmp_path):
    """The client's socket, with relay and worker behind it."""
    ends = [f"ipc://{tmp_path}/{name}" for name in ("front", "back")]
    with ExitStack() as running:
        def opened(kind, **where):
            return running.enter_context(open_socket(kind, **where))
        running.enter_context(role(relay, opened(zmq.ROUTER, bind=ends[0]), opened(zmq.ROUTER, bind=ends[1])))
        running.enter_context(role(work, opened(zmq.DEALER, connect=ends[1], name=WORKER_NAME)))
        yield opened(zmq.DEALER, connect=ends[0])


@pytest.mark.parametrize("requests, outstanding", [(1, 1), (5, 1), (300, 64), (3, 64)])
def test_every_request_comes_back(front, requests, outstanding):
    relayed = ask(front, Order(requests, outstanding))
    assert len(relayed.latencies_s) == requests
    assert all(0 < latency_s <= relayed.wall_s for latency_s in relayed.latencies_s)


def test_one_order_after_another(front):
    assert [len(ask(front, Order(requests, 4)).latencies_s) for requests in (2, 9, 1)] == [2, 9, 1]


@pytest.mark.parametrize("order", [{"requests": 0, "outstanding": 1}, {"requests": 1, "outstanding": 0},
                                   {"requests": 1, "outstanding": OUTSTANDING_MAX + 1}])
def test_an_order_without_work_or_too_large_is_refused(order):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(order, Order)


def test_what_is_measured_survives_the_pipe():
    relayed = Relayed([0.001, 0.25], 0.3)
    assert msgspec.json.decode(msgspec.json.encode(relayed), type=Relayed) == relayed
