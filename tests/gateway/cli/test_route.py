"""`warden route`: how a request may be written, and what is shown of the gateway's answer."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from control.home import Home
from gateway import protocol
from gateway.cli.main import main
from gateway.protocol import Message, Route, RouteInfo, RouteStep
from tests.support.fake_gateway import FakeGateway, error, model_info

STEPS = [RouteStep("mlx", "tiny", "open", ""), RouteStep("ollama", "t:1b", "down", "ollama does not answer"),
         RouteStep("victoria", "", "absent", "victoria is not configured")]


@pytest.fixture
def gateway(home: Home) -> Iterator[FakeGateway]:
    with FakeGateway(home.endpoint("clients")) as gateway:
        gateway.on[Route] = lambda asked: answer(asked)
        yield gateway


def answer(asked: Route, **facts: object) -> list:
    given = {"model": "tiny", "kind": asked.kind, "priority": asked.priority, "audience": "person", "simple": True,
             "overloaded": False, "steps": STEPS, "chosen": 0, "route": "mlx", "reason": ""} | facts
    return [protocol.Result(asked.id, msgspec.Raw(protocol.encode(RouteInfo(**given))))]


def asked(gateway: FakeGateway, *arguments: str) -> Route:
    gateway.received.clear()
    assert main(["route", "--dry-run", *arguments]) == 0
    return gateway.wait_for(Route)


def test_the_chain_is_shown_with_every_step_and_the_choice(gateway: FakeGateway, capsys) -> None:
    assert main(["route", "--dry-run", "what?"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines() == [
        "model tiny, kind task, class medium, asked by a person",
        "simple work; MLX is not overloaded for its kind",
        "    BACKEND   MODEL THERE  STATE   WHY",
        "->  mlx       tiny         open    loaded",
        "    ollama    t:1b         down    ollama does not answer",
        "    victoria  -            absent  victoria is not configured",
        "answered by mlx: the first of its chain that can (route mlx)"]


def test_a_model_that_is_not_loaded_says_so(gateway: FakeGateway, capsys) -> None:
    gateway.models = [model_info("tiny", state="down", reason="evicted: b waits")]
    assert main(["route", "what?"]) == 0
    assert "->  mlx       tiny         open    down: evicted: b waits\n" in capsys.readouterr().out


def test_what_nobody_would_answer_says_why_and_is_exit_code_1(gateway: FakeGateway, capsys) -> None:
    gateway.on[Route] = lambda asked: answer(asked, chosen=-1, code="upstream_failed", message="all are down")
    assert main(["route", "--dry-run", "what?"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "answered by nobody: all are down (upstream_failed)"


def test_spilled_work_says_so(gateway: FakeGateway, capsys) -> None:
    gateway.on[Route] = lambda asked: answer(asked, chosen=1, route="mlx>ollama", reason="overloaded", overloaded=True,
                                             audience="agent")
    assert main(["route", "--dry-run", "what?"]) == 0
    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert first.endswith("by an agent") and second == "simple work; MLX is overloaded for its kind"
    assert last == "answered by ollama: MLX is overloaded, and this is simple work (route mlx>ollama)"


def test_json_is_the_gateways_own_answer(gateway: FakeGateway, capsys) -> None:
    assert main(["route", "--dry-run", "what?", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["chosen"], found["steps"][1]["state"], found["route"]) == (0, "down", "mlx")


def test_a_text_is_what_a_user_says_and_options_go_with_it(gateway: FakeGateway) -> None:
    route = asked(gateway, "what?", "--model", "m", "--category", "c", "--kind", "batch", "--priority", "low")
    assert route.messages == [Message("user", "what?")]
    assert (route.model, route.category, route.kind, route.priority) == ("m", "c", "batch", "low")
    plain = asked(gateway, "what?", "--victoria", "--key", "warden-1")
    assert (plain.model, plain.kind, plain.victoria, plain.key) == ("", "chat", True, "warden-1")
    assert asked(gateway, '{"prompt": "a", "victoria": true}').kind == "chat"
    assert asked(gateway, "what is in a/b.json").messages == [Message("user", "what is in a/b.json")]


def test_work_that_is_not_simple(gateway: FakeGateway, capsys) -> None:
    gateway.on[Route] = lambda asked: answer(asked, simple=False)
    assert main(["route", "what?"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("not simple work;")


def test_json_a_file_and_stdin(gateway: FakeGateway, monkeypatch) -> None:
    text = json.dumps({"id": "x", "prompt": "a", "kind": "chat", "priority": "high", "hop": 1, "max_tokens": 5})
    for given in (text, "r.json", "-"):
        Path("r.json").write_text(text)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        route = asked(gateway, given)
        assert (route.kind, route.priority, route.hop, route.options.max_tokens) == ("chat", "high", 1, 5)
    assert asked(gateway, text, "--kind", "task").kind == "task", "the option wins"
    Path("plain.txt").write_text("a plain question\n")
    assert asked(gateway, "plain.txt").messages == [Message("user", "a plain question\n")]


@pytest.mark.parametrize(("arguments", "told"), [
    (['{"prompt": '], "REQUEST: is no JSON"), (['{"prompt": "a", "tmp": 1}'], "REQUEST: tmp: no such field"),
    ([""], "REQUEST: prompt: is empty"), ([], "REQUEST"),
    (["a", "--kind", "cat"], "Invalid value for '--kind': 'cat' is not one of 'chat'"),
    (["a", "--victoria", "--kind", "batch"], "--victoria: is for chats, and the kind is batch"),
    (['{"prompt": "a", "kind": "task"}', "--victoria"], "--victoria: is for chats, and the kind is task"),
    (["./gone.json"], "REQUEST: there is no file ./gone.json; correct the path"),
    (["some/gone.jsonl"], "there is no file some/gone.jsonl"), (["/x y/gone.json"], "there is no file /x y/gone.json")])
def test_a_wrong_request_is_exit_code_2(gateway: FakeGateway, capsys, arguments: list[str], told: str) -> None:
    assert main(["route", "--dry-run", *arguments]) == 2
    assert told in capsys.readouterr().err and not gateway.all(Route)


def test_what_the_gateway_refuses_is_told(gateway: FakeGateway, capsys) -> None:
    gateway.on[Route] = lambda asked: [error(asked.id, "model_reserved", "tiny is reserved for agents")]
    assert main(["route", "--dry-run", "a"]) == 2
    assert capsys.readouterr().err == "tiny is reserved for agents\n"


def test_a_file_that_is_no_text(gateway: FakeGateway, capsys) -> None:
    Path("x.bin").write_bytes(b"\xff\xfe")
    assert main(["route", "x.bin"]) == 2
    assert "x.bin: cannot be read as text" in capsys.readouterr().err
