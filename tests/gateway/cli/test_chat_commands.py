"""What `/` commands do to a chat: the conversation, the settings, and the line that is said."""

import asyncio
from pathlib import Path

import pytest

from gateway.cli.chat_commands import DOES, Leave, carry_out
from gateway.cli.chat_file import TypedBefore
from gateway.cli.chat_lines import COMMANDS, SETTINGS, read_command
from gateway.cli.chat_session import Conversation, ConversationRefused
from gateway.client import GatewayError
from gateway.protocol import ModelInfo
from tests.support.fake_gateway import model_info


class Gateway:
    """Has the models `tiny` and `other`."""

    async def list_models(self) -> list[ModelInfo]:
        return [model_info("tiny"), model_info("other", state="empty", reason="never asked")]

    async def show(self, name: str) -> ModelInfo:
        return await find(name)


class Room:
    """What a command can change, and whether it asked."""

    def __init__(self, folder: Path) -> None:
        self.conversation = Conversation("tiny").asking("a").answered("A").asking("b").answered("B")
        self.typed, self.fields = TypedBefore(folder), {"priority": "high"}
        self.wraps, self.verbose, self.client = True, False, Gateway()
        self.asked: list[str] = []

    async def answer(self) -> None:
        self.asked.append(self.conversation.pending)
        self.conversation = self.conversation.answered("again")

    async def find_model(self, name: str) -> ModelInfo:
        return await find(name)

    def prepare_model(self, info: ModelInfo) -> None:
        self.conversation = Conversation(info.name, turns=self.conversation.turns)


async def find(name: str) -> ModelInfo:
    if name not in ("tiny", "other"):
        raise GatewayError("model_not_found", f'model "{name}" not found')
    return model_info(name)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return Room(tmp_path)


def do(room: Room, typed: str) -> None:
    asyncio.run(carry_out(room, read_command(typed)))


def test_each_command_and_setting_does_something() -> None:
    known = {name[1:] for name in COMMANDS} | {f"set {name}" for name in SETTINGS}
    assert known == set(DOES)


@pytest.mark.parametrize(("typed", "line"), [
    ("/clear", "the conversation begins anew"),
    ("/undo", "taken back; the conversation holds one question and its answer"),
    ("/set system Be brief.", "the system text is set"), ("/set system", "there is no system text"),
    ("/set parameter seed 7", "seed is 7 from the next answer"),
    ("/set think off", "think is off from the next answer"),
    ("/set verbose", "times follow each answer"), ("/set quiet", "no times"),
    ("/set nowrap", "lines are left as they are"),
    ("/set wrap", "lines break between words"), ("/model other", "other from the next answer")])
def test_what_is_said(room: Room, capsys, typed: str, line: str) -> None:
    do(room, typed)
    assert capsys.readouterr().out == f"{line}\n"


def test_help_names_every_command_and_where_what_is_typed_is_kept(room: Room, capsys) -> None:
    do(room, "/?")
    out = capsys.readouterr().out
    assert all(f"{name} {what}".strip() in out for name, (what, _) in COMMANDS.items())
    assert f"What you type is kept in {room.typed.path}, for you alone." in out.replace("\n", " ")


def test_history_is_kept_or_not_and_the_file_stays(room: Room, capsys) -> None:
    room.typed.add("before")
    do(room, "/set nohistory")
    room.typed.add("secret")
    do(room, "/help")
    do(room, "/set history")
    assert room.typed.read() == ["before"] and room.typed.keeps
    assert "What you type is not kept; what was before stands" in capsys.readouterr().out


def test_retry_asks_the_last_question_again(room: Room) -> None:
    do(room, "/retry")
    assert room.asked == ["b"] and [turn.content for turn in room.conversation.turns] == ["a", "A", "b", "again"]


@pytest.mark.parametrize("typed", ["/retry", "/undo"])
def test_there_must_be_a_question_first(room: Room, typed: str) -> None:
    do(room, "/clear")
    with pytest.raises(ConversationRefused, match=f"{typed}: nothing was asked yet"):
        do(room, typed)


def test_models_are_listed_with_the_one_in_use_marked(room: Room, capsys) -> None:
    do(room, "/model")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["->", "tiny", "ready"], ["other", "empty", "never"]]


def test_show_has_model_settings_and_length(room: Room, capsys) -> None:
    for typed in ("/set system Be brief.", "/set parameter temperature 0.5", "/show"):
        do(room, typed)
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[2:])
    assert told["model"] == "tiny (echo, ready, context 2048)" and told["parameters"] == "temperature 0.5"
    assert told["length"] == "2 questions and their answers" and told["system"] == "Be brief."


def test_a_conversation_goes_to_a_file_and_comes_back_with_its_model(room: Room, capsys) -> None:
    do(room, "/model other")
    do(room, "/save talk.json")
    held = room.conversation
    do(room, "/clear")
    do(room, "/model tiny")
    do(room, "/load talk.json")
    assert room.conversation == held
    assert capsys.readouterr().out.endswith("the conversation holds 2 questions and their answers; model other\n")


def test_a_file_whose_model_is_not_here_goes_on_with_the_one_in_use(room: Room, capsys) -> None:
    Path("talk.json").write_text('{"model": "gone", "messages": [{"role": "user", "content": "q"}]}')
    do(room, "/load talk.json")
    assert room.conversation == Conversation("tiny", pending="q")
    assert 'model "gone" not found; it goes on with tiny' in capsys.readouterr().out


def test_bye_leaves(room: Room) -> None:
    with pytest.raises(Leave):
        do(room, "/bye")
