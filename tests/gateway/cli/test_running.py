"""What runs is read from the rendered file, and compared with what would be rendered now: places, never values."""

from pathlib import Path

import pytest

from control.supervisord import ProcessFact, ProcessState
from gateway.cli.exits import CommandFailed
from gateway.cli.running import NAMED_MAX, Rendered, choose_differences, choose_remedy, read_rendered

TEXT = """
[unix_http_server]
password=secret
[supervisord]
environment=A="1"
; of another time
[fcgi-program:http]
socket=tcp://127.0.0.1:4711
[program:worker-a]
command=python -m workers a
"""


def differences(text: str) -> list[str]:
    return choose_differences(Rendered(TEXT), Rendered(text))


def test_address_and_password_are_read(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text(TEXT)
    rendered = read_rendered(tmp_path / "conf")
    assert (rendered.host, rendered.port, rendered.password) == ("127.0.0.1", 4711, "secret")


@pytest.mark.parametrize("text", [
    "", "secret", "[unix_http_server]\npassword=secret\n", TEXT.replace(":4711", ""), None])
def test_what_is_no_rendered_file_is_told_with_path_and_remedy(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "conf").write_text(text)
    with pytest.raises(CommandFailed) as refused:
        read_rendered(tmp_path / "conf")
    line = str(refused.value)
    assert line.startswith(f"{tmp_path / 'conf'}: ") and "`warden down`" in line
    assert "\n" not in line and "secret" not in line


def test_the_same_settings_are_no_difference_whatever_the_comments_say() -> None:
    assert differences(TEXT.replace("; of another time", "; now")) == []


def test_differences_are_named_without_their_values() -> None:
    assert differences(TEXT.replace('A="1"', 'A="2"')) == ["[supervisord] environment"]
    assert differences(TEXT.replace("worker-a", "worker-b")) == ["[program:worker-a] command",
                                                                 "[program:worker-b] command"]


def test_many_differences_are_counted() -> None:
    more = "".join(f"[program:worker-{number}]\ncommand=x\n" for number in range(NAMED_MAX + 2))
    found = differences(TEXT + more)
    assert len(found) == NAMED_MAX + 1 and found[-1] == "2 more"


def test_the_remedy_names_what_is_stopped_and_no_worker() -> None:
    def fact(name: str, pid: int) -> ProcessFact:
        return ProcessFact(name, ProcessState.RUNNING if pid else ProcessState.STOPPED, pid, 0, 0, 0)

    def remedy(**pids: int) -> str:
        return choose_remedy({name: fact(name, pid) for name, pid in pids.items()})

    assert remedy(control=1, gateway=0, http=0, **{"worker-a": 0}) == "run `warden ctl start gateway http`"
    assert "warden ctl status" in remedy(control=1, gateway=2, **{"worker-a": 0})
