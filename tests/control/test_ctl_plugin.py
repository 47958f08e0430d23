"""The model verbs inside a real supervisorctl controller, with a table to read and a control that only answers."""

import io
import time
from pathlib import Path

import pytest
from supervisor.supervisorctl import Controller, DefaultControllerPlugin

from control import messages
from control.ctl_plugin import make_plugin
from control.home import Home, prepare_home
from control.states import Breaker, Phase
from control.table import ControlWarning, ControlWords, RowControl, RowReason, RowWorker, Table, text_words
from tests.support.fake_control import FakeControl, told

MIB = 1024 * 1024
PID = 4711


class Options:
    """What a Controller asks of supervisorctl's options."""

    prompt = "warden"

    def __init__(self, home: Home) -> None:
        self.plugin_factories = [("default", DefaultControllerPlugin, {}),
                                 ("warden", make_plugin, {"home": str(home.root)})]


class Ctl:
    """supervisorctl with the plugin, in this process."""

    def __init__(self, home: Home) -> None:
        self.out = io.StringIO()
        self.controller = Controller(Options(home), stdout=self.out)

    def __call__(self, line: str) -> str:
        """What it prints. The exit status is that of this line alone."""
        self.controller.exitstatus = 0
        self.out.seek(0)
        self.out.truncate()
        self.controller.onecmd(line)
        return self.out.getvalue()

    @property
    def status(self) -> int:
        return self.controller.exitstatus


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    prepare_home(home)
    return home


@pytest.fixture
def ctl(home: Home) -> Ctl:
    return Ctl(home)


def make_table(home: Home, control_age_s: int = 0) -> None:
    """Row a: loaded and pinned, b: just gone, c: alive and silent; and a warning."""
    table, now_ns = Table.create(home.table, boot_id=1), time.monotonic_ns()

    def write(kind: type, row: int | None, **words: int) -> None:
        writer = table.writer(kind, row)
        writer.set(**words)
        writer.flush()

    for index, name in enumerate("abc"):
        table.name_row(index, name)
    write(ControlWords, None, epoch=1, heartbeat_ns=now_ns - control_age_s * 10**9)
    write(RowControl, 0, incarnation=1, phase=Phase.ALIVE, pid=PID, share_bytes=300 * MIB, pinned=1)
    write(RowWorker, 0, incarnation=1, phase=Phase.READY, heartbeat_ns=now_ns, footprint_bytes=200 * MIB)
    write(RowReason, 0, **text_words(RowReason, "loaded\nat\x1bstart")._asdict())
    write(RowControl, 1, incarnation=3, phase=Phase.DOWN)
    write(RowWorker, 1, incarnation=3, phase=Phase.READY, heartbeat_ns=now_ns, footprint_bytes=200 * MIB)
    write(RowControl, 2, incarnation=2, phase=Phase.ALIVE, pid=PID + 1)
    write(RowWorker, 2, incarnation=2, phase=Phase.READY, heartbeat_ns=now_ns - 10**10)
    write(ControlWarning, None, **text_words(ControlWarning, "memory is at 96 %; a answers")._asdict())
    table.close()


def test_models_shows_every_row_and_the_warning(home: Home, ctl: Ctl) -> None:
    make_table(home)
    header, *rows, warning = ctl("models").splitlines()
    assert header.split() == ["NAME", "STATE", "PID", "MEMORY", "SHARE", "PINNED", "REASON"]
    assert [row.split(maxsplit=6) for row in rows] == [
        ["a", "ready", "4711", "200M", "300M", "yes", "loaded at start"], ["b", "down", "-", "-", "-", "-"],
        ["c", "unknown", "4712", "-", "-", "-", "no fresh word from control or the worker"]]
    assert rows[0].index("loaded") == header.index("REASON")
    assert warning == "warning: memory is at 96 %; a answers" and ctl.status == 0


def add_relay(home: Home, **words: int) -> None:
    table, now_ns = Table.open(home.table), time.monotonic_ns()
    table.name_row(3, "relay-ollama")
    for kind, given in ((RowControl, {"incarnation": 1, "phase": Phase.ALIVE, "pid": PID}),
                        (RowWorker, {"incarnation": 1, "phase": Phase.READY, "heartbeat_ns": now_ns} | words),
                        (RowReason, text_words(RowReason, "ready")._asdict())):
        writer = table.writer(kind, 3)
        writer.set(**given)
        writer.flush()
    table.close()


@pytest.mark.parametrize(("words", "shown"), [
    ({}, ["ready", "4711", "closed", "ready"]),
    ({"breaker": Breaker.OPEN},
     ["ready", "4711", "open", "its server does not answer; `tail relay-ollama` says what it does"]),
    ({"breaker": Breaker.HALF_OPEN, "heartbeat_ns": 1},
     ["unknown", "4711", "-", "no fresh word from control or the worker"])])
def test_relays_are_shown_apart_and_are_no_models(home: Home, ctl: Ctl, words: dict, shown: list[str]) -> None:
    make_table(home)
    add_relay(home, **words)
    *models, header, relay, warning = ctl("models").splitlines()
    assert [line.split()[0] for line in models] == ["NAME", "a", "b", "c"] and warning.startswith("warning")
    assert header.split() == ["RELAY", "STATE", "PID", "BREAKER", "REASON"]
    assert relay.split(maxsplit=4) == ["relay-ollama", *shown] and ctl.status == 0


@pytest.mark.parametrize("verb", ["load", "unload", "evict", "pin", "unpin"])
def test_all_models_does_not_mean_relays(home: Home, ctl: Ctl, verb: str) -> None:
    make_table(home)
    add_relay(home)
    with FakeControl(home) as control:
        ctl(f"{verb} all")
    assert {name for _, name in control.asked} == set("abc") - ({"b"} if verb in ("unload", "evict") else set())


def test_models_says_when_it_can_know_nothing(home: Home, ctl: Ctl) -> None:
    assert "there is no table" in ctl("models") and ctl.status == 7
    make_table(home, control_age_s=4)
    assert "control is silent" in ctl("models").splitlines()[-1] and ctl.status == 1
    assert "no arguments" in ctl("models a") and ctl.status == 2


@pytest.mark.parametrize("verb", ["load", "unload", "evict", "pin", "unpin"])
def test_a_verb_asks_control_for_each_model_and_prints_its_line(home: Home, ctl: Ctl, verb: str) -> None:
    with FakeControl(home) as control:
        assert ctl(f"{verb} a worker-b Qwen3:4b") == (
            f"a: {verb} done\nworker-b: {verb} done\nQwen3:4b: {verb} done\n")
    assert control.asked == [(verb, "a"), (verb, "worker-b"), (verb, "Qwen3:4b")] and ctl.status == 0


@pytest.mark.parametrize(("code", "status"), [("model_busy", 1), ("model_unavailable", 1), ("model_not_found", 2)])
def test_what_is_refused_is_an_error_and_the_others_are_asked_for_all_the_same(
        home: Home, ctl: Ctl, code: str, status: int) -> None:
    answers = {"a": ("", "a is evicted"), "b": (code, "as it is"), "c": ("", "c is evicted")}
    with FakeControl(home, lambda ask: [told(ask, *answers[ask.model])]):
        assert ctl("evict a b c") == "a is evicted\nb: ERROR (as it is)\nc is evicted\n"
    assert ctl.status == status


@pytest.mark.parametrize(("verb", "names"), [("evict", "ac"), ("unload", "ac"), ("load", "abc"), ("unpin", "abc")])
def test_all_is_every_model_that_the_verb_can_mean(home: Home, ctl: Ctl, verb: str, names: str) -> None:
    make_table(home)
    with FakeControl(home) as control:
        ctl(f"{verb} all")
    assert control.asked == [(verb, name) for name in names]


def test_all_of_none(home: Home, ctl: Ctl) -> None:
    assert "there is no table" in ctl("evict all") and ctl.status == 7
    Table.create(home.table, boot_id=1).close()
    assert ctl("evict all") == "evict: no model has a process\n" and ctl.status == 0


def test_a_verb_without_a_name_is_wrong_use_and_shows_its_help(ctl: Ctl) -> None:
    first, *rest = ctl("pin").splitlines()
    assert first == "Error: pin requires a model name" and rest[0].startswith("pin <name>") and ctl.status == 2


def test_nobody_there_and_nobody_answering_are_told_apart(
        home: Home, ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.ctl_plugin.CONNECT_WITHIN_S", 0.05)
    assert ctl("pin a") == "pin: ERROR (control does not answer; `status` shows whether control runs)\n"
    assert ctl.status == 7
    monkeypatch.setattr("control.ctl_plugin.CONNECT_WITHIN_S", 5.0)
    monkeypatch.setattr("control.ctl_plugin.ANSWER_WITHIN_S", 0.05)
    with FakeControl(home, lambda ask: []) as control:
        assert ctl("pin a b") == (
            "pin: ERROR (control did not answer within 0.05 s; `status` shows whether control runs)\n")
    assert ctl.status == 7 and control.asked == [("pin", "a")], "who is silent is not asked again"


def test_an_answer_to_another_question_is_not_taken(home: Home, ctl: Ctl) -> None:
    def answer(ask: messages.Ask) -> list[messages.Told]:
        return [messages.Told(messages.VERSION, ask.id - 1, "", "of the one before"), told(ask, text="of this one")]

    with FakeControl(home, answer):
        assert ctl("pin a b") == "of this one\nof this one\n"


def test_help_for_each_verb_and_no_complaint_about_supervisorctls_own(ctl: Ctl) -> None:
    overview = ctl("help")
    assert "warden commands" in overview
    for verb in ("models", "load", "unload", "evict", "pin", "unpin"):
        assert verb in overview
        text = ctl(f"help {verb}")
        assert text.startswith(f"{verb}") and "No help" not in text
    assert ctl("help start").count("No help") == 0
    assert ctl("help nonsense").count("No help") == 1
