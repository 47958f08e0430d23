"""workers/start.py and the first lines of workers/__main__.py: what ends a worker before it has said anything."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from control.config import ConfigError, load_config
from control.home import home_from_env
from control.library import Fetched, Library, library_path
from control.library_file import write_library
from control.table import TableRefused
from workers.start import (
    ConfiguredModels,
    close_environment,
    expected_parent,
    find_model,
    make_body,
    make_engine,
    wait_for_table,
)
from workers.stop_signals import StopSignals

ROOT = Path(__file__).parents[2]
CONFIG = '[models.echo-one]\nengine = "echo"\nbatch_size = 3\ncontext_length = 77\n'

TERM_WHILE_IMPORTING = """
import os, runpy, signal, sys

class Watch:
    def find_spec(self, name, path, target=None):
        if name == "workers.start":  # the first import of any weight: as early as TERM can come
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Watch())
sys.argv = ["workers", "echo-one"]
runpy.run_module("workers", run_name="__main__")
"""


@pytest.fixture
def env(tmp_path):
    config = tmp_path / "warden.toml"
    config.write_text(CONFIG)
    return {"WARDEN_CONFIG": str(config), "WARDEN_HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT)}


def test_a_term_that_comes_before_anything_is_imported_is_not_lost(env):
    """There is no table, and nobody makes one: without TERM it would wait for TABLE_WITHIN_S and end with 2."""
    done = subprocess.run([sys.executable, "-c", TERM_WHILE_IMPORTING], env=env, cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_stop_signals_are_noted_and_wake_whoever_sleeps():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop, woken = StopSignals().install(), []
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
        stop.wake = lambda: woken.append(True)
        os.kill(os.getpid(), signal.SIGINT)
        assert woken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_nobody_waits_for_a_table_once_told_to_leave(tmp_path):
    stop = StopSignals()
    stop.asked = True
    assert wait_for_table(tmp_path / "table", stop) is None
    with pytest.raises(TableRefused):
        wait_for_table(tmp_path / "table", StopSignals(), within_s=0.0)


def test_an_engine_is_what_the_configuration_says(env):
    config = load_config(env, ROOT)
    engine = make_engine(find_model(config, "echo-one"))
    assert (type(engine).__name__, engine.batch_max) == ("EchoEngine", 3)
    assert engine.load(lambda progress: None).context_length == 77


@pytest.mark.parametrize(("name", "server", "jobs_max"), [
    ("ollama", "OllamaServer", 5), ("victoria", "VictoriaServer", 3)])
def test_a_relay_has_a_thread_of_its_own_kind_and_a_place_more_than_its_limit(env, name, server, jobs_max):
    config = load_config(env | {f"WARDEN_{name.upper()}_URL": "http://127.0.0.1:9/", "WARDEN_RELAY_IDLE_S": "7"}, ROOT)
    batch_max, make_thread = make_body(config, f"relay-{name}")
    made = make_thread.args[0]
    assert batch_max == jobs_max, "one more for who was called back"
    assert (type(made).__name__, made.name) == (server, name)
    assert make_body(config, "echo-one")[0] == 3


@pytest.mark.parametrize(("slug", "line"), [
    ("relay-ollama", "ollama_url in [relays] is not set; set it: relay-ollama calls that server"),
    ("relay-victoria", "victoria_url in [relays] is not set; set it: relay-victoria calls that server"),
    ("relay-x", "no model has the slug 'relay-x'; `warden check` lists the models")])
def test_what_is_not_configured_is_not_started(env, slug, line):
    with pytest.raises(ConfigError) as refused:
        make_body(load_config(env, ROOT), slug)
    assert str(refused.value).endswith(line)
    done = subprocess.run([sys.executable, "-P", "-m", "workers", slug], env=env, cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), "supervisord does not try that again"
    assert line in done.stderr


def test_an_echo_worker_imports_neither_mlx_nor_an_http_client(env):
    code = ("import sys; from pathlib import Path; from control.config import load_config; import os\n"
            "from workers.start import make_body; make_body(load_config(os.environ, Path.cwd()), 'echo-one')\n"
            "print({'mlx', 'aiohttp', 'workers.relay_http'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_environment_can_make_no_library_run_foreign_code():
    env = {"HF_HUB_TRUST_REMOTE_CODE": "1", "MLXLM_USE_MODELSCOPE": "1", "PATH": "/bin"}
    close_environment(env)
    assert env == {"PATH": "/bin", "HF_HUB_OFFLINE": "1"}


def test_whose_child_it_is(tmp_path):
    home = home_from_env({"WARDEN_HOME": str(tmp_path)})
    assert expected_parent(home, {}) == os.getppid()
    assert expected_parent(home, {"SUPERVISOR_ENABLED": "1"}) == 0
    home.supervisor_pidfile.parent.mkdir(parents=True)
    home.supervisor_pidfile.write_text("4711\n")
    assert expected_parent(home, {"SUPERVISOR_ENABLED": "1"}) == 4711


def test_models_are_those_of_the_library_as_it_stands_now(env, tmp_path):
    library = library_path(tmp_path)
    models = ConfiguredModels(load_config(env, tmp_path), library)
    assert models.find("echo-one").slug == "echo-one" and models.find("tiny") is None
    for path in ("/first", "/second"):  # it was deleted and pulled again
        write_library(library, Library(models=(Fetched("tiny", path),)))
        assert models.find("tiny").path == path
    library.write_text("{")
    assert models.find("tiny").path == "/second" and models.find("echo-one")
    write_library(library, Library())
    assert models.find("tiny") is None and models.find("echo-one")
