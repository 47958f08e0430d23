"""What a proposal depends on is gathered from the cache, from folders and from what this home has pulled."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from control.config import load_config
from control.library import Fetched, Library, encode_library, library_path
from gateway.cli import init_servers
from gateway.cli.init_facts import gather_facts
from gateway.cli.init_models import HUB, MODELS_DIR, PULLED
from tests.support.found_models import make_model, make_repository
from tests.support.supervisor_home import free_port


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine without servers, whose cache holds one model."""
    for name in ("OLLAMA", "VICTORIA"):
        monkeypatch.setattr(init_servers, name, f"http://127.0.0.1:{free_port()}")
    make_repository(tmp_path / "hub", "org/one")
    return {"HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub"), "WARDEN_HOME": str(tmp_path / "home")}


def test_the_machine_and_all_places(env, home, tmp_path):
    make_model(tmp_path / "mine" / "two")
    config = replace(load_config(env, tmp_path), models_dir=str(tmp_path / "mine"), memory_budget_gb=2.0, max_running=3)
    facts = gather_facts(config, home, env)
    assert [(each.title, each.origin, each.problem) for each in facts.models] == [
        ("org/one", HUB, ""), ("two", MODELS_DIR, "")]
    assert facts.places == ((f"{HUB} (~/hub)", 1), (f"{MODELS_DIR} (~/mine)", 1))
    assert facts.ceiling == (2 * 1024**3, "memory_budget_gb, as configured") and facts.max_running == 3
    assert facts.available_bytes > 0 and facts.cache_variables == ("HF_HUB_CACHE",)
    assert facts.ollama is None and facts.victoria_url == ""


def test_what_this_home_has_pulled_keeps_its_name(env, home, tmp_path):
    place = str((tmp_path / "hub" / "models--org--one" / "snapshots" / "abc123").resolve())
    own = str(make_model(tmp_path / "own").resolve())
    library = Library(models=(Fetched("Org/One", place), Fetched("mine", own)))
    library_path(home.root).write_bytes(encode_library(library))
    facts = gather_facts(load_config(env, tmp_path), home, env)
    assert [(each.title, each.origin, each.served_as) for each in facts.models] == [
        ("org/one", HUB, "Org/One"), ("mine", PULLED, "mine")]
    assert json.dumps(facts.models[1].path) == json.dumps(own)
