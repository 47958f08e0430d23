"""A conversation: questions and answers alternate whatever happens, and its file comes back as it went."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.chat_session import (
    FILE_MAX_BYTES,
    Conversation,
    ConversationRefused,
    Turn,
    decode_conversation,
    encode_conversation,
    with_parameter,
    with_think,
)
from gateway.protocol import Message, Options

TWO = Conversation("tiny").asking("a").answered("A").asking("b").answered("B", "hm")


def test_what_is_asked_has_all_that_was_said_and_no_reasoning() -> None:
    request = TWO.asking("c").request()
    assert request["messages"] == [Message("user", "a"), Message("assistant", "A"), Message("user", "b"),
                                   Message("assistant", "B"), Message("user", "c")]
    assert request["model"] == "tiny" and request["truncate"] is False


def test_the_system_text_comes_first_and_stays_when_all_is_cleared() -> None:
    told = Conversation("tiny", "Be brief.").asking("a").answered("A").cleared().asking("b")
    assert told.request()["messages"] == [Message("system", "Be brief."), Message("user", "b")]


def test_a_stopped_answer_stays_and_is_marked() -> None:
    held = Conversation("tiny").asking("a").answered("beg", cut="stopped")
    assert held.turns == (Turn("user", "a"), Turn("assistant", "beg", "", "stopped")) and not held.pending


@pytest.mark.parametrize("cut", ["stopped", "broken"])
def test_a_question_without_an_answer_waits_and_another_takes_its_place(cut: str) -> None:
    held = TWO.asking("c").answered("", "only thought", cut)
    assert held.turns == TWO.turns and held.pending == "c" and held.retrying() == held
    assert [message.content for message in held.asking("d").request()["messages"]][-2:] == ["B", "d"]


def test_retry_asks_the_last_question_again_without_its_answer() -> None:
    again = TWO.retrying()
    assert again.pending == "b" and again.turns == TWO.turns[:2]


def test_undo_takes_back_what_came_last() -> None:
    assert TWO.asking("c").undone() == TWO and TWO.undone().turns == TWO.turns[:2]
    assert TWO.undone().undone().undone() is None and Conversation("tiny").retrying() is None


@given(st.lists(st.sampled_from(["ask", "answer", "stop", "retry", "undo", "clear"])))
def test_whatever_is_done_questions_and_answers_take_turns(steps: list[str]) -> None:
    held = Conversation("tiny")
    for step in steps:
        if step == "ask":
            held = held.asking("q")
        elif step in ("answer", "stop"):
            held = held.answered("a", cut="stopped" * (step == "stop")) if held.pending else held
        else:
            held = {"retry": held.retrying, "undo": held.undone, "clear": held.cleared}[step]() or held
        assert [turn.role for turn in held.turns] == ["user", "assistant"] * (len(held.turns) // 2)


@pytest.mark.parametrize(("said", "options"), [
    ("temperature 0.2", Options(temperature=0.2)), ("stop ###", Options(stop=["###"])), ("seed 7", Options(seed=7)),
    ('stop ["a", "b"]', Options(stop=["a", "b"])), ("top_k", Options())])
def test_a_parameter_is_set_and_taken_back(said: str, options: Options) -> None:
    held, line = with_parameter(Conversation("tiny"), said)
    assert held.options == options and said.split()[0] in line
    back, line = with_parameter(held, said.split()[0])
    assert back.options == Options() and line.endswith("is the model's own from the next answer")


@pytest.mark.parametrize(("said", "told"), [
    ("temprature 1", "did you mean temperature?"), ("num_predict 5", "did you mean max_tokens?"),
    ("temperature hot", "temperature: expected a number, got text"), ("temperature 11", "<= 10"),
    ("model x", "there are max_tokens")])
def test_a_wrong_parameter_is_told_with_its_limit_and_changes_nothing(said: str, told: str) -> None:
    with pytest.raises(ConversationRefused) as refused:
        with_parameter(Conversation("tiny"), said)
    assert told in str(refused.value)


def test_thinking_is_set_by_words() -> None:
    assert [with_think(TWO, said)[0].think for said in ("on", "off", "auto", "low")] == [True, False, None, "low"]
    with pytest.raises(ConversationRefused, match="say on, off"):
        with_think(TWO, "much")


@pytest.mark.parametrize("held", [
    TWO, Conversation("tiny"), TWO.asking("c"), Conversation("tiny").asking("a").answered("be", cut="stopped"),
    Conversation("tiny", "Be brief.", Options(temperature=0.5, stop=["x"]), "high").asking('"\n\x1b').answered("ü")])
def test_a_conversation_comes_back_as_it_went(held: Conversation) -> None:
    assert decode_conversation(encode_conversation(held)) == held


def test_what_other_programs_keep_is_read_too() -> None:
    data = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a", "images": []}]}
    assert decode_conversation(json.dumps(data).encode()) == Conversation("", "s", pending="a")


@pytest.mark.parametrize(("data", "told"), [
    (b"no", "is no JSON"), (b"[]", "must be a JSON object"), (b"{}", "has no messages"),
    (b'{"messages": [{"role": "user"}]}', "is no conversation"),
    (b'{"messages": [{"role": "assistant", "content": ""}]}', "number 1 is of assistant"),
    (b'{"messages": [], "version": 2}', "reads warden-chat 1"),
    (b'{"messages": [], "options": 3}', "must be an object"),
    (b'{"messages": [], "options": {"temprature": 1}}', "did you mean temperature?"),
    (b'{"messages": [], "system": 3}', "is no conversation"), (b" " * (FILE_MAX_BYTES + 1), "which is the limit")])
def test_what_is_no_conversation_is_refused_with_one_line(data: bytes, told: str) -> None:
    with pytest.raises(ConversationRefused) as refused:
        decode_conversation(data)
    assert told in str(refused.value) and "\n" not in str(refused.value)


@given(st.binary())
def test_any_bytes_are_a_conversation_or_refused(data: bytes) -> None:
    try:
        decode_conversation(data)
    except ConversationRefused:
        pass
