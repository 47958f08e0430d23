"""Which lines are a whole message, which are commands, and what is completed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.chat_lines import (
    COMMANDS,
    Command,
    CommandRefused,
    completions,
    is_command,
    is_open,
    message_of,
    read_command,
)


@pytest.mark.parametrize(("typed", "message"), [
    ("hello", "hello"), (" /etc is a directory", "/etc is a directory"), ('"""one\ntwo"""', "one\ntwo"),
    ('"""\none\ntwo\n"""  ', "one\ntwo"), ("one\\\ntwo", "one\ntwo"), ("a\nb", "a\nb"),
    ("ends in two \\\\", "ends in two \\\\"),
    ("", ""), ("   ", ""), ('say """ to me', 'say """ to me'), ('/set system """a\nb"""', '/set system """a\nb"""')])
def test_a_whole_message(typed: str, message: str) -> None:
    assert not is_open(typed) and message_of(typed) == message


@pytest.mark.parametrize("typed", ['"""', '"""one', '"""one\ntwo', "one\\", "one\\\ntwo\\", '/set system """a',
                                   '/set system """a\nb', '""""', '"""""'])
def test_more_is_to_come(typed: str) -> None:
    assert is_open(typed)


@given(st.text())
def test_any_text_is_open_or_a_message(text: str) -> None:
    is_open(text)
    message_of(text)


@pytest.mark.parametrize(("typed", "command"), [
    ("/?", Command("help")), ("/bye", Command("bye")), ("/exit ", Command("bye")), ("/HELP", Command("help")),
    ("/model org/tiny", Command("model", "org/tiny")), ("/model", Command("model")),
    ("/set system Be brief.", Command("set system", "Be brief.")), ("/set system", Command("set system")),
    ('/set system """a\nb"""', Command("set system", "a\nb")),
    ("/set parameter temperature 0.5", Command("set parameter", "temperature 0.5")),
    ("/set nowordwrap", Command("set nowrap")), ("/save my talk.json", Command("save", "my talk.json"))])
def test_a_command(typed: str, command: Command) -> None:
    assert is_command(typed) and read_command(typed) == command


@pytest.mark.parametrize(("typed", "told"), [
    ("/shw", "did you mean /show?"), ("/etc/passwd what is it?", "with a space before it, it goes to the model"),
    ("/set", "say what; there are system"), ("/set sytem x", "did you mean /set system?"),
    ("/bye now", "takes nothing"),
    ("/save", "FILE is missing"), ("/set parameter", "NAME [VALUE] is missing"), ("/", "there is no command /")])
def test_what_is_no_command_is_told_with_what_would_be(typed: str, told: str) -> None:
    with pytest.raises(CommandRefused) as refused:
        read_command(typed)
    assert told in str(refused.value)


def test_a_message_is_never_a_command() -> None:
    assert not is_command(" /show") and not is_command("what is /show?")


@pytest.mark.parametrize(("typed", "choices"), [
    ("/sh", ["/show"]), ("/set ver", ["verbose"]), ("/model t", ["tiny"]), ("/set parameter temp", ["temperature"]),
    ("/set think l", ["low"]), ("/bye ", []), ("/save x", [])])
def test_completion(typed: str, choices: list[str]) -> None:
    assert completions(typed, ["tiny", "guide"], ["temperature", "seed"]) == choices


def test_all_commands_are_completed_and_read() -> None:
    assert set(completions("/", [], [])) == {name.split()[0] for name in COMMANDS}
    for name, (what, _) in COMMANDS.items():
        assert read_command(f"{name} {'x' if what else ''}").name == name[1:]
