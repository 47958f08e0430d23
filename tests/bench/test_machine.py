"""bench/machine.py on the machine that runs the test."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from bench.machine import (
    OTHERS_MAX_SHARE,
    Watch,
    busy_sentence,
    cpu_model,
    family,
    git_commit,
    machine_cpu_s,
    machine_name,
    module_cpu_s,
    own_cpu_s,
    read_machine,
    server_pids,
)
from tests.support.supervisor_home import wait_until

WITHIN_S = 10.0
LISTENER = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
BURNER = "import time\nwhile time.process_time() < 0.1: pass"


def test_the_facts_are_there_and_are_json():
    facts = json.loads(json.dumps(read_machine()))
    assert facts["cpu"] == cpu_model() != ""
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0
    assert facts["versions"]["mlx-warden"]
    assert {"mlx", "mlx-lm", "pyzmq", "uvicorn", "aiohttp"} <= facts["versions"].keys()


def git(folder, *words):
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *words], check=True,
                   capture_output=True, timeout=WITHIN_S)


def test_the_commit_of_the_checkout_and_whether_it_is_changed(tmp_path):
    tmp_path = tmp_path.resolve()
    assert git_commit(tmp_path) == ""
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    commit = git_commit(tmp_path)
    assert len(commit) == 12
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == f"{commit}+changes"
    (tmp_path / "installed").mkdir()
    assert git_commit(tmp_path / "installed") == "", "the checkout around it is another's"


@pytest.fixture
def listener():
    """A child process that listens, and its port. It ends with its standard input."""
    child = subprocess.Popen([sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        yield child, int(child.stdout.readline())
        child.communicate("\n", timeout=WITHIN_S)


def test_who_listens_is_found_on_this_machine_only(listener):
    child, port = listener
    assert server_pids(f"http://127.0.0.1:{port}") == [child.pid]
    assert server_pids(f"http://192.0.2.1:{port}") == []


def test_a_family_has_the_children_and_nobody_twice(listener):
    child, _ = listener
    pids = [process.pid for process in family([os.getpid(), child.pid])]
    assert {os.getpid(), child.pid} <= set(pids)
    assert len(set(pids)) == len(pids)
    assert family([2**22 + 1]) == []


def test_a_child_that_has_ended_counts_as_ours():
    before_s = own_cpu_s([])
    subprocess.run([sys.executable, "-c", BURNER], check=True, timeout=WITHIN_S)
    assert own_cpu_s([]) >= before_s + 0.1


def test_cpu_is_told_by_the_module_that_a_process_runs():
    with subprocess.Popen([sys.executable, "-m", "timeit", "-n", "1", "-r", "1", "input()"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, text=True) as child:
        wait_until("its seconds", lambda: module_cpu_s([child.pid])["timeit"] > 0)
        child.communicate("\n", timeout=WITHIN_S)
    assert module_cpu_s([child.pid]) == {}


def test_the_name_of_a_machine_can_be_a_folder(monkeypatch):
    assert machine_name() == f"linux-{os.cpu_count()}core" or sys.platform != "linux"
    monkeypatch.setattr("bench.machine.sys.platform", "darwin")
    monkeypatch.setattr("bench.machine.cpu_model", lambda: "Apple M3 Max")
    assert machine_name() == "apple-m3-max"


def test_the_machine_sees_work():
    before_s = machine_cpu_s()
    subprocess.run([sys.executable, "-c", BURNER], check=True, timeout=WITHIN_S)
    wait_until("the machine's count", lambda: machine_cpu_s() >= before_s + 0.05)


def test_our_own_work_is_not_that_of_others(monkeypatch):
    watch = Watch()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert 0.0 <= watch.others_share() <= 1.0
    assert watch.load_average >= 0.0
    monkeypatch.setattr("bench.machine.own_cpu_s", lambda pids: 0.0)  # as if it were another's
    blamed = Watch()
    blamed._machine_s -= 10 * (psutil.cpu_count() or 1)
    assert blamed.others_share() == 1.0


def test_the_sentence_names_share_and_limit():
    assert busy_sentence(OTHERS_MAX_SHARE) == ""
    assert busy_sentence(0.31) == ("other processes used 31% of the machine during the run (limit 10%); "
                                   "figures are not to be trusted")
