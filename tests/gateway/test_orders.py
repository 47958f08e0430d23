"""Orders of people: asked of control, answered with what control says, within a limit."""

import pytest

from control import messages
from control.states import Phase
from gateway import orders, protocol
from gateway.exchange import Exchange
from gateway.inbox import GatewayError, Inbox
from tests.support.gateway_world import World, make_model

ORDERS = ("unload", "evict", "pin", "unpin")


def give(world: World, verb: str, model: str = "a", request_id: str = "q", client: bytes = b"c1") -> None:
    world.client_says(client, {"type": verb, "id": request_id, "model": model})


def asks(world: World) -> list[messages.Ask]:
    return [message for message in world.control_frames if isinstance(message, messages.Ask)]


def tell(world: World, ask: messages.Ask, code: str, text: str) -> None:
    world.d.on_control(messages.Told(messages.VERSION, ask.id, code, text), world.now)
    world.flush()


@pytest.mark.parametrize("verb", ORDERS)
def test_control_is_asked_by_the_models_own_name_and_its_answer_reaches_the_client(verb):
    world = World()
    give(world, verb, "a-alias:latest")
    (ask,) = asks(world)
    assert (ask.verb, ask.model) == (verb, "a") and not world.ended("q")
    tell(world, ask, "", "it is done")
    assert protocol.decode_order(world.end_of("q").value) == protocol.OrderDone("a", "it is done")


@pytest.mark.parametrize("verb", (*ORDERS, "load"))
def test_models_reserved_for_agents_are_loaded_and_pinned_by_the_operator_and_by_agents_alone(verb):
    world = World("a", make_model("tiny", audience="agents"))
    give(world, verb, "tiny")
    assert world.end_of("q").code == "model_reserved" and not world.control_frames
    world.client_says(b"c1", {"type": "hello"})
    give(world, verb, "tiny", "again")
    assert not world.ended("again") and world.control_frames


@pytest.mark.parametrize(("said", "code", "status"), [
    ("model_busy", "model_busy", 409), ("invalid_request", "invalid_request", 400), ("made_up", "internal", 500)])
def test_a_refusal_of_control_is_an_error_of_the_closed_list(said, code, status):
    world = World()
    give(world, "evict")
    tell(world, asks(world)[0], said, "2 answers in flight")
    assert world.end_of("q") == protocol.Error("q", code, "2 answers in flight", status)


def test_each_asker_gets_its_own_answer_and_an_answer_nobody_asked_for_is_counted():
    world = World("a", "b")
    give(world, "pin", "a", "1")
    give(world, "pin", "b", "2", b"c2")
    first, second = asks(world)
    tell(world, second, "", "b is pinned")
    tell(world, first, "", "a is pinned")
    assert [protocol.decode_order(world.end_of(each).value).model for each in ("1", "2")] == ["a", "b"]
    tell(world, first, "", "again")
    assert world.d.counters.dropped_frames == 1 and len(world.events("1")) == 1


def test_an_unknown_model_is_refused_here():
    world = World("coder")
    give(world, "pin", "codr")
    assert world.end_of("q").code == "model_not_found" and "coder" in world.end_of("q").message and not asks(world)


def test_without_control_the_order_is_refused_at_once_and_not_kept():
    world = World()
    world.control_is_away = True
    give(world, "evict")
    error = world.end_of("q")
    assert (error.code, error.status) == ("gateway_unavailable", 503) and "nothing was done" in error.message
    world.pass_time(orders.ANSWER_WITHIN_S + 1)
    assert world.ended("q") and not asks(world)


def test_an_order_that_control_does_not_answer_ends_in_an_error_and_is_not_asked_again():
    world = World()
    give(world, "evict")
    world.pass_time(orders.ANSWER_WITHIN_S - 1)
    assert not world.ended("q")
    world.pass_time(2)
    assert "control did not answer within 15 s" in world.end_of("q").message and len(asks(world)) == 1
    tell(world, asks(world)[0], "", "too late")
    world.end_of("q")


def test_how_many_may_wait_is_limited_and_a_client_that_goes_makes_room(monkeypatch):
    monkeypatch.setattr(orders, "ORDERS_MAX", 2)
    world = World()
    for n in range(3):
        give(world, "pin", request_id=str(n))
    assert world.end_of("2").code == "queue_full" and len(asks(world)) == 2
    world.d.orders.forget_client(b"c1")
    give(world, "pin", request_id="3")
    assert len(asks(world)) == 3


def test_what_a_dead_control_process_was_asked_ends_when_the_next_one_speaks():
    world = World()
    world.control_words["epoch"] = 7
    give(world, "evict", request_id="old")
    speak(world, 7)
    assert not world.ended("old")
    world.control_words["epoch"] = 8
    give(world, "evict", request_id="new")
    speak(world, 8)
    assert "control ended before it answered; whether it was done is not known" in world.end_of("old").message
    assert not world.ended("new") and len(asks(world)) == 2


def speak(world: World, epoch: int) -> None:
    world.d.on_control(messages.ModelState(messages.VERSION, epoch, "a", 1, Phase.ALIVE), world.now)
    world.flush()


@pytest.mark.parametrize("kind", protocol.Order.__args__)
def test_a_client_does_not_give_its_order_to_the_next_gateway_for_it_may_have_been_carried_out(kind):
    exchange, inbox = Exchange("ipc:///run/clients.ipc", 0.0), Inbox()
    exchange.on_frame(protocol.encode(protocol.Welcome(1, 1, 7, "0.1")), 1.0)
    exchange.ask(kind("1", "coder"), inbox, 2.0)
    exchange.outbox.clear()
    exchange.on_frame(protocol.encode(protocol.Welcome(1, 2, 7, "0.1")), 3.0)
    assert [protocol.decode_from_client(frame) for frame in exchange.outbox] == [protocol.Hello(batch=True)]
    with pytest.raises(GatewayError, match="whether it was done is not known"):
        inbox.take()
