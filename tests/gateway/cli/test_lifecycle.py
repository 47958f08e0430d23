"""`load`, `unload`, `pin` and `unpin` against a gateway with a script: lines, progress and exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from control.home import Home, prepare_home
from gateway import protocol
from gateway.cli.main import main
from gateway.protocol import LoadModel, Progress
from tests.support.fake_gateway import FakeGateway, error, model_info

MIB = 1024 * 1024


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path)
    prepare_home(home)
    monkeypatch.setenv("WARDEN_HOME", str(home.root))
    return home


@pytest.fixture
def gateway(home: Home) -> Iterator[FakeGateway]:
    with FakeGateway(home.endpoint("clients")) as gateway:
        yield gateway


def loading(*steps: Progress):
    """A script: these progress events, then the model."""
    return lambda asked: [*(Progress(asked.id, *step) for step in steps), protocol.Result(
        asked.id, msgspec.Raw(protocol.encode(model_info("tiny", memory_bytes=300 * MIB, load_ms=2340))))]


def test_load_waits_for_the_model_and_says_what_it_takes(gateway: FakeGateway, capsys) -> None:
    gateway.on[LoadModel] = loading()
    assert main(["load", "tiny"]) == 0
    assert capsys.readouterr() == ("tiny is loaded (memory 300 MiB, context 2048, in 2.3 s)\n", "")
    assert gateway.wait_for(LoadModel).keep_alive_s is None


@pytest.mark.parametrize(("given", "seconds"), [("10m", 600.0), ("-1", -1.0), ("0", 0.0), ("1e3", None)])
def test_keep_alive_goes_with_the_load(gateway: FakeGateway, capsys, given: str, seconds: float | None) -> None:
    code = main(["load", "tiny", "--keep-alive", given])
    if seconds is None:
        assert code == 2 and capsys.readouterr().err.startswith("--keep-alive: '1e3' is no time")
    else:
        assert code == 0 and gateway.wait_for(LoadModel).keep_alive_s == seconds


def test_in_a_pipe_progress_is_a_line_for_each_change_and_each_tenth(gateway: FakeGateway, capsys) -> None:
    gateway.on[LoadModel] = loading(
        (0, "memory", 9.0, 0.0, "waits for big, which answers"),
        (0, "memory", 8.0, 0.0, "waits for big, which answers"),
        (0, "loading", 5.0, 0.12, "loading"), (0, "loading", 5.0, 0.19, "loading"),
        (0, "loading", 2.0, 0.5, "loading"))
    assert main(["load", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and err.splitlines() == [
        "[memory: waits for big, which answers]", "[loading 12 %, about 5 s]", "[loading 50 %, about 2 s]"]


def test_with_json_the_model_is_one_object_and_progress_stays_on_stderr(gateway: FakeGateway, capsys) -> None:
    gateway.on[LoadModel] = loading((0, "loading", 5.0, 0.12, "loading"))
    assert main(["load", "tiny", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["name"] == "tiny" and json.loads(out)["memory_bytes"] == 300 * MIB
    assert err == "[loading 12 %, about 5 s]\n"


@pytest.mark.parametrize("verb", ["unload", "pin", "unpin"])
def test_an_order_as_json(gateway: FakeGateway, capsys, verb: str) -> None:
    assert main([verb, "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": "tiny", "text": f"{verb} of tiny"}


@pytest.mark.parametrize("verb", ["unload", "pin", "unpin"])
def test_an_order_prints_the_line_that_control_answers(gateway: FakeGateway, capsys, verb: str) -> None:
    assert main([verb, "tiny"]) == 0
    assert capsys.readouterr() == (f"{verb} of tiny\n", "")


@pytest.mark.parametrize("verb", ["load", "unload", "pin", "unpin"])
def test_the_key_goes_with_the_order(gateway: FakeGateway, capsys, monkeypatch, verb: str) -> None:
    monkeypatch.setenv("WARDEN_KEY", "warden-1")
    assert main([verb, "tiny"]) == 0
    assert gateway.wait_for(getattr(protocol, "LoadModel" if verb == "load" else verb.title())).key == "warden-1"


@pytest.mark.parametrize(("code", "exit_code"), [
    ("model_not_found", 2), ("model_reserved", 2), ("unauthorized", 2),
    ("invalid_request", 1), ("model_busy", 1), ("gateway_unavailable", 1)])
@pytest.mark.parametrize("verb", ["load", "unload", "pin", "unpin"])
def test_a_refusal_is_one_line_on_stderr(gateway: FakeGateway, capsys, verb: str, code: str, exit_code: int) -> None:
    text = 'model "tny" not found; did you mean tiny?'
    gateway.on |= dict.fromkeys((LoadModel, *protocol.Order.__args__), lambda asked: [error(asked.id, code, text)])
    assert main([verb, "tny"]) == exit_code
    assert capsys.readouterr() == ("", f"{text}\n")


@pytest.mark.parametrize("verb", ["load", "unload", "pin", "unpin"])
def test_a_relay_is_no_model_and_is_told_what_is_for_it(gateway: FakeGateway, capsys, verb: str) -> None:
    gateway.on |= dict.fromkeys((LoadModel, *protocol.Order.__args__),
                                lambda asked: [error(asked.id, "model_not_found", "not found")])
    assert main([verb, "relay-ollama"]) == 2
    assert "is a relay and holds no model; `warden ctl stop relay-ollama`" in capsys.readouterr().err


def test_can_never_fit_is_told_with_the_numbers(gateway: FakeGateway, capsys) -> None:
    text = "big needs 40.1 GiB, and all models together may take 21.3 GiB"
    gateway.on[LoadModel] = lambda asked: [error(asked.id, "insufficient_memory", text)]
    assert main(["load", "big"]) == 1
    assert capsys.readouterr().err == f"{text}\n"


def test_nothing_runs_here(home: Home, capsys) -> None:
    assert main(["pin", "tiny"]) == 1
    assert "nothing runs in" in capsys.readouterr().err
