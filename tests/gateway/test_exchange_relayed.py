"""What a client says again to a new gateway: its key always, and never what another server had begun."""

import msgspec
import pytest

from gateway import protocol
from gateway.exchange import Exchange
from gateway.inbox import GatewayError, Inbox
from gateway.protocol import Hello, ListModels, Progress, Started, Stats, Submit
from tests.support.fake_gateway import accepted, error, tokens

KEY = "warden-0123"


class Talk:
    def __init__(self, key: str = KEY) -> None:
        self.exchange = Exchange("ipc:///run/clients.ipc", 100.0, hello=Hello(batch=True, key=key, secret="s"))
        self.welcome(1)
        self.exchange.outbox.clear()

    def welcome(self, epoch: int) -> None:
        self.hear(protocol.Welcome(1, epoch, 7, "0.1"))

    def hear(self, *events) -> None:
        self.exchange.on_frame(protocol.encode(list(events)), 100.0)

    def ask(self, question) -> Inbox:
        inbox = Inbox()
        self.exchange.ask(question, inbox, 100.0)
        return inbox

    def sent(self) -> list:
        frames = [protocol.decode_from_client(frame) for frame in self.exchange.outbox]
        self.exchange.outbox.clear()
        return frames


def started(route: str, attempt: int = 1) -> Started:
    return Started("1", "tiny", route, "", attempt, 0.0, 0.0)


HANDING_ON = Progress("1", 0, protocol.HANDED_ON, 1.0)


def end_of(inbox: Inbox) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        while inbox.take() is not None:
            pass
    return caught.value


def test_a_new_gateway_hears_the_same_hello_key_and_secret_included() -> None:
    talk = Talk()
    talk.ask(Submit("1", prompt="hi"))
    talk.hear(accepted("1", 1))
    talk.sent()
    talk.welcome(2)
    hello, again = talk.sent()
    assert hello == Hello(batch=True, key=KEY, secret="s")
    assert again == Submit("1", prompt="hi", key=KEY)


def test_every_question_carries_the_key_so_no_gateway_can_miss_it() -> None:
    talk = Talk()
    for question in (Submit("1", prompt="hi"), ListModels("2"), Stats("3"), protocol.Pin("4", "tiny")):
        talk.ask(question)
    assert [question.key for question in talk.sent()] == [KEY] * 4
    talk.ask(ListModels("5", key="warden-another"))
    assert talk.sent()[0].key == "warden-another"
    plain = Talk("")
    plain.ask(ListModels("1"))
    assert plain.sent() == [ListModels("1")]


@pytest.mark.parametrize("routes", [["victoria"], ["mlx>ollama"], ["ollama", "ollama>mlx"]])
def test_what_another_server_had_begun_is_not_asked_again(routes: list[str]) -> None:
    talk = Talk()
    inbox = talk.ask(Submit("1", prompt="hi"))
    talk.hear(accepted("1", 1), *(started(route, attempt) for attempt, route in enumerate(routes, 1)))
    talk.sent()
    talk.welcome(2)
    assert [type(frame) for frame in talk.sent()] == [Hello]
    with pytest.raises(GatewayError, match="another server had begun") as caught:
        while inbox.take() is not None:
            pass
    assert caught.value.code == "gateway_unavailable" and inbox.ended
    assert caught.value.retry_after_s == 0, "no library should ask again by itself"


@pytest.mark.parametrize("what", [started("victoria"), HANDING_ON], ids=["begun", "handed on"])
@pytest.mark.parametrize("lost_by", ["a new gateway", "its last word", "silence", "our own end"])
def test_however_the_gateway_is_lost_no_time_is_given_to_ask_another_server_again(what, lost_by: str) -> None:
    talk = Talk()
    inbox, here = talk.ask(Submit("1", prompt="hi")), talk.ask(Submit("2", prompt="hi"))
    talk.hear(accepted("1", 1), accepted("2", 1), what, started("ollama>mlx", 2))
    talk.hear(msgspec.structs.replace(started("mlx"), id="2"), tokens("2", 0, "a"))
    talk.sent()
    if lost_by == "a new gateway":
        talk.welcome(2)
        assert [type(frame) for frame in talk.sent()] == [Hello], "it is never submitted again"
    elif lost_by == "its last word":
        talk.hear(*(error(each, "gateway_unavailable", "the gateway is stopping", 1.0) for each in ("1", "2")))
    elif lost_by == "silence":
        talk.exchange.on_tick(1000.0)
    else:
        talk.exchange.give_up("gateway_unavailable", "stopping", 1.0)
    lost, other = end_of(inbox), end_of(here)
    assert lost.code == other.code == "gateway_unavailable"
    assert lost.retry_after_s == 0 and other.retry_after_s > 0


def test_a_wait_is_no_handing_on() -> None:
    talk = Talk()
    talk.ask(Submit("1", prompt="hi"))
    talk.hear(accepted("1", 1), Progress("1", 1, "queued", 3.0))
    talk.sent()
    talk.welcome(2)
    assert [type(frame) for frame in talk.sent()] == [Hello, Submit]


@pytest.mark.parametrize("route", ["mlx", "agents", "victoria>mlx"])  # the last: Victoria was down and never asked
def test_what_runs_here_is_asked_again(route: str) -> None:
    talk = Talk()
    talk.ask(Submit("1", prompt="hi"))
    talk.hear(accepted("1", 1), started(route))
    talk.sent()
    talk.welcome(2)
    assert [type(frame) for frame in talk.sent()] == [Hello, Submit]


def test_with_a_token_of_it_the_caller_hears_that_it_broke_off() -> None:
    talk = Talk()
    inbox = talk.ask(Submit("1", prompt="hi"))
    talk.hear(accepted("1", 1), started("mlx"), tokens("1", 0, "a"))
    talk.welcome(2)
    with pytest.raises(GatewayError, match="mid-answer"):
        while inbox.take() is not None:
            pass


def test_a_gateway_that_does_not_know_who_asks_is_told_before_the_next_question() -> None:
    talk = Talk("")
    inbox = talk.ask(Submit("1", prompt="hi"))
    talk.sent()
    talk.hear(error("1", "gateway_unavailable", "say `hello` first", 1.0))
    talk.ask(Submit("2", prompt="hi"))
    assert inbox.ended and [type(frame) for frame in talk.sent()] == [Hello, Submit]
