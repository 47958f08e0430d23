"""workers/random_model.py: the same recipe gives the same files, complete or not at all, and any text survives."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from tests.support.models import model_path
from workers import model_files, random_model
from workers.model_files import END, SPECIAL
from workers.random_model import SHAPES, make_model, make_tokenizer, make_weights

TOKENIZER = make_tokenizer()


def files_of(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def parameters_of(size) -> int:
    return sum(tensor.size for tensor in make_weights(SHAPES[size], TOKENIZER.get_vocab_size(), 0).values())


def test_the_same_seed_gives_the_same_files_and_another_seed_other_weights(tmp_path):
    first = files_of(make_model(tmp_path / "a", "1m", seed=4))
    again = files_of(make_model(tmp_path / "deep" / "b", "1m", seed=4))
    other = files_of(make_model(tmp_path / "c", "1m", seed=5))
    assert first == again
    assert other["model.safetensors"] != first["model.safetensors"]
    assert other["tokenizer.json"] == first["tokenizer.json"]


def test_the_files_are_those_of_a_float32_llama(tmp_path):
    directory = make_model(tmp_path / "model", "1m")
    config = json.loads((directory / "config.json").read_text())
    weights = load_file(directory / "model.safetensors")
    assert config["model_type"] == "llama"
    assert {tensor.dtype for tensor in weights.values()} == {np.dtype(np.float32)}
    assert weights["lm_head.weight"].shape == (config["vocab_size"], config["hidden_size"])
    assert Tokenizer.from_file(str(directory / "tokenizer.json")).get_vocab_size() == config["vocab_size"]
    said = json.loads((directory / "tokenizer_config.json").read_text())
    assert said["eos_token"] == END == SPECIAL[config["eos_token_id"]]
    assert json.loads((directory / "generation_config.json").read_text())["eos_token_id"] == config["eos_token_id"]


@pytest.mark.parametrize(("size", "parameters"), [("1m", 1e6), ("26m", 26e6)])
def test_the_size_is_what_the_name_says(size, parameters):
    assert abs(parameters_of(size) / parameters - 1) < 0.1


def test_special_tokens_are_pushed_down_whatever_the_input():
    """The first coordinate is 1 for every token, no layer changes it, and only special tokens mind it."""
    weights = make_weights(SHAPES["1m"], TOKENIZER.get_vocab_size(), 0)
    assert (weights["model.embed_tokens.weight"][:, 0] == 1).all()
    for name, tensor in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            assert not tensor[0].any()
    assert (weights["lm_head.weight"][: len(SPECIAL), 0] < -100).all()
    assert not weights["lm_head.weight"][len(SPECIAL) :, 0].any()


@given(text=st.text(max_size=60))
def test_any_text_survives_the_tokenizer(text):
    for special in SPECIAL:
        text = text.replace(special, "")
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=True) == text


def test_common_words_are_tokens_and_an_emoji_takes_several():
    assert len(TOKENIZER.encode(" the", add_special_tokens=False).ids) == 1
    assert len(TOKENIZER.encode("🦜", add_special_tokens=False).ids) > 1


def test_a_model_that_is_there_is_kept_and_anything_else_is_refused_untouched(tmp_path):
    directory = make_model(tmp_path / "model", "1m", seed=1)
    before = files_of(directory), directory.stat().st_ino
    assert make_model(directory, "1m", seed=1) == directory
    assert (files_of(directory), directory.stat().st_ino) == before
    with pytest.raises(FileExistsError, match="not the random model 1m with seed 2"):
        make_model(directory, "1m", seed=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("not json")
    with pytest.raises(FileExistsError, match="remove it or choose another place"):
        make_model(tmp_path / "mine", "1m")
    assert files_of(tmp_path / "mine") == {"config.json": b"not json"}


def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def save_file(weights, path, metadata):
        raise OSError("disk full")

    monkeypatch.setattr(model_files, "save_file", save_file)
    with pytest.raises(OSError, match="disk full"):
        make_model(tmp_path / "model", "1m")
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_both_get_the_model(tmp_path, monkeypatch):
    written = random_model._write_files

    def write_and_be_overtaken(directory, size, seed, family):
        written(directory, size, seed, family)
        monkeypatch.setattr(random_model, "_write_files", written)
        make_model(tmp_path / "model", size, seed, family)

    monkeypatch.setattr(random_model, "_write_files", write_and_be_overtaken)
    assert make_model(tmp_path / "model", "1m") == tmp_path / "model"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_command_makes_the_model_and_says_where(tmp_path):
    command = [sys.executable, "-m", "workers.random_model", str(tmp_path / "model"), "--size", "1m"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"{tmp_path / 'model'}\n"
    refused = subprocess.run([*command, "--seed", "3"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("random_model: ") and refused.stderr.count("\n") == 1


def test_an_unknown_size_or_family_is_refused(tmp_path):
    with pytest.raises(ValueError, match="1m, 26m"):
        make_model(tmp_path / "model", "7b")
    with pytest.raises(ValueError, match="plain, agent"):
        make_model(tmp_path / "model", "1m", family="odd")


def test_tests_get_their_model_from_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert model_path("1m").is_relative_to(tmp_path)
    assert model_path("1m") == model_path("1m")
    assert model_path("1m", "agent") != model_path("1m")
