"""Directories as people have them: what can be served from each, and in one clause why not."""

import json
import os
from pathlib import Path

import pytest
from mlx_lm.utils import MODEL_REMAPPING

from gateway.cli.init_models import (
    HUB,
    LM_STUDIO,
    QUANTISED_READ,
    RENAMED,
    below_home,
    choose_problem,
    folder_models,
    hub_models,
    known_types,
    lm_studio_folders,
    look_at,
)
from gateway.cli.proposal import CHATS, COMPLETES, EMBEDS
from tests.support.found_models import make_model, make_repository
from tests.support.models import model_path


def never() -> bool:
    return False


def test_what_mlx_lm_reads_is_what_it_says():
    assert RENAMED == MODEL_REMAPPING
    assert {"llama", "qwen3", "gpt_oss"} <= known_types()
    assert {RENAMED[kind] for kind in RENAMED} <= known_types()


def test_a_real_model_is_looked_at(tmp_path):
    found = look_at("a/b", HUB, "a/b", Path(model_path("1m")))
    assert (found.problem, found.kind, found.bits) == ("", CHATS, 0)
    assert found.facts.layers == 4 and found.fetched_at > 0


@pytest.mark.parametrize(("kind", "says"), [
    ({"weights": False}, "incomplete: it has no weights (model*.safetensors)"),
    ({"weights": False, "model_type": "unheard"}, "no language model: it has no model*.safetensors"),
    ({"architectures": ["BertModel"], "model_type": "bert"}, "no language model (BertModel)"),
    ({"model_type": "whisper"}, "mlx_lm does not know its type, whisper"),
    ({"model_type": None}, "mlx_lm does not know its type, which it does not say"),
    ({"model_file": "own.py"}, "it needs code of its own, which is never run"),
    ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised by bitsandbytes, which MLX does not read"),
    ({"tokenizer": False}, "incomplete: it has no tokenizer"),
    *(({"quantization_config": {"quant_method": method}}, "") for method in sorted(QUANTISED_READ)),
    ({"model_type": "mistral"}, ""),
    ({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]}, ""),
])
def test_what_stands_in_the_way(tmp_path, kind, says):
    assert choose_problem(make_model(tmp_path / "m", **kind)) == says


@pytest.mark.parametrize(("names", "says"), [
    (["x.Q4_K_M.gguf"], "GGUF, which MLX does not read"), (["model_index.json"], "no language model (it makes images)"),
    (["adapter_config.json", "adapters.safetensors"], "an adapter, not a model"),
    (["pytorch_model.bin"], "its weights are no safetensors"), ([], "no language model: it has no config.json"),
])
def test_what_is_no_model_of_mlx(tmp_path, names, says):
    for name in names:
        (tmp_path / name).touch()
    assert choose_problem(tmp_path) == says


def test_an_interrupted_download_is_told_from_its_index_or_its_names(tmp_path):
    place = make_model(tmp_path / "m")
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "model-2.safetensors"}}))
    assert choose_problem(place) == 'incomplete: lacks "model-2.safetensors", which model.safetensors.index.json names'
    shards = make_model(tmp_path / "shards")
    os.rename(shards / "model.safetensors", shards / "model-00001-of-00003.safetensors")
    assert choose_problem(shards) == "incomplete: weights are missing"


def test_kinds_and_bits(tmp_path):
    def looked_at(name: str, **kind):
        return look_at(f"a/{name}", HUB, "p", make_model(tmp_path / name, **kind))

    assert looked_at("chats", quantization={"bits": 4, "group_size": 64}).bits == 4
    assert looked_at("base", template=False).kind == COMPLETES
    assert looked_at("nomic-embed").kind == EMBEDS
    assert looked_at("sees", vision_config={}).sees
    pooled = make_model(tmp_path / "pooled")
    (pooled / "1_Pooling").mkdir()
    (pooled / "1_Pooling" / "config.json").write_text("{}")
    assert look_at("a/pooled", HUB, "p", pooled).kind == EMBEDS


def test_damaged_and_unreadable_directories_are_problems_and_no_errors(tmp_path):
    place = make_model(tmp_path / "m")
    (place / "model.safetensors").write_bytes(b"\xff" * 8)
    assert look_at("a", HUB, "p", place).problem.startswith("its size is not known: ")
    assert look_at("a", HUB, "p", tmp_path / "gone").problem == "cannot be read (No such file or directory)"
    (place / "config.json").write_text("[]")
    assert look_at("a", HUB, "p", place).problem


def test_the_cache_is_read_by_its_layout(tmp_path):
    cache, env = tmp_path / "hub", {"HF_HUB_CACHE": str(tmp_path / "hub")}
    assert list(hub_models(env, never)) == []
    make_repository(cache, "org/whole")
    (cache / "models--org--begun" / "refs").mkdir(parents=True)
    half = make_repository(cache, "org/half", weights=False)
    (half.parents[1] / "blobs").mkdir()
    (half.parents[1] / "blobs" / "0123.incomplete").touch()
    (cache / "datasets--org--d").mkdir()
    found = {each.title: each for each in hub_models(env, never)}
    assert found.keys() == {"org/whole", "org/begun", "org/half"}
    assert (found["org/whole"].path, found["org/whole"].problem) == ("org/whole", "")
    assert found["org/begun"].problem == found["org/half"].problem and "broken off" in found["org/half"].problem
    late = {each.title: each.problem for each in hub_models(env, lambda: True)}
    assert late["org/whole"].startswith("not looked at")


def test_folders_of_lm_studio_and_of_an_operator(tmp_path):
    env = {"HOME": str(tmp_path)}
    assert lm_studio_folders(env) == []
    root = tmp_path / ".lmstudio" / "models"
    make_model(root / "mlx-community" / "Tiny-4bit")
    (root / "org" / "gguf").mkdir(parents=True)
    (root / "org" / "gguf" / "x.gguf").touch()
    make_model(root / "flat")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / ".lmstudio" / "settings.json").write_text(json.dumps({"downloadsFolder": str(moved)}))
    assert lm_studio_folders(env) == [moved, root]
    found = {each.title: each for each in folder_models(root, LM_STUDIO, env, never)}
    assert found.keys() == {"mlx-community/Tiny-4bit", "org/gguf", "flat"}
    assert found["mlx-community/Tiny-4bit"].path == "~/.lmstudio/models/mlx-community/Tiny-4bit"
    assert found["org/gguf"].problem == "GGUF, which MLX does not read"
    assert below_home(tmp_path.parent, env) == str(tmp_path.parent)
