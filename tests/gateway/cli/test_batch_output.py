"""The answers of a batch on disk: appended whole, read again, a torn end cut off, and nobody else's file touched."""

import io
import json
import os
from pathlib import Path

import msgspec
import pytest

from gateway.cli.batch_input import read_items
from gateway.cli.batch_output import StreamOutput, encode_answer, opened
from gateway.cli.exits import USAGE, CommandFailed
from gateway.client import Outcome
from tests.support.fake_gateway import done

ITEMS = read_items([b'{"prompt": "a"}', b'{"prompt": "b", "id": "x"}', b'{"prompt": "c", "id": 7}'], "q.jsonl")
KEYS = [(item.key, item.hash) for item in ITEMS]
DONE = msgspec.structs.replace(done("1"), route="mlx>ollama", reason="overloaded")


def outcome(text: str = "it is so") -> Outcome:
    return Outcome(0, text, DONE, None, 1)


def answered(path: Path) -> set:
    with opened(path) as output:
        return output.answered


def test_a_line_says_whose_answer_it_is_and_how_it_came(tmp_path: Path) -> None:
    assert json.loads(encode_answer(ITEMS[1], outcome())) == {
        "line": 2, "id": "x", "hash": ITEMS[1].hash, "answer": "it is so", "model": "tiny", "finish_reason": "stop",
        "route": "mlx>ollama", "reason": "overloaded", "prompt_tokens": 5, "completion_tokens": 3, "total_ms": 10}
    assert "id" not in json.loads(encode_answer(ITEMS[0], outcome()))


def test_what_was_written_is_answered_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert answered(path) == set() and path.stat().st_mode & 0o777 == 0o600
    for item in ITEMS:
        with opened(path) as output:
            output.write(item, outcome("line\nbreak \u2028 \U0001f40d"))
    assert answered(path) == set(KEYS) and len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_cut_off_and_its_request_asked_again(tmp_path: Path, cut: int) -> None:
    path, line = tmp_path / "a.jsonl", encode_answer(ITEMS[0], outcome())
    torn = encode_answer(ITEMS[1], outcome())
    path.write_bytes(line + torn[:len(torn) * cut // 12])
    assert answered(path) == {KEYS[0]} and path.read_bytes() == line
    with opened(path) as output:
        output.write(ITEMS[1], outcome())
    assert path.read_bytes() == line + torn


def test_a_last_line_that_lacks_only_its_end_is_whole(tmp_path: Path) -> None:
    path, line = tmp_path / "a.jsonl", encode_answer(ITEMS[0], outcome())
    path.write_bytes(line[:-1])
    assert answered(path) == {KEYS[0]} and path.read_bytes() == line


@pytest.mark.parametrize("text", [
    b"notes of mine", b"notes of mine\n", b'{"prompt": "a"}\n', b'{"line": 1}\n', b"[1]", b"\n", b'{"line":1,"torn\n',
    encode_answer(ITEMS[0], outcome()) + b"notes\n" + encode_answer(ITEMS[1], outcome())])
def test_a_file_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(text)
    with pytest.raises(CommandFailed, match="is no answer of `warden batch`") as caught, opened(path):
        pass
    assert caught.value.code == USAGE and path.read_bytes() == text


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path), pytest.raises(CommandFailed, match="another `warden batch`"), opened(path):
        pass
    assert answered(path) == set()


def test_what_cannot_be_written_is_told_with_its_path(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "a.jsonl"):
        with pytest.raises(CommandFailed, match=f"{path}: cannot be written"), opened(path):
            pass


def test_a_pipe_is_written_and_never_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    StreamOutput(stream).write(ITEMS[0], outcome())
    assert stream.getvalue() == encode_answer(ITEMS[0], outcome())
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with opened(fifo) as output:
        output.write(ITEMS[0], outcome())
    assert os.read(reader, 65_536) == encode_answer(ITEMS[0], outcome())
    os.close(reader)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_an_error_at_once() -> None:
    with opened(Path("/dev/full")) as output, pytest.raises(OSError, match="No space"):
        output.write(ITEMS[0], outcome())
