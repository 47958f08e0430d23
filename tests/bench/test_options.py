"""bench/options.py: which targets a command line names, and that a wrong one ends in one line with exit code 2."""

import pytest

from bench.load import Target
from bench.machine import machine_name
from bench.options import Parser, add_run_options, add_target_options, command_line, number, read_targets, whole


def parser():
    parser = Parser("latency", "What it does.", "examples:\n  one\n")
    add_target_options(parser)
    add_run_options(parser)
    parser.add_argument("--streams", type=whole(1, 8))
    parser.add_argument("--rate", type=number(0.5, 10))
    return parser


def targets(*words, **environ):
    made = parser()
    return read_targets(made, made.parse_args(words), environ)


def test_ours_comes_first_then_the_others_in_their_order():
    found = targets("--against", "b=http://b:1", "--url", "http://a:2/", "--against", "c=https://c/v1",
                    "--model-of", "b=phi", "--model-of", "warden=mine")
    assert found == [Target("warden", "", "http://a:2", "mine"), Target("b", "", "http://b:1", "phi"),
                     Target("c", "", "https://c")]
    assert targets() == []


def test_a_dialect_is_found_out_unless_it_is_said():
    found = targets("--against", "b=http://b/api", "--against", "c=http://c", "--against", "d=http://d",
                    "--dialect-of", "b=ollama", "--dialect-of", "c=openai")
    assert [one.kind for one in found] == ["ollama", "http", ""] and found[0].address == "http://b"


def test_a_key_comes_from_the_environment():
    [found] = targets("--against", "b=http://b", "--key-of", "b=SECRET", SECRET="s3")
    assert found.headers == {"Authorization": "Bearer s3"}


@pytest.mark.parametrize(("words", "says"), [
    (["--against", "http://b"], "not NAME="), (["--against", "=http://b"], "not NAME="),
    (["--against", f"{'n' * 25}=http://b"], "24 characters"), (["--against", "b=ftp://b"], "is not a URL"),
    (["--against", "b=http://b:99999"], "is not a URL"), (["--against", "b=http://"], "is not a URL"),
    (["--url", "http://me:secret@b"], "keys go by --key-of"),
    (["--against", "b=http://b", "--against", "b=http://c"], "name of its own"),
    (["--against", "warden=http://b"], "are taken"), (["--against", "warden-zmq=http://b"], "are taken"),
    (["--against", "bare-batch=http://b"], "are taken"), (["--against", "mlx_lm.server=http://b"], "are taken"),
    (["--model-of", "b=m"], "no target 'b'"), (["--dialect-of", "b=ollama"], "no target 'b'"),
    (["--against", "b=http://b", "--dialect-of", "b=grpc"], "there are openai and ollama"),
    (["--save", "../x"], "is no name such as"), (["--save", ""], "is no name such as"),
    (["--against", "b=http://b", "--key-of", "c=K"], "no target 'c'"),
    (["--against", "b=http://b", "--key-of", "b=K"], "K is not set"),
    (["--rounds", "0"], "from 1 to 99"), (["--streams", "9"], "'9' is not a whole number from 1 to 8"),
    (["--streams", "1.5"], "whole number"), (["--rate", "nan"], "a number from 0.5 to 10"),
    (["--nonsense"], "--nonsense"), (["--se", "1"], "--se"),
])
def test_a_wrong_option_is_one_line_and_exit_code_2(words, says, capsys):
    with pytest.raises(SystemExit) as ended:
        targets(*words)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
    assert line.startswith("python -m bench latency: ")


def test_results_are_saved_under_the_name_of_the_machine_or_another():
    assert parser().parse_args([]).save is None
    assert parser().parse_args(["--save"]).save == machine_name()
    assert parser().parse_args(["--save", "apple-m3-max"]).save == "apple-m3-max"


def test_help_shows_examples_as_they_are_written(capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--help"])
    assert ended.value.code == 0
    assert "examples:\n  one\n" in capsys.readouterr().out


def test_the_command_can_be_typed_again():
    assert command_line("latency", ["--json", "a file"]) == "python -m bench latency --json 'a file'"
