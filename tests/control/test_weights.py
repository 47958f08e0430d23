"""Weights are found where a person would look for them, and what is not found is told with the places looked at."""

import json
from pathlib import Path

import pytest

from control import weights as product
from control.config_tables import ConfigError
from control.weights import CONFIG_MAX_BYTES, INDEX, built_in_model, cached_models, expand, find_weights, hub_cache
from tests.support.toml_files import make_cached, make_weights


def refused(path: str, *roots: Path, **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        find_weights("f:1: path", path, roots, {"HOME": "/nowhere", **env})
    return str(caught.value)


def test_a_directory_is_found_from_each_root_in_turn(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    own, shared = make_weights(first / "a"), make_weights(second / "b")
    make_weights(second / "a")
    assert find_weights("", "a", [first, second], {}) == str(own)
    assert find_weights("", "../second/b", [first, second], {}) == str(shared)
    assert find_weights("", "b", [first, second], {}) == str(shared)
    assert find_weights("", str(shared), [first], {}) == str(shared)
    assert find_weights("", "~/b", [first], {"HOME": str(second)}) == str(shared)


def test_the_path_is_absolute_and_resolved(tmp_path):
    real = make_weights(tmp_path / "real")
    (tmp_path / "link").symlink_to(real)
    assert find_weights("", "link", [tmp_path], {}) == str(real.resolve())


def test_a_hugging_face_id_is_found_in_the_cache(tmp_path):
    snapshot = make_cached(tmp_path / "hub", "org/Model-1.5")
    for env in ({"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HOME": "/nowhere"}, {"HF_HOME": str(tmp_path)}):
        assert find_weights("", "org/Model-1.5", [tmp_path], env) == str(snapshot.resolve())


def test_a_directory_beats_the_cache_unless_it_is_no_model(tmp_path):
    make_cached(tmp_path / "hub", "org/a")
    env = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    (tmp_path / "org" / "a").mkdir(parents=True)
    assert "snapshots" in find_weights("", "org/a", [tmp_path], env)
    make_weights(tmp_path / "org" / "a")
    assert find_weights("", "org/a", [tmp_path], env) == str(tmp_path / "org" / "a")


def test_guide_is_the_model_that_comes_with_the_product_unless_you_have_one_of_that_name(tmp_path):
    assert find_weights("", "guide", [tmp_path], {}) == str(built_in_model())
    own = make_weights(tmp_path / "guide")
    assert find_weights("", "guide", [tmp_path], {}) == str(own)
    assert "is not a directory" in refused("Guide", tmp_path / "elsewhere")


def test_a_built_in_model_that_is_not_whole_is_refused_with_or_without_a_file(tmp_path, monkeypatch):
    from control.config import load_config

    broken = make_weights(tmp_path / "model")
    (broken / "model.safetensors").unlink()
    monkeypatch.setattr(product, "built_in_model", lambda: broken)
    lacking = f"{broken} holds no model*.safetensors; it comes with the code: get that again, or "
    assert refused("guide", tmp_path) == f"f:1: path: {lacking}train the model with: make guide"
    with pytest.raises(ConfigError) as caught:
        load_config({"WARDEN_HOME": str(tmp_path)}, tmp_path)
    assert str(caught.value).startswith(f"built-in defaults: {lacking}")
    assert load_config({"WARDEN_HOME": str(tmp_path)}, tmp_path, models_must_be_whole=False).models


def test_what_the_cache_holds_is_listed_by_id_and_what_is_broken_off_or_writes_no_text_is_not(tmp_path):
    env = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    assert cached_models(env) == []
    make_cached(tmp_path / "hub", "org/b--c")
    make_cached(tmp_path / "hub", "org/A")
    broken = make_cached(tmp_path / "hub", "org/broken")
    for weights in broken.glob("*.safetensors"):
        weights.unlink()
    (tmp_path / "hub" / "models--no--snapshot").mkdir()
    for model_id, architecture in (("org/embeds", "BertModel"), ("org/writes", "LlamaForCausalLM")):
        config = make_cached(tmp_path / "hub", model_id) / "config.json"
        config.write_text(json.dumps({"architectures": [architecture]}))
    assert cached_models(env) == ["org/A", "org/b--c", "org/writes"]


def test_where_the_cache_is():
    assert hub_cache({"HOME": "/h"}) == Path("/h/.cache/huggingface/hub")
    assert hub_cache({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub_cache({"HOME": "/h", "HF_HOME": "~/hf"}) == Path("/h/hf/hub")


def test_what_is_not_found_is_told_with_the_places_and_the_command(tmp_path):
    assert refused("x", tmp_path, tmp_path / "m") == (
        f'f:1: path: "x" is not a directory (looked for {tmp_path}/x and {tmp_path}/m/x); correct the path')
    assert refused("org/x", tmp_path, HF_HOME="/hf") == (
        f'f:1: path: "org/x" is not a directory (looked for {tmp_path}/org/x) and not in the Hugging Face cache '
        "/hf/hub; correct the path, or fetch the model with: hf download org/x")


def test_a_file_and_a_directory_without_a_model_are_told_apart(tmp_path):
    (tmp_path / "x.gguf").touch()
    (tmp_path / "empty").mkdir()
    assert refused("x.gguf", tmp_path) == (f"f:1: path: {tmp_path}/x.gguf is a file; "
                                           "give a directory with config.json and *.safetensors (GGUF is not read)")
    assert refused("empty", tmp_path) == (f"f:1: path: {tmp_path}/empty holds no config.json; "
                                          "give the directory that holds config.json and *.safetensors")


@pytest.mark.parametrize("text", ["", "[]", '{"a": ', "\xff", "[" * 100_000, '"' + "x" * CONFIG_MAX_BYTES + '"'],
                         ids=["empty", "list", "cut", "latin", "deep", "large"])
def test_a_config_that_is_no_json_object_is_refused(tmp_path, text):
    (make_weights(tmp_path / "m") / "config.json").write_text(text, "latin-1")
    assert refused("m", tmp_path) == (f"f:1: path: {tmp_path}/m/config.json is not a JSON object of at most 4194304 "
                                      "bytes; fetch the model again (a broken-off download looks like this)")


@pytest.mark.parametrize("left", ["other.safetensors", "model-1.safetensors.part", "weights.npz"])
def test_weights_must_have_the_name_that_is_loaded(tmp_path, left):
    (make_weights(tmp_path / "m") / "model.safetensors").rename(tmp_path / "m" / left)
    assert f"{tmp_path}/m holds no model*.safetensors; fetch the model again" in refused("m", tmp_path)


def test_a_link_of_the_cache_to_weights_that_are_not_there_is_none_and_the_command_is_told(tmp_path):
    weights = make_cached(tmp_path, "org/a") / "model.safetensors"
    weights.unlink()
    weights.symlink_to("../../blobs/0123")
    assert refused("org/a", tmp_path / "cwd", HF_HUB_CACHE=str(tmp_path)).endswith(
        "holds no model*.safetensors; fetch the model again with: hf download org/a "
        "(a broken-off download looks like this)")


def test_every_file_that_the_index_names_must_be_there(tmp_path):
    model = make_weights(tmp_path / "m")
    shards = [f"model-{number}-of-3.safetensors" for number in (1, 2, 3)]
    (model / INDEX).write_text(json.dumps({"weight_map": {f"layer.{n}": shard for n, shard in enumerate(shards)}}))
    (model / shards[0]).touch()
    assert f'lacks "{shards[1]}", which {INDEX} names; fetch' in refused("m", tmp_path)
    for shard in shards:
        (model / shard).touch()
    assert find_weights("", "m", [tmp_path], {}) == str(model)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 1}'])
def test_an_index_that_names_nothing_is_refused(tmp_path, text):
    (make_weights(tmp_path / "m") / INDEX).write_text(text)
    assert f"{INDEX} is not a JSON object with weight_map" in refused("m", tmp_path)


@pytest.mark.parametrize("reference", ["../../outside", "", "a/b", "\xff", "x" * 4096])
def test_a_broken_cache_is_no_model(tmp_path, reference):
    make_weights(tmp_path / "outside")
    snapshot = make_cached(tmp_path, "org/a")
    (snapshot.parents[1] / "refs" / "main").write_text(reference)
    assert "not in the Hugging Face cache" in refused("org/a", tmp_path / "cwd", HF_HUB_CACHE=str(tmp_path))


@pytest.mark.parametrize("path", ["a\0b", "x" * 4096, "/dev/null/x", "..", "../" * 50, "\udc80"])
def test_no_path_is_too_strange_to_be_refused_in_one_line(tmp_path, path):
    assert "\n" not in refused(path, tmp_path / "empty")


def test_only_a_leading_tilde_is_the_home_directory():
    env = {"HOME": "/h"}
    assert [str(expand(path, env)) for path in ("~", "~/a", "a/~", "~x")] == ["/h", "/h/a", "a/~", "~x"]
    assert expand("~", {}).is_absolute()


def test_a_running_stack_reads_on_when_one_model_has_lost_its_files(tmp_path):
    from control.config import ConfigError, load_config

    (tmp_path / "warden.toml").write_text('[models.gone]\npath = "gone"\n[models.a]\nengine = "echo"\n')
    env = {"WARDEN_HOME": str(tmp_path), "WARDEN_CONFIG": str(tmp_path / "warden.toml")}
    with pytest.raises(ConfigError):
        load_config(env, tmp_path)
    config = load_config(env, tmp_path, models_must_be_whole=False)
    assert [model.path for model in config.models] == [str(tmp_path / "gone"), ""]
