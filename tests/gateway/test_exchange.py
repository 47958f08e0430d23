"""The client's side of the protocol as a state machine: a hand-moved clock, frames in, frames out, no socket."""

import msgspec
import pytest

from gateway import exchange as ex
from gateway import protocol
from gateway.exchange import Exchange
from gateway.inbox import GatewayError, Inbox
from gateway.protocol import Accepted, Cancel, Done, Hello, Progress, Result, Submit, Tokens
from tests.support.fake_gateway import accepted, done, error, model_info, tokens


class Talk:
    """An exchange, its clock, and the inboxes of what was asked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.exchange = Exchange("ipc:///run/clients.ipc", self.now)

    def ask(self, request_id: str = "1", **fields: object) -> Inbox:
        inbox = Inbox()
        self.exchange.ask(Submit(request_id, prompt="hi", **fields), inbox, self.now)
        return inbox

    def hear(self, *events: msgspec.Struct) -> None:
        self.exchange.on_frame(protocol.encode(list(events)), self.now)

    def welcome(self, epoch: int = 1) -> None:
        self.hear(protocol.Welcome(1, epoch, 7, "0.1"))

    def sent(self) -> list[msgspec.Struct]:
        frames = list(self.exchange.outbox)
        self.exchange.outbox.clear()
        return [protocol.decode_from_client(frame) for frame in frames]

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.exchange.on_tick(self.now)


@pytest.fixture
def talk() -> Talk:
    """A client that was welcomed by epoch 1."""
    talk = Talk()
    talk.welcome()
    talk.exchange.outbox.clear()
    return talk


def rest(inbox: Inbox) -> list[object]:
    found = []
    while (event := inbox.take()) is not None:
        found.append(event)
    return found


def code_of(inbox: Inbox) -> str:
    with pytest.raises(GatewayError) as caught:
        rest(inbox)
    return caught.value.code


def test_hello_goes_first_and_asks_for_batches():
    talk = Talk()
    talk.ask()
    first, second = talk.sent()
    assert first == Hello(batch=True)
    assert isinstance(second, Submit)


def test_what_no_frame_can_hold_is_refused_and_not_outstanding(talk):
    with pytest.raises(GatewayError, match="the request cannot be sent") as caught:
        talk.ask(schema={"maximum": 10**30})
    assert caught.value.code == "invalid_request" and not talk.exchange.waits and not talk.sent()


def test_events_reach_the_request_they_belong_to_in_order(talk):
    one, two = talk.ask("1"), talk.ask("2")
    talk.hear(accepted("2", 1), accepted("1", 1), tokens("1", 0, "a"), tokens("2", 0, "b"), done("1"), done("2"))
    assert [type(e) for e in rest(one)] == [Accepted, Tokens, Done]
    assert [type(e) for e in rest(two)] == [Accepted, Tokens, Done]
    assert one.ended and two.ended and not talk.exchange.waits


def test_a_frame_with_one_event_is_understood_too(talk):
    inbox = talk.ask()
    talk.exchange.on_frame(protocol.encode(done("1")), talk.now)
    assert isinstance(inbox.take(), Done)


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x93\x01\x02\x03", protocol.encode({"type": "nonsense"}),
                                   protocol.encode([{"type": "done", "id": 5}]), b"\xdb\xff\xff\xff\xff"])
def test_malformed_frames_are_counted_and_dropped(talk, frame):
    inbox = talk.ask()
    talk.exchange.on_frame(frame, talk.now)
    assert talk.exchange.dropped_frames == 1
    assert not inbox.events


def test_only_the_first_end_counts(talk):
    inbox = talk.ask()
    talk.hear(done("1"), error("1", "internal"), done("1"))
    assert [type(e) for e in rest(inbox)] == [Done]


def test_an_error_carries_what_the_gateway_said(talk):
    inbox = talk.ask()
    talk.hear(error("1", "queue_full", "50 wait", 7.5))
    with pytest.raises(GatewayError) as caught:
        inbox.take()
    assert (caught.value.code, caught.value.message, caught.value.status) == ("queue_full", "50 wait", 503)
    assert caught.value.retry_after_s == 7.5


def test_leaving_early_cancels_once(talk):
    talk.ask()
    talk.sent()
    talk.exchange.leave("1")
    talk.exchange.leave("1")
    assert talk.sent() == [Cancel("1")]


def test_leaving_after_the_end_cancels_nothing(talk):
    talk.ask()
    talk.sent()
    talk.hear(done("1"))
    talk.exchange.leave("1")
    assert talk.sent() == []


def test_a_request_accepted_after_it_was_left_is_cancelled_again(talk):
    talk.ask()
    talk.exchange.leave("1")
    talk.sent()
    talk.hear(accepted("1", 1))
    assert talk.sent() == [Cancel("1")]


def test_no_hello_while_frames_come_or_nothing_is_outstanding(talk):
    talk.later(5)
    assert talk.sent() == []
    talk.ask()
    talk.sent()
    talk.hear(accepted("1", 1))
    talk.later(0.9)
    assert talk.sent() == []


def test_hello_is_repeated_every_second_of_silence(talk):
    talk.ask()
    talk.hear(accepted("1", 1))
    talk.sent()
    talk.later(1.0)
    assert talk.sent() == [Hello(batch=True)]
    talk.later(0.5)
    assert talk.sent() == []
    talk.later(0.5)
    assert talk.sent() == [Hello(batch=True)]


def test_hellos_do_not_pile_up_while_there_is_no_connection():
    talk = Talk()
    for _ in range(10):
        talk.later(1)
    assert talk.sent() == [Hello(batch=True)]


def test_the_same_epoch_changes_nothing(talk):
    inbox = talk.ask()
    talk.sent()
    talk.welcome(epoch=1)
    talk.welcome(epoch=0)
    assert talk.sent() == [] and not inbox.events and talk.exchange.epoch == 1


def test_a_newer_epoch_gets_what_has_no_token_again_and_ends_what_has(talk):
    waiting, accepted_one, answering = talk.ask("1"), talk.ask("2"), talk.ask("3")
    talk.hear(accepted("2", 1), accepted("3", 1), tokens("3", 0, "a"))
    talk.sent()
    talk.welcome(epoch=2)
    again = talk.sent()
    assert again[0] == Hello(batch=True)
    assert [m.id for m in again[1:]] == ["1", "2"]
    assert code_of(answering) == "gateway_unavailable"
    talk.hear(accepted("1", 2), accepted("2", 2), done("1"), done("2"))
    assert [type(e) for e in rest(waiting)] == [Accepted, Done]
    assert [type(e) for e in rest(accepted_one)] == [Accepted, Accepted, Done]


def test_a_newer_epoch_in_accepted_counts_and_that_request_is_not_sent_twice(talk):
    old = talk.ask("1")
    talk.hear(accepted("1", 1), tokens("1", 0, "a"))
    new = talk.ask("2")
    talk.sent()
    talk.hear(accepted("2", 5))
    assert talk.sent() == [Hello(batch=True)]
    assert code_of(old) == "gateway_unavailable"
    talk.hear(done("2"))
    assert [type(e) for e in rest(new)] == [Accepted, Done]


def test_the_answer_to_a_copy_too_many_is_dropped(talk):
    inbox = talk.ask()
    talk.welcome(epoch=2)
    talk.hear(accepted("1", 2), error("1", "duplicate_id"), tokens("1", 0, "a"), done("1"))
    assert [type(e) for e in rest(inbox)] == [Accepted, Tokens, Done]


def test_late_words_of_the_old_gateway_do_not_mix_with_the_new_ones(talk):
    inbox = talk.ask()
    talk.hear(accepted("1", 1))
    talk.welcome(epoch=2)
    talk.hear(accepted("1", 1), tokens("1", 0, "old"), done("1"))
    talk.hear(accepted("1", 2), tokens("1", 0, "new"), done("1"))
    assert [getattr(e, "text", type(e)) for e in rest(inbox)] == [Accepted, Accepted, "new", Done]


def test_duplicate_id_of_a_request_sent_once_is_an_error(talk):
    inbox = talk.ask()
    talk.hear(error("1", "duplicate_id"))
    assert code_of(inbox) == "duplicate_id"


def test_questions_are_asked_again_too(talk):
    inbox = Inbox()
    talk.exchange.ask(protocol.ListModels("1"), inbox, talk.now)
    talk.sent()
    talk.welcome(epoch=2)
    assert talk.sent()[1:] == [protocol.ListModels("1")]
    talk.hear(Result("1", msgspec.Raw(protocol.encode([model_info()]))))
    assert isinstance(inbox.take(), Result) and inbox.ended


def test_no_answer_to_a_submit_ends_it_with_the_endpoint_and_a_remedy(talk):
    inbox = talk.ask()
    talk.sent()
    talk.later(ex.ACCEPTED_WITHIN_S)
    assert not inbox.events
    talk.later(0.1)
    with pytest.raises(GatewayError, match=r"ipc:///run/clients.ipc.*warden up") as caught:
        inbox.take()
    assert caught.value.code == "gateway_unavailable" and caught.value.retry_after_s > 0
    assert Cancel("1") in talk.sent()


def test_an_accepted_request_waits_as_long_as_the_gateway_answers_hellos(talk):
    inbox = talk.ask()
    talk.hear(accepted("1", 1))
    for _ in range(200):
        talk.later(1)
        talk.welcome()
    assert [type(e) for e in rest(inbox)] == [Accepted]
    talk.later(ex.SILENCE_MAX_S + 1)
    assert code_of(inbox) == "gateway_unavailable"


@pytest.mark.parametrize("kind", [protocol.LoadModel, *protocol.Order.__args__])
def test_a_load_or_order_may_take_long_without_a_word_of_its_own(talk, kind):
    talk.exchange.ask(kind("1", "tiny"), inbox := Inbox(), talk.now)
    for _ in range(100):
        talk.later(1)
        talk.welcome()
    assert not inbox.events
    talk.hear(Progress("1", 1, "loading", 3.0, 0.5))
    assert isinstance(inbox.take(), Progress)


def test_an_unread_answer_is_cut_at_its_limit(talk):
    inbox = talk.ask()
    talk.sent()
    text = "x" * (ex.UNREAD_MAX_CHARS // 4)
    for n in range(5):
        talk.hear(protocol.Tokens("1", n, [n], text))
    taken = 0
    with pytest.raises(GatewayError) as caught:
        while inbox.take() is not None:
            taken += 1
    assert caught.value.code == "slow_reader" and taken == 3
    assert talk.sent() == [Cancel("1")]


def test_limits_refuse_before_anything_is_sent(talk):
    with pytest.raises(GatewayError, match="body_max_bytes"):
        talk.exchange.ask(Submit("1", prompt="x" * protocol.BODY_MAX_BYTES), Inbox(), talk.now)
    for n in range(ex.OUTSTANDING_MAX):
        talk.ask(str(n))
    with pytest.raises(GatewayError, match="queue_full"):
        talk.ask("one more")


def test_who_gives_up_has_its_last_word_and_cancels(talk):
    waiting, running = talk.ask("1"), talk.ask("2")
    talk.exchange.give_up("gateway_unavailable", "stopping", 1.0)
    assert code_of(waiting) == code_of(running) == "gateway_unavailable"
    assert talk.sent()[2:] == [Cancel("1"), Cancel("2")]
    with pytest.raises(GatewayError):
        talk.ask("3")
