"""What goes back to clients: order, one frame per turn for those who asked, and limits for those who do not read."""

from gateway import protocol
from gateway.fanout import (
    BATCH_BUFFER_MAX_BYTES,
    HOLD_S,
    PLAIN_BUFFER_MAX_BYTES,
    RETRY_EVERY_S,
    UNREAD_MAX_S,
    Fanout,
    Lost,
    Sent,
)


class Clients:
    def __init__(self):
        self.frames, self.state, self.tries = [], {}, 0
        self.fanout = Fanout(self.send)

    def send(self, identity, frame):
        self.tries += 1
        state = self.state.get(identity, Sent.OK)
        if state is Sent.OK:
            self.frames.append((identity, frame))
        return state

    def say(self, identity, text, position=0):
        self.fanout.say(identity, protocol.Tokens("r", position, [], text))


def test_a_frame_per_event_or_one_array_per_turn():
    clients = Clients()
    clients.fanout.open(b"front", batch=True)
    for identity in (b"front", b"plain"):
        clients.say(identity, "one")
        clients.say(identity, "two")
    assert clients.fanout.flush(0.0) == []
    front = [f for who, f in clients.frames if who == b"front"]
    plain = [f for who, f in clients.frames if who == b"plain"]
    assert [e.text for e in protocol.decode_events(front[0])] == ["one", "two"] and len(front) == 1
    assert [protocol.decode_event(f).text for f in plain] == ["one", "two"]


def test_what_is_not_read_waits_in_order_and_then_leaves():
    clients = Clients()
    clients.state[b"c"] = Sent.FULL
    clients.say(b"c", "one")
    assert clients.fanout.flush(0.0) == []
    clients.say(b"c", "two")
    clients.state[b"c"] = Sent.OK
    assert clients.fanout.flush(UNREAD_MAX_S - 1) == []
    assert [protocol.decode_event(f).text for _, f in clients.frames] == ["one", "two"]
    clients.state[b"c"] = Sent.FULL
    clients.say(b"c", "three")
    assert clients.fanout.flush(UNREAD_MAX_S + 5) == []  # the clock of not reading began anew


def test_too_much_or_too_long_unread_is_cut():
    for batch, limit in ((False, PLAIN_BUFFER_MAX_BYTES), (True, BATCH_BUFFER_MAX_BYTES)):
        clients = Clients()
        clients.fanout.open(b"c", batch=batch)
        clients.state[b"c"] = Sent.FULL
        clients.say(b"c", "x" * (limit - 1000))
        assert clients.fanout.flush(0.0) == []
        clients.say(b"c", "x" * 2000)
        assert clients.fanout.flush(0.0) == [(b"c", Lost.TOO_SLOW)]
        clients.say(b"c", "the end")
        clients.state[b"c"] = Sent.OK
        assert clients.fanout.flush(0.1) == []
        assert len(clients.frames) == 1, "what it did not read is gone, what is said now arrives"
    clients = Clients()
    clients.state[b"c"] = Sent.FULL
    clients.say(b"c", "x")
    assert clients.fanout.flush(0.0) == []
    assert clients.fanout.flush(UNREAD_MAX_S + 1) == [(b"c", Lost.TOO_SLOW)]


def test_a_client_that_is_gone_is_reported_once_and_others_are_served():
    clients = Clients()
    clients.state[b"gone"] = Sent.GONE
    clients.say(b"gone", "x")
    clients.say(b"here", "y")
    assert clients.fanout.flush(0.0) == [(b"gone", Lost.GONE)]
    assert [who for who, _ in clients.frames] == [b"here"]
    clients.say(b"gone", "the end")
    for now in range(1, 10):
        assert clients.fanout.flush(float(now)) == []
    tries = clients.tries
    for now in range(int(UNREAD_MAX_S) + 5, 200):
        clients.fanout.flush(float(now))
    assert clients.tries <= tries + 1, "after a while it is forgotten"


def test_a_client_that_was_gone_for_a_moment_hears_everything_in_order():
    clients = Clients()
    clients.state[b"c"] = Sent.GONE
    clients.say(b"c", "one")
    assert clients.fanout.flush(0.0) == [(b"c", Lost.GONE)]
    clients.say(b"c", "the end")
    clients.state[b"c"] = Sent.OK
    assert clients.fanout.flush(RETRY_EVERY_S + 0.1) == []
    assert [protocol.decode_event(f).text for _, f in clients.frames] == ["one", "the end"]
    clients.state[b"c"] = Sent.GONE
    clients.say(b"c", "more")
    assert clients.fanout.flush(5.0) == [(b"c", Lost.GONE)], "it may be lost again"


def test_what_is_said_now_is_there_before_the_turn_ends_and_in_order():
    clients = Clients()
    clients.say(b"c", "one")
    clients.fanout.say_now(b"c", protocol.Tokens("1", 0, [], "two"), 0.0)
    assert [protocol.decode_event(f).text for _, f in clients.frames] == ["one", "two"]
    assert clients.fanout.flush(0.0) == []
    clients.state[b"c"] = Sent.GONE
    clients.fanout.say_now(b"c", protocol.Tokens("1", 0, [], "three"), 1.0)
    assert clients.fanout.flush(1.0 + RETRY_EVERY_S) == [(b"c", Lost.GONE)], "who is lost is found by the next flush"


def test_clients_that_are_long_silent_are_forgotten(monkeypatch):
    monkeypatch.setattr("gateway.fanout.LINKS_MAX", 3)
    clients = Clients()
    clients.fanout.open(b"front", batch=True)
    for n in range(10):
        clients.say(b"front", "x")
        clients.say(b"c%d" % n, "x")
        clients.fanout.flush(float(n))
    clients.say(b"front", "y")
    clients.fanout.flush(20.0)
    assert len(clients.fanout._links) <= 3
    assert protocol.decode_events(clients.frames[-1][1])[0].text == "y", "who is heard of is remembered as it is"


def texts(clients):
    return [[event.text for event in protocol.decode_events(frame)] for _, frame in clients.frames]


def held(clients):
    clients.fanout.open(b"front", batch=True)
    clients.fanout.hold(b"front", protocol.Tokens("r", 0, [], "accepted"))
    return clients.fanout


def test_what_may_wait_leaves_with_the_next_event_in_order():
    clients = Clients()
    fanout = held(clients)
    assert fanout.flush(0.0) == [] and clients.frames == [] and fanout.holds
    fanout.hold(b"front", protocol.Tokens("r", 0, [], "started"))
    clients.say(b"front", "token")
    fanout.flush(0.0)
    assert texts(clients) == [["accepted", "started", "token"]] and not fanout.holds


def test_what_may_wait_does_not_wait_for_long():
    clients = Clients()
    fanout = held(clients)
    fanout.flush(5.0)
    fanout.flush(5.0 + HOLD_S / 2)
    assert clients.frames == []
    fanout.flush(5.0 + HOLD_S)
    assert texts(clients) == [["accepted"]] and not fanout.holds
    fanout.hold(b"front", protocol.Tokens("r", 0, [], "again"))  # the time runs anew
    fanout.flush(9.0)
    assert len(clients.frames) == 1
    fanout.flush(9.0 + HOLD_S)
    assert texts(clients) == [["accepted"], ["again"]]


def test_a_wait_can_be_ended_and_nobody_elses_with_it():
    clients = Clients()
    fanout = held(clients)
    fanout.open(b"other", batch=True)
    fanout.hold(b"other", protocol.Tokens("o", 0, [], "of another"))
    fanout.hurry(b"front")
    fanout.hurry(b"nobody")
    fanout.flush(1.0)
    assert texts(clients) == [["accepted"]] and fanout.holds


def test_one_who_cannot_be_reached_keeps_nobody_awake():
    for state, lost in ((Sent.GONE, [(b"front", Lost.GONE)]), (Sent.FULL, [])):
        clients = Clients()
        fanout = held(clients)
        clients.state[b"front"] = state
        fanout.flush(1.0)
        assert fanout.flush(1.0 + HOLD_S) == lost and not fanout.holds
        clients.state[b"front"] = Sent.OK
        fanout.flush(1.0 + HOLD_S + RETRY_EVERY_S)
        assert texts(clients) == [["accepted"]]


def test_a_client_that_was_closed_is_waited_for_no_more():
    clients = Clients()
    fanout = held(clients)
    fanout.close(b"front")
    assert not fanout.holds and fanout.flush(1.0) == [] and clients.frames == []
