"""The blocking face of the client library against a real ROUTER with a script."""

import pytest

from gateway.client import BlockingClient, GatewayError
from gateway.protocol import Accepted, Cancel, Done, LoadModel, OrderDone, Submit, Tokens
from tests.support.fake_gateway import FakeGateway, accepted, error, model_info, tokens


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.exchange.HELLO_EVERY_S", 0.05)
    monkeypatch.setattr("gateway.blocking_client.TICK_EVERY_S", 0.05)
    with FakeGateway(f"ipc://{tmp_path}/c.ipc") as gateway:
        yield gateway


def test_an_answer_and_the_questions(gateway):
    with BlockingClient(gateway.endpoint) as client:
        events = list(client.generate(prompt="hi"))
        assert [type(event) for event in events] == [Accepted, Tokens, Tokens, Tokens, Done]
        assert client.list_models() == [model_info()] and client.show("tiny") == client.load("tiny") == model_info()
        assert client.epoch == 1


def test_orders_and_keep_alive(gateway):
    with BlockingClient(gateway.endpoint) as client:
        for order in (client.unload, client.evict, client.pin, client.unpin):
            assert order("tiny") == OrderDone("tiny", f"{order.__name__} of tiny")
        with pytest.raises(GatewayError, match="not found"):
            client.evict("nobody")
        client.load("tiny", keep_alive_s=-1)
        assert list(client.ask_load("tiny", 5.0))[-1].value
        list(client.generate(prompt="hi", keep_alive_s=0))
    assert [load.keep_alive_s for load in gateway.all(LoadModel)] == [-1, 5]
    assert gateway.wait_for(Submit).keep_alive_s == 0


def test_two_answers_read_in_turns(gateway):
    with BlockingClient(gateway.endpoint) as client:
        pairs = list(zip(client.generate(prompt="a"), client.generate(prompt="b"), strict=True))
    assert len(pairs) == 5 and all(type(one) is type(two) for one, two in pairs)


def test_leaving_the_iterator_cancels(gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a")]
    with BlockingClient(gateway.endpoint) as client:
        for event in client.generate(prompt="hi"):
            if isinstance(event, Tokens):
                break
        assert gateway.wait_for(Cancel).id == gateway.wait_for(Submit).id


def test_errors_are_raised(gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "displaced", "somebody of a higher class came", 3.0)]
    with BlockingClient(gateway.endpoint) as client:
        with pytest.raises(GatewayError) as caught:
            list(client.generate(prompt="hi"))
        with pytest.raises(GatewayError, match="not found"):
            client.show("nobody")
    assert (caught.value.code, caught.value.status, caught.value.retry_after_s) == ("displaced", 503, 3.0)


def test_a_restarted_gateway_gets_the_request_again(gateway):
    gateway.on[Submit] = gateway.hold
    with BlockingClient(gateway.endpoint) as client:
        events = client.generate(prompt="hi")
        assert isinstance(next(events), Accepted)
        gateway.kill()
        gateway.on[Submit] = gateway.answer
        gateway.revive(epoch=2)
        assert isinstance(list(events)[-1], Done)
    assert [s.id for s in gateway.all(Submit)] == ["1", "1"]


def test_no_gateway_is_said_with_endpoint_and_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.blocking_client.CONNECT_WITHIN_S", 0.05)
    with pytest.raises(GatewayError, match=r"nobody\.ipc.*warden up"):
        BlockingClient(f"ipc://{tmp_path}/nobody.ipc").start()
