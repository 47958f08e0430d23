"""Lists and facts about models in the Ollama dialect: names with tags, digests of 64 hex characters, true sizes."""

import json
import re

import pytest

from gateway import VERSION
from gateway.http.model_files import NO_FILES
from gateway.http.ollama_models import context_length, expires_at, human, running
from tests.support.fake_gateway import model_info
from tests.support.http_stack import TOML, make_config


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({
        "model_type": "llama", "quantization": {"bits": 4}, "max_position_embeddings": 4096}))
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def test_tags(http, gateway, folder):
    gateway.models = [model_info("tiny", path=str(folder), engine="mlx"), model_info("phi3.5:3.8b"),
                      model_info("org/other")]
    models = http.get("/api/tags").json()["models"]
    assert [m["name"] for m in models] == [m["model"] for m in models] == [
        "tiny:latest", "phi3.5:3.8b", "org/other:latest"]
    assert all(re.fullmatch("[0-9a-f]{64}", m["digest"]) for m in models)
    assert len({m["digest"] for m in models}) == 3
    assert models[0]["size"] == 1000 and models[0]["modified_at"].startswith("20")
    assert models[0]["details"] == {"parent_model": "", "format": "safetensors", "family": "llama",
                                    "families": ["llama"], "parameter_size": "", "quantization_level": "4bit"}
    assert models[1]["size"] == 0 and models[1]["modified_at"] == "0001-01-01T00:00:00Z"


def test_ps_lists_what_is_loaded(http, gateway):
    gateway.models = [model_info("a"), model_info("b", state="empty"), model_info("c", state="down"),
                      model_info("d", state="loading")]
    models = http.get("/api/ps").json()["models"]
    assert [m["name"] for m in models] == ["a:latest", "d:latest"]
    assert models[0].keys() == {"name", "model", "size", "digest", "details", "expires_at", "size_vram",
                                "context_length"}
    assert (models[0]["size"], models[0]["size_vram"], models[0]["context_length"]) == (2_000_000, 2_000_000, 2048)


def test_size_is_what_is_measured_where_no_share_is_known(tmp_path):
    shown = running(model_info("tiny", share_bytes=0), make_config(tmp_path), 0.0)
    assert (shown["size"], shown["size_vram"]) == (1_000_000, 1_000_000)


@pytest.mark.parametrize(("facts", "at"), [
    ({"keep_until_s": 300.0}, "2023-11-14T22:18:20Z"), ({"keep_until_s": 0.0}, "2023-11-14T22:13:20Z"),
    ({"keep_until_s": -1.0}, "2318-01-01T00:00:00Z"), ({"keep_until_s": 300.0, "pinned": True}, "2318-01-01T00:00:00Z"),
    ({"keep_until_s": 1e300}, "2318-01-01T00:00:00Z"), ({"keep_until_s": 1e12}, "2318-01-01T00:00:00Z"),
    ({"keep_until_s": None, "state": "draining"}, "2023-11-14T22:13:20Z"),
    ({"keep_until_s": None, "state": "loading"}, "2023-11-14T22:23:20Z"),
])
def test_expires_when_it_may_go_for_want_of_use(tmp_path, facts, at):
    config = make_config(tmp_path, '[memory]\nkeep_alive = "10m"\n' + TOML)
    assert expires_at(model_info("tiny", **facts), config, 1_700_000_000.0) == at


def test_a_model_is_listed_under_each_of_its_names(http, gateway):
    gateway.models = [model_info("tiny", aliases=["small:1b", "tiny:latest", "short"])]
    models = http.get("/api/tags").json()["models"]
    assert [m["name"] for m in models] == [m["model"] for m in models] == [
        "tiny:latest", "small:1b", "short:latest"]
    assert len({m["digest"] for m in models}) == 1
    assert [m["name"] for m in http.get("/api/ps").json()["models"]] == ["tiny:latest"]


@pytest.mark.parametrize(("parameters", "text"), [
    (0, ""), (7, "7"), (1500, "2K"), (1_048_576, "1.05M"), (361_821_120, "361.82M"), (8_030_261_248, "8.0B")])
def test_sizes_for_people(parameters, text):
    assert human(parameters) == text


@pytest.mark.parametrize("asked", [{"model": "tiny"}, {"name": "tiny:latest"}])
def test_show(http, gateway, folder, asked):
    gateway.models = [model_info("tiny", path=str(folder), engine="mlx")]
    shown = http.post("/api/show", json=asked | {"options": {"top_k": 1}, "system": "be short"}).json()
    assert shown.keys() == {"modelfile", "parameters", "template", "details", "model_info", "capabilities",
                            "modified_at"}
    assert shown["details"]["family"] == "llama" and shown["modified_at"].startswith("20")


def test_a_model_that_is_not_loaded_shows_the_context_it_was_made_for(http, gateway, folder):
    gateway.models = [model_info("tiny", path=str(folder), engine="mlx", state="empty", context_length=0)]
    assert http.post("/api/show", json={"model": "tiny"}).json()["model_info"]["llama.context_length"] == 4096
    assert http.get("/api/tags").json()["models"][0]["context_length"] == 4096


def test_a_context_nobody_knows_is_left_out(http, gateway):
    gateway.models = [model_info("tiny", state="loading", context_length=0)]
    assert http.post("/api/show", json={"model": "tiny"}).json()["model_info"].keys() == {
        "general.architecture", "general.basename"}
    for listed in (http.get("/api/tags"), http.get("/api/ps")):
        assert "context_length" not in listed.json()["models"][0]


def test_the_operators_limit_counts_before_the_model_is_loaded(tmp_path):
    info = model_info("tiny", context_length=0)
    config = make_config(tmp_path, TOML.replace('engine = "echo"', 'engine = "echo"\ncontext_length = 1000', 1))
    assert context_length(info, NO_FILES._replace(context_length=4096), config) == 1000
    assert context_length(info, NO_FILES._replace(context_length=512), config) == 512
    assert context_length(info, NO_FILES, config) == 1000


def test_show_of_an_unknown_model_and_of_none(http):
    response = http.post("/api/show", json={"model": "x"})
    assert (response.status_code, response.json()) == (404, {"error": 'model "x" not found'})
    assert http.post("/api/show", json={}).status_code == 400


def test_version_is_numeric_and_dotted_and_what_editors_ask_for(http):
    said = http.get("/api/version").json()
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["version"]) and said["warden"] == VERSION
    assert [int(part) for part in said["version"].split(".")] >= [0, 6, 4], "VS Code takes no older one"
    assert http.head("/api/version").status_code == http.head("/").status_code == 200
