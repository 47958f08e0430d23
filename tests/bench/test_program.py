"""What a started program inherits, and that the block around it ends tidily; running ones: tests/integration."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.program import (
    ROOT,
    free_port,
    last_line,
    own_environment,
    own_folder,
    python_module,
    undisturbed,
)
from tests.support.supervisor_home import wait_until


def test_no_setting_of_a_stack_is_inherited_and_nothing_is_downloaded(monkeypatch):
    for name in ("WARDEN_HOME", "WARDEN_PORT", "OLLAMA_HOST", "MLX_MAX_CONCURRENT", "SUPERVISOR_PROCESS_NAME"):
        monkeypatch.setenv(name, "of the user")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = own_environment(WARDEN_HOME="/ours")
    assert environment["WARDEN_HOME"] == "/ours" and environment["LANG"] == "C.UTF-8"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "of the user" not in environment.values()


def test_our_packages_come_first_on_the_path_and_the_users_stay(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/theirs", str(ROOT)]))
    assert own_environment()["PYTHONPATH"] == os.pathsep.join([str(ROOT), "/theirs"])
    assert (ROOT / "bench" / "program.py").is_file()
    assert python_module("a.b", "--c") == [sys.executable, "-P", "-m", "a.b", "--c"]


def test_the_folder_is_private_short_and_gone_afterwards():
    with own_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(str(folder)) < 20, "paths of sockets below it must stay short"
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_bench_ends_the_block_first(number):
    before = signal.getsignal(number)
    seen: list[Path] = []
    with pytest.raises(SystemExit) as ended, own_folder() as folder:
        seen.append(folder)
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert not seen[0].exists() and signal.getsignal(number) is before


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with own_folder() as folder:
            signal.raise_signal(signal.SIGHUP)
            assert folder.exists()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_impatience_does_not_disturb_the_cleaning_up():
    before = signal.getsignal(signal.SIGINT)
    with undisturbed():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before


A_BENCH = """
import signal, sys
from pathlib import Path
from bench.program import add_to_will, own_folder
with own_folder() as folder:
    add_to_will(folder, "touch", sys.argv[1])
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_the_will_is_carried_out_if_the_bench_is_killed_and_only_then(tmp_path, killed):
    mark = tmp_path / "a mark"
    bench = subprocess.Popen([sys.executable, "-c", A_BENCH, str(mark)], env=own_environment(), text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with bench:
        folder = Path(bench.stdout.readline().strip())
        assert folder.is_dir()
        if killed:
            bench.kill()
    wait_until("the end of the folder", lambda: not folder.exists())
    assert mark.exists() == killed


def test_a_free_port_can_be_bound():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))


@pytest.mark.parametrize("text, told", [("", ""), ("\n \n", ""), ("a\nb: c \n\n", ": b: c")])
def test_the_last_line_that_says_something(text, told):
    assert last_line(text) == told
