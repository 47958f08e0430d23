"""The configuration of a bench's own stack; that it starts and ends: tests/integration/test_bench_programs.py."""

import tomllib
from pathlib import Path

import pytest

from bench.program import BenchFailed
from bench.stack import OWN_SETTINGS, environment_of, find_model, toml_of, wants_weights
from control.config import load_config


def test_random_models_are_made_unless_a_path_is_given():
    assert wants_weights("1m", "batch_size = 8") and wants_weights("26m", "")
    assert not wants_weights("1m", 'path = "/weights"')
    assert not wants_weights("phi", 'path = "/weights"') and not wants_weights("echo", "")


def test_the_configuration_is_one_that_the_product_takes(tmp_path):
    models = {"1m": "batch_size = 4", "echo": "preload = true", "x.y": 'engine = "echo"'}
    text = toml_of(models, {"1m": str(tmp_path)}, {"port": 4711}, {"max_running": 4})
    assert tomllib.loads(text)["models"]["1m"] == {"path": str(tmp_path), "batch_size": 4}
    (tmp_path / "config.json").write_text("{}")
    file = tmp_path / "warden.toml"
    file.write_text(text)
    config = load_config({"WARDEN_CONFIG": str(file)}, tmp_path, models_must_be_whole=False)
    assert config.port == 4711 and config.max_running == 4
    assert [(model.name, model.engine) for model in config.models] == [("1m", "mlx"), ("echo", "echo"), ("x.y", "echo")]


def test_settings_become_variables_and_the_home_is_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("WARDEN_MAX_QUEUED", "1")
    environment = environment_of(tmp_path, {"prewarm": 0})
    ours = {name: value for name, value in environment.items() if name.startswith("WARDEN_")}
    assert ours == {"WARDEN_HOME": str(tmp_path / "home"), "WARDEN_CONFIG": str(tmp_path / "warden.toml"),
                    "WARDEN_PREWARM": "0"}


def test_its_callers_may_ask_as_often_as_they_like(tmp_path):
    (tmp_path / "warden.toml").write_text('[models.echo]\nengine = "echo"\n')
    assert load_config(environment_of(tmp_path, OWN_SETTINGS), tmp_path).rate_limit_max == 0


def test_a_model_is_a_directory_or_an_id(monkeypatch, tmp_path):
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model("weights", Path("/nowhere")) == str((tmp_path / "weights").resolve())
    assert find_model("mlx-community/Phi-3.5-mini-instruct-4bit", Path("/nowhere")).count("/") == 1


@pytest.mark.parametrize("model", ["./gone", "/gone/model", "~/gone", "2m", "a/b/c"])
def test_what_is_neither_is_refused_with_the_remedy(model):
    with pytest.raises(BenchFailed, match="give one with weights, a Hugging Face id"):
        find_model(model, Path("/nowhere"))
