"""The gateway's loop with real sockets and a real table, and control, workers and clients played by the test."""

import threading

import pytest
import zmq

from control import messages
from control.failpoints import Failpoint
from control.home import Home, prepare_home
from control.sockets import open_dealer, open_router
from control.states import Phase
from control.table import ControlWords, GatewayWords, RowControl, RowGateway, RowReason, Table, text_words
from gateway import protocol
from gateway.loop import Loop, at_send
from tests.support.gateway_world import make_config
from tests.support.supervisor_home import wait_until

WAIT_MS = 10_000


class Surroundings:
    def __init__(self, folder):
        self.home = Home(folder / "home")
        prepare_home(self.home)
        self.table = Table.create(self.home.table, 77)
        self.table.name_row(0, "a")
        header = self.table.writer(ControlWords)
        header.set(epoch=5, heartbeat_ns=1)
        header.flush()
        self.notes = []
        self.loop = Loop(make_config("a"), self.home, Table.open(self.home.table),
                         lambda event, **facts: self.notes.append(event))
        self.thread = threading.Thread(target=self.live)
        self.thread.start()
        self.context = zmq.Context()

    def live(self):
        self.loop.run()
        self.loop.close()

    def stop(self):
        self.loop.stopping = True
        self.thread.join(WAIT_MS / 1000)

    def client(self):
        return open_dealer(self.context, self.home.endpoint("clients"), 1 << 20, b"client")


@pytest.fixture
def around(tmp_path):
    around = Surroundings(tmp_path)
    yield around
    around.stop()
    around.context.destroy(linger=0)


def receive(socket, decode):
    assert socket.poll(WAIT_MS), "nothing came"
    return decode(socket.recv_multipart()[-1])


def test_control_is_greeted_until_it_answers(around):
    wait_until("a first greeting into the void", lambda: around.table.read(GatewayWords) is not None)
    control = open_router(around.context, around.home.endpoint("control"), 1 << 20)
    first, second = (receive(control, messages.decode_from_peer) for _ in range(2))
    assert isinstance(first, messages.GatewayHello) and first == second
    control.poll(WAIT_MS)
    identity = control.recv_multipart()[0]
    state = messages.ModelState(messages.VERSION, 5, "a", 1, Phase.DOWN, "for people")
    control.send_multipart((identity, messages.encode(state)))
    wait_until("its answer", lambda: "a" in around.loop.dispatcher.desk.states)
    while control.poll(0):
        control.recv_multipart()
    assert not control.poll(600), "it is not greeted again"


def test_who_waits_hears_that_the_gateway_stops(around):
    client = around.client()
    assert client.poll(WAIT_MS, zmq.POLLOUT)
    client.send(protocol.encode({"type": "submit", "id": "1", "prompt": "x"}))
    assert isinstance(receive(client, protocol.decode_event), protocol.Accepted)
    around.loop.stopping = True  # a client that reads has time to do so before the connection goes
    end = receive(client, protocol.decode_event)
    assert isinstance(end, protocol.Error) and end.code == "gateway_unavailable"


def test_a_table_made_anew_is_followed(around):
    replaced = Table.create(around.home.table, 78)
    replaced.name_row(0, "a")
    wait_until("its words", lambda: replaced.read(GatewayWords) is not None)
    assert around.loop.dispatcher.boot_id == 78 and "table_reopened" in around.notes
    replaced.close()


def test_frames_of_nobody_are_counted_and_the_loop_goes_on(around):
    client = around.client()
    assert client.poll(WAIT_MS, zmq.POLLOUT)
    client.send_multipart([b"too", b"many", b"parts"])
    client.send(b"\xc1")
    error = receive(client, protocol.decode_event)
    assert error.code == "invalid_request"
    client.send(protocol.encode({"type": "stats", "id": "2"}))
    stats = protocol.decode_stats(receive(client, protocol.decode_event).value)
    assert stats.dropped_frames == 2


def test_a_fence_in_the_table_is_answered_over_the_socket(around):
    control = open_router(around.context, around.home.endpoint("control"), 1 << 20)
    assert control.poll(WAIT_MS)
    identity, hello = control.recv_multipart()
    row = around.table.writer(RowControl, 0)
    row.set(incarnation=3, phase=Phase.ALIVE, fence_id=8)
    row.flush()
    control.send_multipart((identity, messages.encode(messages.Fence(messages.VERSION, 5, "a", 3, 8))))
    told = messages.decode_from_peer(hello)
    while isinstance(told, messages.GatewayHello):
        told = receive(control, messages.decode_from_peer)
    assert told == messages.Fenced(messages.VERSION, around.loop.dispatcher.epoch, "a", 3, 8)


def test_after_a_clock_was_set_back_the_control_process_of_a_table_made_anew_is_obeyed(around):
    control = open_router(around.context, around.home.endpoint("control"), 1 << 20)
    assert control.poll(WAIT_MS)
    identity = control.recv_multipart()[0]
    state = messages.ModelState(messages.VERSION, 5, "a", 1, Phase.DOWN)
    control.send_multipart((identity, messages.encode(state)))
    wait_until("the older one's word", lambda: "a" in around.loop.dispatcher.desk.states)
    anew = Table.create(around.home.table, 78)
    anew.name_row(0, "a")
    for kind, at, words in ((ControlWords, None, {"epoch": 4, "heartbeat_ns": 1}),
                            (RowControl, 0, {"incarnation": 3, "phase": Phase.ALIVE, "fence_id": 8})):
        writer = anew.writer(kind, at)
        writer.set(**words)
        writer.flush()
    wait_until("its words", lambda: anew.read(GatewayWords) is not None)
    control.send_multipart((identity, messages.encode(messages.Fence(messages.VERSION, 4, "a", 3, 8))))
    told = None
    while not isinstance(told, messages.Fenced):
        told = receive(control, messages.decode_from_peer)
        assert not isinstance(told, messages.GateBusy), "a fence of the new control process is void"
    anew.close()


def test_an_order_goes_to_control_and_back(around):
    control = open_router(around.context, around.home.endpoint("control"), 1 << 20)
    assert control.poll(WAIT_MS)
    client = around.client()
    assert client.poll(WAIT_MS, zmq.POLLOUT)
    client.send(protocol.encode({"type": "pin", "id": "1", "model": "a"}))
    ask = None
    while not isinstance(ask, messages.Ask):
        assert control.poll(WAIT_MS)
        identity, frame = control.recv_multipart()
        ask = messages.decode_from_peer(frame)
    control.send_multipart((identity, messages.encode(messages.Told(messages.VERSION, ask.id, "", "a is pinned"))))
    assert protocol.decode_order(receive(client, protocol.decode_event).value).text == "a is pinned"


def test_the_reason_of_a_row_is_read_from_the_table(around):
    reason = around.table.writer(RowReason, 0)
    reason.set(**text_words(RowReason, "ждёт места")._asdict())
    reason.flush()
    assert around.loop.read_reason("a") == "ждёт места" and around.loop.read_reason("nobody") == ""


def test_failpoints_stand_around_each_message(tmp_path, monkeypatch):
    message = messages.Idle(messages.VERSION, "a")
    (tmp_path / "gateway.send.idle.before").write_text("fail")
    at_send(message, "before")  # off: nobody looks
    for module in ("gateway.loop", "control.failpoints"):
        monkeypatch.setattr(f"{module}.DIRECTORY", str(tmp_path))
    at_send(message, "after")
    with pytest.raises(Failpoint, match=r"gateway\.send\.idle\.before"):
        at_send(message, "before")
    at_send(message, "before")


def test_control_is_woken_once_for_many_requests_that_wait_for_one_model(around):
    control = open_router(around.context, around.home.endpoint("control"), 1 << 20)
    assert control.poll(WAIT_MS)  # it is connected
    client = around.client()
    assert client.poll(WAIT_MS, zmq.POLLOUT)
    for number in range(50):  # one frame after another, read in a turn or two
        client.send(protocol.encode({"type": "submit", "id": str(number), "model": "a", "prompt": "x"}))
    client.send(protocol.encode({"type": "pin", "id": "last", "model": "a"}))
    kinds = []
    while not {messages.Want, messages.Ask} <= set(kinds):
        kinds.append(type(receive(control, messages.decode_from_peer)))
    assert kinds.count(messages.Want) < 25


def test_who_waits_stands_in_the_table_before_control_is_woken(around):
    control = open_router(around.context, around.home.endpoint("control"), 1 << 20)
    assert control.poll(WAIT_MS)  # it is connected
    client = around.client()
    assert client.poll(WAIT_MS, zmq.POLLOUT)
    client.send(protocol.encode({"type": "submit", "id": "1", "model": "a", "prompt": "x", "priority": "high"}))
    while not isinstance(receive(control, messages.decode_from_peer), messages.Want):
        pass
    assert around.table.read(RowGateway, 0).waiting_high == 1
