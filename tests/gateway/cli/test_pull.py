"""`pull`, `cp`, `rm` against a gateway with a script, and `pull` on a terminal: lines, JSON, exit codes, Ctrl-C."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from control.home import Home, prepare_home
from gateway import protocol
from gateway.cli.main import main
from gateway.protocol import Copy, Delete, Fetching, OrderDone, Pull, PullDone
from tests.support.fake_gateway import FakeGateway, error
from tests.support.supervisor_home import ROOT
from tests.support.terminal import CTRL_C, Terminal

MB = 10**6
WAIT_S = 60.0
NAME = "org/tiny"


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    home = Home(tmp_path)
    prepare_home(home)
    monkeypatch.setenv("WARDEN_HOME", str(home.root))
    with FakeGateway(home.endpoint("clients")) as gateway:
        gateway.on[Pull] = lambda asked: [*news(asked.id, 0, 50, 100),
                                          result(asked.id, PullDone(NAME, "/x", 9 * MB, ""))]
        for kind, text in ((Copy, "mine is org/tiny"), (Delete, "org/tiny is deleted; 4.2 MB are free again")):
            gateway.on[kind] = lambda asked, text=text: [result(asked.id, OrderDone(NAME, text))]
        yield gateway


def result(request_id: str, value: object) -> protocol.Result:
    return protocol.Result(request_id, msgspec.Raw(protocol.encode(value)))


def news(request_id: str, *come: int) -> list[Fetching]:
    """Of a repository with one file of 100 MB."""
    return [Fetching(request_id, "pulling manifest", total_bytes=100 * MB),
            *(Fetching(request_id, "pulling", "model.safetensors", "ab", 100 * MB, each * MB) for each in come)]


def test_a_pull_tells_in_lines_and_then_what_to_do_with_it(gateway: FakeGateway, capsys) -> None:
    assert main(["pull", NAME, "--key", "warden-1"]) == 0
    out, err = capsys.readouterr()
    assert out == "org/tiny is here (9.0 MB); ask it: warden run org/tiny\n"
    assert err.splitlines()[1:] == ["[org/tiny: 50 %, 50.0 MB of 100.0 MB]", "[org/tiny: 100 %, 100.0 MB of 100.0 MB]"]
    asked = gateway.wait_for(Pull)
    assert (asked.model, asked.source, asked.key) == (NAME, "", "warden-1")


def test_from_says_where_it_is(gateway: FakeGateway) -> None:
    assert main(["pull", "mine", "--from", "/models/x"]) == 0
    assert (gateway.wait_for(Pull).model, gateway.wait_for(Pull).source) == ("mine", "/models/x")


@pytest.mark.parametrize(("words", "value"), [
    (["pull", NAME], {"model": NAME, "path": "/x", "bytes": 9 * MB, "text": ""}),
    (["cp", NAME, "mine"], {"model": NAME, "name": "mine", "text": "mine is org/tiny"}),
    (["rm", NAME], {"model": NAME, "text": "org/tiny is deleted; 4.2 MB are free again"})])
def test_json_is_one_object(gateway: FakeGateway, capsys, words: list[str], value: dict) -> None:
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == value


def test_cp_and_rm_say_what_came_of_it(gateway: FakeGateway, capsys) -> None:
    assert main(["cp", NAME, "mine"]) == main(["rm", NAME]) == 0
    assert capsys.readouterr() == ("mine is org/tiny\norg/tiny is deleted; 4.2 MB are free again\n", "")
    assert (gateway.wait_for(Copy).to, gateway.wait_for(Delete).model) == ("mine", NAME)


@pytest.mark.parametrize(("code", "exit_code"), [
    ("model_not_found", 2), ("invalid_request", 1), ("upstream_failed", 1)])
@pytest.mark.parametrize("words", [["pull", NAME], ["cp", NAME, "mine"], ["rm", NAME]])
def test_a_refusal_is_one_line(gateway: FakeGateway, capsys, words: list[str], code: str, exit_code: int) -> None:
    gateway.on |= dict.fromkeys((Pull, Copy, Delete), lambda asked: [error(asked.id, code, "as it is")])
    assert main(words) == exit_code
    assert capsys.readouterr() == ("", "as it is\n")


@pytest.mark.parametrize("columns", [40, 100])
def test_on_a_terminal_a_bar_moves_and_ctrl_c_says_that_it_goes_on(gateway: FakeGateway, columns: int) -> None:
    gateway.on[Pull] = lambda asked: news(asked.id, 0, 43)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": ""}
    with Terminal(["pull", NAME], env, columns=columns) as terminal:
        terminal.wait("43%")
        assert NAME in terminal.screen[0] and "43.0/100.0 MB" in terminal.text
        assert "model.safetensors" in terminal.text and max(map(len, terminal.screen)) <= columns
        terminal.type(CTRL_C)
        assert terminal.end() == 130
        assert "43%" not in terminal.text, "the bar is gone"
        assert " ".join(terminal.text.split()) == (
            "stopped at 43.0 MB of 100.0 MB; the same command again goes on from there")
    gateway.wait_for_cancel(gateway.wait_for(Pull).id)


def test_nothing_moves_in_a_pipe(gateway: FakeGateway) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    ran = subprocess.run([sys.executable, "-P", "-m", "gateway.cli.main", "pull", NAME], env=env, capture_output=True,
                         timeout=WAIT_S, check=True)
    assert b"\x1b" not in ran.stdout + ran.stderr and b"50 %" in ran.stderr
