"""Conversations and what was typed, in files: private, whole, bounded, and nobody's other file is replaced."""

import json
from pathlib import Path

import pytest

from gateway.cli import chat_file
from gateway.cli.chat_file import ENTRY_MAX_CHARS, KEPT_MAX, TypedBefore
from gateway.cli.chat_session import Conversation, ConversationRefused

HELD = Conversation("tiny").asking("a").answered("A")


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_saved_conversation_is_private_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    assert chat_file.save(HELD, str(path)) == f"saved in {path}"
    assert mode_of(path) == 0o600 and chat_file.load(str(path)) == HELD
    chat_file.save(HELD.asking("b").answered("B"), str(path))
    assert len(chat_file.load(str(path)).turns) == 4


def test_a_file_that_is_no_conversation_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ConversationRefused, match="is there and is no conversation; choose another name"):
        chat_file.save(HELD, str(tmp_path / "notes"))
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "talk.json")
    chat_file.save(HELD, str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink() and chat_file.load(str(tmp_path / "talk.json")) == HELD


def test_the_home_of_a_person_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    chat_file.save(HELD, "~/talk.json")
    assert (tmp_path / "talk.json").is_file()


@pytest.mark.parametrize("name", ["", "nowhere/talk.json"])
def test_what_cannot_be_written_or_read_is_told_with_its_path(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for what in (lambda: chat_file.save(HELD, name), lambda: chat_file.load(name)):
        with pytest.raises(ConversationRefused) as refused:
            what()
        assert str(tmp_path / name) in str(refused.value)


def test_what_was_typed_is_there_the_next_time_and_private(tmp_path: Path) -> None:
    typed = TypedBefore(tmp_path)
    assert typed.read() == []
    for entry in ("one", "two\nlines", "ü\x1b"):
        typed.add(entry)
    assert TypedBefore(tmp_path).read() == ["one", "two\nlines", "ü\x1b"]
    assert mode_of(typed.path) == 0o600 and typed.path == tmp_path / "chat_history"


def test_nothing_is_kept_when_a_person_says_so(tmp_path: Path) -> None:
    typed = TypedBefore(tmp_path)
    typed.keeps = False
    typed.add("secret")
    assert not typed.path.exists() and not typed.trouble


def test_the_file_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    typed = TypedBefore(tmp_path)
    typed.path.write_bytes(b"".join(json.dumps(f"n{number}").encode() + b"\n" for number in range(KEPT_MAX + 5)))
    assert typed.read()[0] == "n5"
    assert len(typed.path.read_bytes().splitlines()) == KEPT_MAX and mode_of(typed.path) == 0o600
    typed.add("x" * (ENTRY_MAX_CHARS + 1))
    assert len(typed.read()) == KEPT_MAX


def test_lines_that_are_none_of_ours_are_passed_over(tmp_path: Path) -> None:
    typed = TypedBefore(tmp_path)
    typed.path.write_bytes(b'\xff\n"one"\n{}\n3\n"torn')
    assert typed.read() == ["one"]


def test_a_history_that_cannot_be_kept_is_told_and_keeps_nobody_from_chatting(tmp_path: Path) -> None:
    typed = TypedBefore(tmp_path)
    typed.path.mkdir()
    assert typed.read() == []
    typed.add("one")
    assert not typed.keeps and typed.trouble.startswith(f"what you type is not kept: {typed.path}: ")


def test_a_link_in_the_place_of_the_history_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "chat_history").symlink_to(tmp_path / "elsewhere")
    typed = TypedBefore(tmp_path)
    typed.add("one")
    assert not (tmp_path / "elsewhere").exists() and typed.trouble
