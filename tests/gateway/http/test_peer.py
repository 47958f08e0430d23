"""What a call hears from its connection: pieces that can leave at once, and callers that go."""

import pytest

from gateway.http.call import Call
from gateway.http.peer import PEER, Peer


class Flow:
    write_paused = False
    resumed = 0

    def resume_reading(self) -> None:
        self.resumed += 1


class Cycle:
    """As much of uvicorn's as a peer looks at."""

    more_body = False
    chunked_encoding: bool | None = True
    disconnected = False

    def __init__(self) -> None:
        self.flow = Flow()
        self.transport = self
        self.written: list[bytes] = []

    async def send(self, message: dict) -> None: ...

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Connection:
    def __init__(self) -> None:
        self.watching: set[Peer] = set()

    def abort(self) -> None: ...


@pytest.fixture
def cycle() -> Cycle:
    return Cycle()


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def peer(cycle, connection) -> Peer:
    return Peer(cycle, connection)


def test_a_piece_leaves_at_once_in_the_frame_of_http(peer, cycle):
    assert peer.write(b"sixteen bytes...") and cycle.written == [b"10\r\nsixteen bytes...\r\n"]


@pytest.mark.parametrize(("what", "value"), [("chunked_encoding", False), ("chunked_encoding", None),
                                             ("disconnected", True), ("flow.write_paused", True), ("", None)])
def test_what_is_not_that_simple_is_left_to_send(peer, cycle, what, value):
    if what == "flow.write_paused":
        cycle.flow.write_paused = value
    elif what:
        setattr(cycle, what, value)
    assert not peer.write(b"piece" if what else b"") and not cycle.written


def test_who_watches_hears_once_and_reading_goes_on(peer, cycle, connection):
    gone = []
    peer.watch(lambda: gone.append(1))
    assert cycle.flow.resumed and connection.watching == {peer}
    peer.gone()
    peer.gone()
    assert gone == [1] and not connection.watching


def test_who_watches_no_longer_hears_nothing(peer, connection):
    peer.watch(pytest.fail)
    peer.unwatch()
    peer.gone()
    assert not connection.watching


def test_a_caller_that_is_gone_already_is_told_of_at_once(peer, cycle):
    gone = []
    cycle.disconnected = True
    peer.watch(lambda: gone.append(1))
    assert gone == [1]


def test_a_call_takes_its_peer_out_of_the_scope_so_that_nothing_is_left_in_a_ring(peer):
    scope = {"headers": [], "path": "/", "request_id": "1", "extensions": {PEER: peer}}
    assert Call(None, "openai", scope, None, None).peer is peer and PEER not in scope["extensions"]
