"""The eviction run in its short form: the same code as `python -m bench eviction`, with real processes and SIGKILLs.

What is asserted is about answers and counts, never about time. The run without keys must lose answers: it shows that
the other one can fail.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

from bench.eviction import BEGUN
from tests.support.supervisor_home import ROOT

pytestmark = pytest.mark.integration

SMALL = ("--models", "4", "--rate", "150")
RUN_WITHIN_S = 280  # what the run gives itself; it takes a quarter of that where nothing else runs
ENDED_WITHIN_S = 400


@pytest.fixture
def run(tmp_path):
    """Starts `python -m bench eviction ...`; its JSON is written to `run.path`. Ended with the test."""
    started = []

    def start(*words):
        command = [sys.executable, "-m", "bench", "eviction", *SMALL, "--seconds", str(RUN_WITHIN_S), "--json",
                   str(start.path), *words]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True))
        return started[-1]

    start.path = tmp_path / "eviction.json"
    yield start
    for process in started:
        with process:
            if process.poll() is None:
                process.terminate()  # it ends its stack and leaves


def ended(process, path):
    """Exit code, what it printed, and what it found out."""
    told, errors = process.communicate(timeout=ENDED_WITHIN_S)
    assert path.exists(), errors
    found = json.loads(path.read_text())["targets"]["warden"]
    assert told.splitlines()[-1] == f"All figures: {path}"
    assert max(map(len, told.splitlines())) <= 120
    assert found["verdict"] in " ".join(told.split())
    return process.returncode, told, found


@pytest.mark.timeout(ENDED_WITHIN_S + 60)
@pytest.mark.parametrize(("evictions", "kills"), [(30, 2), pytest.param(200, 4, marks=pytest.mark.long)])
def test_evictions_of_working_models_lose_no_answer(run, evictions, kills):
    code, told, found = ended(run("--evictions", str(evictions), "--kills", str(kills)), run.path)
    assert found["faults"] == [], told
    assert code == 0 and found["verdict"].startswith("GOOD.")
    assert found["evictions_counted"] >= evictions
    assert found["refusals"]["gateway"] > 0
    assert sum(found["kills"].values()) > 0
    clients = found["clients"]
    assert clients["sent"] == clients["ended"] > 5 * evictions
    assert clients["done"] + len(found["explained"]) >= clients["sent"], "refused or failed, and nobody says why"
    assert found["lost"] == found["lost_to_eviction"] == 0 and found["losses"] == []
    assert {*found["steps"]} == {"handshake", "exit", "verify", "total"}


@pytest.mark.long
@pytest.mark.timeout(ENDED_WITHIN_S + 60)
def test_with_two_keys_switched_off_answers_are_lost(run):
    code, told, found = ended(run("--evictions", "30", "--kills", "0", "--without", "gate,worker"), run.path)
    assert code == 1, told
    assert found["lost"] > 0 and found["losses"] and found["lost_to_eviction"] > 0
    assert found["verdict"].startswith("LOST. With gate and worker switched off answers are lost")
    assert {loss["what"] for loss in found["losses"]} & {"worker_crashed", "retried"}


@pytest.mark.long
def test_ctrl_c_ends_with_a_report_of_what_was_seen(run):
    process = run("--evictions", "100000", "--kills", "0")
    assert any(BEGUN in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    code, _, found = ended(process, run.path)
    assert code == 130 and found["interrupted"] is True
    assert found["clients"]["sent"] == found["clients"]["ended"]
