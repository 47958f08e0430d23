"""`warden run` with a question: PROMPT, pipe or both, one answer and out, with the exit codes of `ask`."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.home import Home
from gateway import protocol
from gateway.cli.main import main
from gateway.protocol import BODY_MAX_BYTES, Message, Pull, Route, Submit
from tests.support.fake_gateway import FakeGateway, error
from tests.support.supervisor_home import ROOT
from tests.support.terminal import ENTER, Terminal


@pytest.fixture
def gateway(home: Home) -> Iterator[FakeGateway]:
    with FakeGateway(home.endpoint("clients")) as gateway:
        yield gateway


@pytest.fixture
def piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """`piped(b"...")`: what standard input holds."""
    opened = []

    def pipe(data: bytes) -> None:
        (tmp_path / "stdin").write_bytes(data)
        opened.append(open(tmp_path / "stdin"))
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield pipe
    for file in opened:
        file.close()


def asked(gateway: FakeGateway) -> list[Message]:
    return gateway.wait_for(Submit).messages


def test_a_prompt_is_answered_and_that_is_all(gateway: FakeGateway, piped, capsys) -> None:
    piped(b"")
    assert main(["run", "tiny", "what", "is it?"]) == 0
    assert capsys.readouterr() == ("one two three\n", "")
    submit = gateway.wait_for(Submit)
    assert (submit.model, submit.kind, submit.priority) == ("tiny", "chat", "high")
    assert submit.messages == [Message("user", "what is it?")]


def test_what_is_piped_in_is_the_question_or_stands_below_the_prompt(gateway: FakeGateway, piped) -> None:
    piped(b"a text\n")
    assert main(["run", "tiny"]) == 0 and asked(gateway) == [Message("user", "a text")]
    gateway.reset()
    piped(b"a text\n")
    assert main(["run", "tiny", "sum up"]) == 0 and asked(gateway) == [Message("user", "sum up\n\na text")]


def test_options_go_with_the_question(gateway: FakeGateway, piped) -> None:
    piped(b"")
    options = ["--system", "Be brief.", "--priority", "low", "--victoria", "--key", "warden-1"]
    assert main(["run", "tiny", "x", *options]) == 0
    submit = gateway.wait_for(Submit)
    assert (submit.priority, submit.victoria, submit.key) == ("low", True, "warden-1")
    assert submit.messages[0] == Message("system", "Be brief.")


def test_without_a_model_the_default_answers(gateway: FakeGateway, piped) -> None:
    piped(b"hello")
    assert main(["run"]) == 0 and gateway.wait_for(Submit).model == ""


def test_json_is_a_line_for_each_event(gateway: FakeGateway, piped, capsys) -> None:
    piped(b"")
    assert main(["run", "tiny", "x", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["text", "text", "text", "done"]


@pytest.mark.parametrize(("code", "exit_code"), [("model_not_found", 2), ("unauthorized", 2), ("queue_full", 1)])
def test_an_error_is_one_line_with_the_codes_of_ask(gateway: FakeGateway, piped, capsys, code: str,
                                                    exit_code: int) -> None:
    piped(b"")
    gateway.on[protocol.Submit] = lambda submit: [error(submit.id, code, "as it is", retry_after_s=9.0)]
    assert main(["run", "tiny", "x"]) == exit_code
    assert capsys.readouterr() == ("", "as it is (try again in 9 s)\n")


@pytest.mark.parametrize(("data", "told"), [
    (b"", "stdin: is empty"), (b" \n", "stdin: is empty"), (b"\xff\xfe", "no text in UTF-8"),
    (b"x" * (BODY_MAX_BYTES + 1), "the limit of a question")])
def test_what_cannot_be_asked_is_told_before_anything_is_sent(gateway: FakeGateway, piped, capsys, data: bytes,
                                                             told: str) -> None:
    piped(data)
    assert main(["run", "tiny"]) == 2
    assert told in capsys.readouterr().err and not gateway.all(Submit)


@pytest.mark.parametrize(("keys", "exit_code"), [("n", 2), ("y", 1)])
def test_a_repository_that_is_not_here_is_fetched_if_a_person_wants_it(gateway: FakeGateway, keys: str,
                                                                      exit_code: int) -> None:
    gateway.on[Route] = lambda asked: [error(asked.id, "model_not_found", "not found")]
    gateway.on[Pull] = lambda asked: [error(asked.id, "upstream_failed", "the hub is down")]
    with Terminal(["run", "org/tiny"], {**os.environ, "PYTHONPATH": str(ROOT)}) as terminal:
        terminal.wait("org/tiny is not here. Fetch it now? [y/N]:")
        terminal.type(keys + ENTER)
        assert terminal.end() == exit_code
        assert terminal.text.endswith("not found" if keys == "n" else "the hub is down")
    assert [asked.model for asked in gateway.all(Pull)] == ["org/tiny"] * (keys == "y")


def test_nothing_runs_here(home: Home, piped, capsys) -> None:
    piped(b"hello")
    assert main(["run", "tiny"]) == 1
    assert "nothing runs in" in capsys.readouterr().err
