"""`warden batch` against a gateway with a script: what is sent, what is written, and where it begins again."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from control.home import Home
from gateway import protocol
from gateway.cli.main import main
from gateway.protocol import Route, Submit
from tests.support.fake_gateway import FakeGateway, accepted, done, error, tokens

ROOT = Path(__file__).resolve().parents[3]
WAIT_S = 30.0


def said(submit: Submit) -> str:
    return submit.messages[-1].content


def echo(submit: Submit) -> list:
    return [accepted(submit.id, 1), tokens(submit.id, 0, f"re: {said(submit)}"), done(submit.id)]


def route(asked: Route) -> list:
    if asked.model == "gone":
        return [error(asked.id, "model_not_found", 'model "gone" not found')]
    info = protocol.RouteInfo("tiny", "batch", "medium", "person", True, False, [], 0, "mlx", "")
    return [protocol.Result(asked.id, msgspec.Raw(protocol.encode(info)))]


@pytest.fixture
def gateway(home: Home) -> Iterator[FakeGateway]:
    with FakeGateway(home.endpoint("clients")) as gateway:
        gateway.on[Submit], gateway.on[Route] = echo, route
        yield gateway


def write(*requests: dict | str, name: str = "q.jsonl") -> str:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in requests]
    Path(name).write_text("".join(f"{line}\n" for line in lines))
    return name


def answers(name: str = "q.answers.jsonl") -> dict[object, str]:
    found = [json.loads(line) for line in Path(name).read_text().splitlines()]
    assert len({each.get("id", each["line"]) for each in found}) == len(found), "one line for each"
    return {each.get("id", each["line"]): each["answer"] for each in found}


def submits(gateway: FakeGateway) -> list[Submit]:
    """Not the questions who would answer."""
    return sorted((each for each in gateway.all(Submit) if not isinstance(each, Route)), key=said)


def asked(gateway: FakeGateway) -> list[str]:
    return [said(submit) for submit in submits(gateway)]


def test_every_request_is_answered_in_class_medium(gateway: FakeGateway, capsys) -> None:
    file = write({"prompt": "a"}, "", {"prompt": "b", "id": "x", "model": "other", "max_tokens": 3})
    assert main(["batch", file]) == 0
    assert answers() == {1: "re: a", "x": "re: b"}
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1] == "2 of 2 answered in q.answers.jsonl"
    first, second = submits(gateway)
    assert {(each.kind, each.priority) for each in (first, second)} == {("batch", "medium")}
    assert (first.model, second.model, second.options.max_tokens) == ("", "other", 3)


def test_json_is_one_object_with_the_numbers(gateway: FakeGateway, capsys) -> None:
    file = write({"prompt": "a"}, {"prompt": "b"})
    assert main(["batch", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"requests": 2, "answered": 2, "failed": 0, "out": "q.answers.jsonl"}
    assert main(["batch", file, "--json", "--out", "-"]) == 2
    assert "name a file with --out" in capsys.readouterr().err


def test_the_options_reach_the_gateway(gateway: FakeGateway, monkeypatch) -> None:
    monkeypatch.setenv("WARDEN_KEY", "warden-1")
    assert main(["batch", write({"prompt": "a"}), "--priority", "low", "--model", "tiny", "--out", "o.jsonl"]) == 0
    (submit,) = submits(gateway)
    assert (submit.priority, submit.model, submit.key) == ("low", "tiny", "warden-1")
    assert answers("o.jsonl") == {1: "re: a"}


def test_what_is_answered_is_not_asked_again_and_what_changed_is(gateway: FakeGateway, capsys) -> None:
    main(["batch", write({"prompt": "a"}, {"prompt": "b", "id": 1}, {"prompt": "c"})])
    gateway.received.clear()
    write({"prompt": "a"}, {"prompt": "b"}, {"prompt": "c2"}, {"prompt": "b", "id": 1})
    assert main(["batch", "q.jsonl"]) == 0
    assert asked(gateway) == ["b", "c2"], "an id may move; a line without one is its number and what it says"
    assert "2 of 4 are answered already in q.answers.jsonl" in capsys.readouterr().err
    gateway.received.clear()
    assert main(["batch", "q.jsonl"]) == 0 and asked(gateway) == []
    assert main(["batch", "q.jsonl", "--model", "other"]) == 0
    assert len(asked(gateway)) == 4, "another model, another request"


def test_one_bad_answer_does_not_end_the_rest_and_is_asked_again(gateway: FakeGateway, capsys) -> None:
    gateway.on[Submit] = lambda s: [error(s.id, "worker_crashed", "it died")] if said(s) == "b" else echo(s)
    file = write({"prompt": "a"}, {"prompt": "b", "id": "x"}, {"prompt": "c"})
    assert main(["batch", file]) == 1
    err = capsys.readouterr().err.splitlines()
    assert "line 2 (id x): it died" in err and err[-1] == "1 failed; the same command again asks only these"
    assert answers() == {1: "re: a", 3: "re: c"}
    gateway.received.clear()
    gateway.on[Submit] = echo
    assert main(["batch", file]) == 0 and asked(gateway) == ["b"]
    assert answers() == {1: "re: a", 3: "re: c", "x": "re: b"}


@pytest.mark.parametrize(("line", "told"), [
    ('{"prompt": "b", "model": "gone"}', 'q.jsonl:2: model "gone" not found'),
    ('{"prompt": "b"', "q.jsonl:2: is no JSON"), ('{"prompt": "b", "tmp": 0}', "q.jsonl:2: tmp: no such field")])
def test_a_mistake_is_told_before_anything_is_sent(gateway: FakeGateway, capsys, line: str, told: str) -> None:
    assert main(["batch", write({"prompt": "a"}, line)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(told) and err.count("\n") == 1
    assert asked(gateway) == [] and not Path("q.answers.jsonl").exists()


@pytest.mark.parametrize(("arguments", "told"), [
    (["nowhere.jsonl"], "nowhere.jsonl: cannot be read"), (["q.jsonl", "--out", "q.jsonl"], "is the input itself"),
    (["q.jsonl", "--out", "notes.txt"], "notes.txt:1: is no answer"),
    (["q.jsonl", "--concurrency", "0"], "concurrency"), (["q.jsonl", "--priority", "high"], "high")])
def test_wrong_use_is_exit_code_2(gateway: FakeGateway, capsys, arguments: list[str], told: str) -> None:
    write({"prompt": "a"})
    Path("notes.txt").write_text("mine\n")
    assert main(["batch", *arguments]) == 2
    assert told in capsys.readouterr().err and asked(gateway) == []


def test_without_a_stack_nothing_is_touched(home: Home, capsys) -> None:
    assert main(["batch", write({"prompt": "a"})]) == 1
    assert "nothing runs in" in capsys.readouterr().err and not Path("q.answers.jsonl").exists()


def test_from_pipe_to_pipe(gateway: FakeGateway, capfdbinary, monkeypatch) -> None:
    class Piped:
        buffer = io.BytesIO(b'{"prompt": "a"}\n{"prompt": "b"}')

    monkeypatch.setattr(sys, "stdin", Piped)
    assert main(["batch", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert sorted(json.loads(line)["answer"] for line in out.splitlines()) == ["re: a", "re: b"]
    assert err.splitlines()[-1] == b"2 of 2 answered"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_interrupted_it_keeps_what_was_answered_and_goes_on_there(
        gateway: FakeGateway, home: Home, number: signal.Signals, code: int) -> None:
    """A real process is interrupted once two answers are on disk, while two requests are on their way."""
    gateway.on[Submit] = lambda s: gateway.hold(s) if said(s) in "cd" else echo(s)
    file = write(*({"prompt": word} for word in "abcd"))
    command = [sys.executable, "-P", "-m", "gateway.cli.main", "batch", file]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    two = threading.Event()

    def read() -> None:
        for line in process.stderr:
            lines.append(line)
            if line.startswith("2 of 4"):
                two.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert two.wait(WAIT_S), lines
        process.send_signal(number)
        assert process.wait(WAIT_S) == code
    finally:
        process.kill()
        reader.join(WAIT_S)
        process.stderr.close()
    assert answers() == {1: "re: a", 2: "re: b"}
    if number == signal.SIGINT:
        assert lines[-1] == "stopped: 2 of 4 answered; the same command again goes on\n"
        gateway.wait_for(protocol.Cancel, 2)
    gateway.received.clear()
    gateway.on[Submit] = echo
    assert main(["batch", file]) == 0 and asked(gateway) == ["c", "d"]
    assert answers() == {1: "re: a", 2: "re: b", 3: "re: c", 4: "re: d"}
