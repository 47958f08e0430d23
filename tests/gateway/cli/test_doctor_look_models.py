"""Looking at configurations, keys and a cache of Hugging Face that is laid out as its own tools do."""

import json
from pathlib import Path

from control.config import load_config
from control.home import Home, prepare_home
from gateway.cli.doctor_look_models import look_at_cache, look_at_config, read_configuration

ECHO = '[models.a]\nengine = "echo"\n'


def repository(hub: Path, name: str, files: dict[str, str], blobs: dict[str, int] | None = None) -> None:
    folder = hub / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (folder / "blobs").mkdir()
    for path, text in files.items():
        (snapshot / path).write_text(text)
    for blob, size in (blobs or {}).items():
        (folder / "blobs" / blob).write_bytes(bytes(size))


def test_a_cache_is_told_apart_into_whole_broken_half_and_other(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    config = {"config.json": '{"architectures": ["LlamaForCausalLM"]}'}
    repository(hub, "org/whole", config | {"model.safetensors": ""}, {"b1": 100})
    index = json.dumps({"weight_map": {"x": "model-2.safetensors"}})
    repository(hub, "org/broken", config | {"model-1.safetensors": "", "model.safetensors.index.json": index},
               {"b2": 10, "b3.incomplete": 5})
    repository(hub, "org/gguf", {"model.gguf": ""}, {"b4": 1})
    fact = look_at_cache({"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_TOKEN": "hf_secret"})
    assert (fact.whole, fact.other, fact.bytes, fact.halves) == (("org/whole",), 1, 116, ("org/broken",))
    ((name, why),) = fact.broken
    assert name == "org/broken" and "model-2.safetensors" in why
    assert (fact.offline, fact.token, fact.complete) == ("HF_HUB_OFFLINE", "HF_TOKEN", True)
    assert "hf_secret" not in str(fact)


def test_a_cache_that_is_not_there_and_a_token_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_secret")
    fact = look_at_cache({"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"})
    assert not fact.exists and fact.token == str(tmp_path / "token") and fact.offline == ""


def test_a_wrong_configuration_is_its_line(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text("[server]\nprot = 1\n")
    config, error = read_configuration({"WARDEN_CONFIG": str(tmp_path / "w.toml"), "HOME": str(tmp_path)})
    assert config is None and error.startswith(f"{tmp_path}/w.toml:2: server.prot")
    assert look_at_config(config, error, Home(tmp_path / "home")).error == error


def test_a_right_one_with_all_that_is_odd_about_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    prepare_home(home)
    (home.root / "warden.toml").write_text(ECHO)
    file = tmp_path / "warden.toml"
    file.write_text(f'[server]\nhost = "0.0.0.0"\n{ECHO}[relays]\nollama_url = "http://h:1"\n')
    file.chmod(0o666)
    env = {"HOME": str(tmp_path), "WARDEN_HOME": str(home.root)}
    fact = look_at_config(load_config(env, tmp_path), "", home)
    assert (fact.source, fact.models, fact.default, fact.relays) == (str(file), ("a",), "a", ("ollama",))
    assert fact.shadowed == str(home.root / "warden.toml") and fact.open_to == "0666"
    assert fact.needs_key and "there is no API key" in fact.key_trouble
    assert [finding.what for finding in fact.suspicious] == ["http"]
    file.unlink()
    fact = look_at_config(load_config(env, tmp_path), "", home)
    assert (fact.source, fact.shadowed, fact.key_trouble) == (str(home.root / "warden.toml"), "", "")
    (home.root / "keys.json").write_text("{")
    assert "keys.json" in look_at_config(None, "wrong", home).key_trouble
