"""What /api/show tells: the template, what requests get that do not say, facts in Ollama's names, true capabilities."""

import json

import pytest

from gateway.http.model_files import read_model_files
from gateway.http.ollama_show import shown
from tests.support.fake_gateway import model_info
from tests.support.http_stack import make_config
from tests.support.models import model_path

SETTINGS = """
[models.tiny]
path = "{path}"
{more}
[models.tiny.sampling]
temperature = 0.25
"""
RELAY = '[relays]\nollama_url = "http://127.0.0.1:11434"\n'


@pytest.fixture
def show(tmp_path):
    """`show(path, more, relays)` -> what is shown of the model `tiny` there."""
    def look(path: str, more: str = "", relays: str = "", verbose: bool = False) -> dict:
        config = make_config(tmp_path, relays + SETTINGS.format(path=path, more=more))
        return shown(model_info("tiny", path=str(path), engine="mlx"), read_model_files(str(path)), config, 4096,
                     verbose=verbose)

    return look


def test_a_model_with_all_its_facts(show):
    path = model_path("1m", "agent")
    found = show(path)
    assert "message" in found["template"]
    assert {"num_ctx 4096", "temperature 0.25", "top_k 0"} <= set(found["parameters"].splitlines())
    assert f"FROM {path}\n" in found["modelfile"] and "PARAMETER temperature 0.25\n" in found["modelfile"]
    assert found["template"] in found["modelfile"]
    said, config = found["model_info"], json.loads((path / "config.json").read_text())
    assert said["general.architecture"] == "llama" and said["llama.context_length"] == 4096
    assert said["general.parameter_count"] > 1_000_000
    assert said["llama.embedding_length"] == config["hidden_size"]
    assert said["llama.block_count"] == config["num_hidden_layers"]
    assert said["llama.attention.head_count_kv"] == config["num_key_value_heads"]
    assert {"license", "system", "tensors"}.isdisjoint(found)


def test_capabilities_are_those_of_the_files_the_setting_and_the_relay(show):
    path = model_path("1m", "agent")
    agent = {"completion", "tools", "insert", "thinking"}
    assert set(show(path)["capabilities"]) == agent
    assert show(model_path("1m"))["capabilities"] == ["completion"]
    assert set(show(path, 'embeddings = "last"')["capabilities"]) == agent | {"embedding"}
    assert set(show(path, relays=RELAY)["capabilities"]) == agent | {"vision"}
    assert set(show(path, relays=RELAY + 'ollama_vision_model = ""\n')["capabilities"]) == agent


def test_the_tensors_are_told_to_who_asks_and_a_licence_to_everybody(show, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in model_path("1m").iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "LICENSE").write_text("Take it.")
    found = show(folder, verbose=True)
    tensors = {tensor["name"]: tensor for tensor in found["tensors"]}
    assert tensors["model.norm.weight"]["type"] == "F32" and len(tensors["model.norm.weight"]["shape"]) == 1
    assert found["license"] == "Take it."


def test_a_model_that_was_pulled_since_and_one_without_files(show, tmp_path):
    config = make_config(tmp_path)
    found = shown(model_info("new"), read_model_files(""), config, 0, verbose=True)
    assert (found["parameters"], found["template"], found["tensors"]) == ("", "", [])
    assert found["capabilities"] == ["completion"] and found["model_info"]["general.architecture"] == "echo"
