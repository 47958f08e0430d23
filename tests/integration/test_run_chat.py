"""`warden run` as a person at a terminal has it, against a real stack: every test is one session, or the same one."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_stack import LiveStack
from tests.support.stack_fixtures import shared_stack
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, Terminal

pytestmark = pytest.mark.integration
GUIDE = Path(__file__).resolve().parents[2] / "workers" / "guide" / "model"
stack = shared_stack(f"""
[control]
prewarm = 0
[models.guide]
path = "{GUIDE}"
sampling.temperature = 0.0
[models.echo]
engine = "echo"
aliases = ["parrot"]
[models.slow]
engine = "echo"
echo = {{ rate_per_s = 20, answer_tokens = 1000 }}
[models.stuck]
engine = "echo"
echo = {{ hang_in_load = true }}
[models.small]
engine = "echo"
context_length = 16
""")
HOSTILE = "#text=a\x1b[2Jb\x07c\x1b]0;title\x07 \x9b5m\u202ed"
WAIT_S = 60.0
PASTE = "\x1b[200~{}\x1b[201~"


def chat(stack: LiveStack, *words: str, columns: int = 80, **env: str) -> Terminal:
    return Terminal(["run", *words], stack.env | env, columns=columns)


def say(terminal: Terminal, keys: str) -> str:
    """Type a line, and wait until the prompt is back; what stands between."""
    begin = terminal.text
    terminal.type(keys + ENTER)
    terminal.wait(lambda text: text.endswith(">>>") and text.count(">>>") > begin.count(">>>"))
    return terminal.text[len(begin):].removesuffix(">>>").strip()


def plainly(text: str) -> str:
    """Without the breaks of lines between words."""
    return " ".join(text.split())


@pytest.fixture
def echo(stack: LiveStack) -> Iterator[Terminal]:
    with chat(stack, "parrot") as terminal:
        terminal.wait(">>>")
        yield terminal
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_a_person_asks_reads_asks_again_and_leaves(stack: LiveStack) -> None:
    with chat(stack, "guide") as terminal:
        terminal.wait(">>>")
        assert terminal.text.startswith("guide: /? for help, Ctrl-D to leave")
        assert "warden pin" in say(terminal, "what is a pin?")
        say(terminal, "/set verbose")
        assert "tokens/s" in say(terminal, '"""how do I\rload a model?"""')
        assert "one question waits" not in say(terminal, "/show")
        terminal.type("/bye" + ENTER)
        assert terminal.end() == 0
    kept = [json.loads(line) for line in (stack.home_path / "chat_history").read_text().splitlines()]
    assert kept[-4:] == ["/set verbose", '"""how do I\nload a model?"""', "/show", "/bye"]


def test_ctrl_c_stops_the_answer_and_the_next_question_works(stack: LiveStack) -> None:
    with chat(stack, "slow") as terminal:
        terminal.wait(">>>")
        terminal.type("go on" + ENTER)
        terminal.wait("t0 t1 t2")
        terminal.type(CTRL_C)
        terminal.wait(lambda text: "[stopped]" in text and text.endswith(">>>"))
        said = terminal.text.split("t0 ")[1].split("[stopped]")[0].split()
        assert said == [f"t{number}" for number in range(1, len(said) + 1)], "what came is there"
        assert say(terminal, "#tokens=3").endswith("t0 t1 t2")
        saved = stack.home_path / "stopped.json"
        say(terminal, f"/save {saved}")
        terminal.type(CTRL_C)
        terminal.wait("Ctrl-C again or Ctrl-D leaves")
        terminal.type(CTRL_C)
        assert terminal.end() == 0
    messages = json.loads(saved.read_text())["messages"]
    assert [message.get("cut") for message in messages] == [None, "stopped", None, None]
    with stack.client() as client:
        assert client.stats().cancelled >= 1 and not sum(client.stats().running)


def test_what_a_model_says_cannot_order_the_terminal_about(echo: Terminal) -> None:
    begin = len(echo.raw)
    assert "a\ufffd[2Jb\ufffdc\ufffd]0;title\ufffd \ufffd5m\ufffdd" in say(echo, PASTE.format(HOSTILE))
    answer = echo.raw[begin:]
    assert b"\x1b[2J" not in answer and b"\x07" not in answer and b"\x9b" not in answer.replace("\ufffd".encode(), b"")


def test_commands_that_fail_say_why_and_the_prompt_comes_back(echo: Terminal) -> None:
    assert "did you mean /show?" in say(echo, "/shw")
    assert "did you mean temperature?" in say(echo, "/set parameter temprature 1")
    assert 'model "slw" not found; did you mean slow?' in say(echo, "/model slw")
    assert "is there and is no conversation" in plainly(say(echo, f"/save {__file__}"))
    assert say(echo, " /etc #tokens=2").endswith("t0 t1")


def test_reasoning_is_dimmed_and_undo_takes_back(echo: Terminal) -> None:
    say(echo, "#text=<think> hm </think> yes")
    assert b"\x1b[2mhm" in echo.raw
    assert "holds nothing yet" in say(echo, "/undo")
    assert "nothing was asked yet" in say(echo, "/retry")


def test_a_conversation_that_is_too_long_is_told_and_goes_on(stack: LiveStack) -> None:
    with chat(stack, "small") as terminal:
        terminal.wait(">>>")
        say(terminal, "a b c d #tokens=5")
        assert "its oldest part is left out" not in terminal.text
        told = plainly(say(terminal, "e f g h i j k #tokens=2"))
        assert "longer than the model's context; from now on the oldest part of a long conversation is left out" in told
        assert "longer than" not in say(terminal, "l m #tokens=2")


def test_an_error_in_the_middle_keeps_what_came_and_retry_asks_again(stack: LiveStack) -> None:
    with chat(stack, "echo") as terminal:
        terminal.wait(">>>")
        answer = say(terminal, "#rate=20 #crash_at=5")
        assert "t0 t1 t2" in answer and len(answer.splitlines()) >= 2
        assert "and its answer" in say(terminal, "/show")
        terminal.signal(signal.SIGTERM)
        assert terminal.end() == 128 + signal.SIGTERM


@pytest.mark.parametrize("columns", [40, 100])
def test_words_wrap_and_none_is_cut(stack: LiveStack, columns: int) -> None:
    with chat(stack, "guide", "what is a pin?", columns=columns) as terminal:
        assert terminal.end() == 0
        lines = terminal.text.splitlines()
        assert len(lines) > 1 and max(map(len, lines)) <= columns
        assert plainly(terminal.text) == stack.warden("run", "guide", "what is a pin?").stdout.strip()


def test_an_unknown_model_is_refused_before_the_prompt(stack: LiveStack) -> None:
    with chat(stack, "guid") as terminal:
        assert terminal.end() == 2
        assert terminal.text == 'model "guid" not found; did you mean guide?'


def test_without_a_terminal_there_is_one_answer_and_no_decoration(stack: LiveStack) -> None:
    command = f"printf '%s' '{HOSTILE}' | {sys.executable} -P -m gateway.cli.main run echo"
    answer = subprocess.run(["bash", "-c", command], env=stack.env, capture_output=True, timeout=WAIT_S, check=True)
    assert answer.stdout.decode() == HOSTILE.removeprefix("#text=") + "\n" and answer.stderr == b""


def test_a_chat_into_a_pipe_is_refused(stack: LiveStack) -> None:
    command = ["bash", "-c", f"{sys.executable} -P -m gateway.cli.main run echo | cat"]
    with Terminal([], stack.env, command=command) as it:
        it.wait(lambda text: "give a PROMPT, or pipe it in" in text.replace("\n", ""))
        assert it.end() == 0


def test_a_load_is_told_above_the_prompt_and_as_a_bar_while_a_question_waits(stack: LiveStack) -> None:
    with chat(stack, "stuck", columns=40) as terminal:
        terminal.wait("stuck: loading 50 %")
        assert terminal.text.endswith("\n>>>"), "one can type meanwhile"
        terminal.type("are you there?" + ENTER)
        terminal.wait(lambda text: "━" in text and "loading 50 %" in text and "stuck:" not in text.splitlines()[-1])
        terminal.type(CTRL_C)
        terminal.wait(lambda text: "[stopped; /retry asks again]" in text and "━" not in text)
        terminal.wait(lambda text: text.endswith(">>>"))
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_a_load_by_hand_shows_the_same_bar(stack: LiveStack) -> None:
    with Terminal(["load", "stuck"], stack.env, columns=50) as terminal:
        terminal.wait(lambda text: "━" in text and "loading 50 %" in text)
        terminal.type(CTRL_C)
        assert terminal.end() == 130 and "━" not in terminal.text
