"""`warden top` where it is no live view, and what keys choose in it."""

import json
import time

import pytest

from control.home import Home
from gateway.cli.main import main
from gateway.cli.screen import DOWN, PAGE_DOWN, UP
from gateway.cli.top import DECISIONS_MAX, Choices, Decisions
from tests.gateway.cli.test_ps import ready, write_table

NAMES = [f"m{number:02}" for number in range(30)]


def journal(home: Home, program: str, *events: dict) -> None:
    with open(home.logs / f"{program}.log", "a") as file:
        file.writelines(json.dumps({"timestamp": "2026-08-08T10:00:00Z", "process": program} | fields) + "\n"
                        for fields in events)


def test_decisions_are_those_of_before_and_those_that_come(home: Home) -> None:
    held = {"event": "held", "model": "a", "reason": "stopped by an operator"}
    journal(home, "control", {"event": "welcome", "model": "a"}, *[held] * (DECISIONS_MAX + 5))
    journal(home, "worker-a", held)  # whose word it is not
    decisions = Decisions(home)
    assert len(decisions.newest) == DECISIONS_MAX and len(decisions.told(3)) == 3
    journal(home, "gateway", {"event": "spill", "model": "a", "to": "ollama", "reason": "overloaded"}, {"event": "x"})
    decisions.read()
    assert len(decisions.newest) == DECISIONS_MAX
    assert decisions.values(1)[0]["text"] == "a request for a goes to ollama: overloaded"


@pytest.mark.parametrize(("keys", "selected"), [
    ([], "m00"), ([DOWN, "j"], "m02"), ([DOWN, UP, "k", UP], "m00"), ([PAGE_DOWN] * 9, "m29"), (["x", "\x1b"], "m00")])
def test_keys_select_a_model(keys: list[str], selected: str) -> None:
    choices = Choices()
    choices.press(keys, NAMES)
    assert choices.selected == selected
    choices.press([DOWN], ["other"])
    assert choices.selected == "other"
    choices.press([DOWN], [])
    assert choices.selected == ""


def test_keys_pause_and_help() -> None:
    choices = Choices()
    choices.press(["p", "?"], NAMES)
    assert choices.paused and choices.help
    choices.press(["p", "?", "p"], NAMES)
    assert choices.paused and not choices.help


def test_where_it_is_no_terminal_one_view_is_printed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 1
    assert "warden up" in capsys.readouterr().err
    write_table(home, "loaded for 2 that wait", **ready(time.monotonic_ns()))
    journal(home, "control", {"event": "loaded", "model": "tiny", "load_s": 1.25})
    assert main(["top"]) == 0
    out = capsys.readouterr().out
    assert "tiny" in out and "tiny was loaded in 1.2 s" in out and "\x1b" not in out
    assert main(["top", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"][0]["name"] == "tiny" and told["decisions"][0]["kind"] == "load"
