"""One answer: JSON lines for programs, and what happens meanwhile told beside the answer, never in it."""

import json

import pytest

from gateway.cli.one_answer import json_lines, show_answer
from gateway.protocol import HANDED_ON, Accepted, Note, Progress, Started, Tokens
from tests.support.fake_gateway import done, tokens

EVENTS = [Accepted("1", 1, "tiny", "low", 2, "high"), Progress("1", 2, "queued", 9.0), Progress("1", 0, HANDED_ON, 1.0),
          Started("1", "t:1b", "mlx>ollama", "overloaded", 1, 0.0, 0.0), Tokens("1", 0, [], "", "hm"),
          tokens("1", 1, "one "), tokens("1", 2, "two"), done("1")]


def test_the_answer_alone_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    show_answer(EVENTS, as_json=False)
    out, err = capsys.readouterr()
    assert out == "one two\n"
    assert err.splitlines() == ["[class low: this key does not allow high]", "[queued, 2 before it, about 9 s]",
                                "[mlx>ollama: overloaded]"]


def test_json_has_an_object_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    show_answer(EVENTS, as_json=True)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines == list(json_lines(EVENTS)) and err == ""
    assert [line["event"] for line in lines] == ["waiting", "waiting", "started", "thinking", "text", "text", "done"]
    assert lines[0] == {"event": "waiting", "reason": "queued", "position": 2, "estimate_s": 9.0, "load_progress": 0.0,
                        "detail": ""}
    assert lines[-1]["usage"]["completion_tokens"] == 3 and lines[-1]["timings"]["total_ms"] == 10.5


def test_what_an_agent_does_meanwhile_is_told_and_cannot_order_the_terminal_about(capsys) -> None:
    show_answer([Note("1", "step", "reads\x1b[2J a file"), tokens("1", 0, "x"), done("1")], as_json=False)
    assert capsys.readouterr() == ("x\n", "[reads [2J a file]\n")


def test_what_came_before_an_error_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def broken():
        yield tokens("1", 0, "beg")
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        show_answer(broken(), as_json=False)
    assert capsys.readouterr().out == "beg"
