"""workers/model_digest.py: one model has one digest, and whatever decides what a KV cache holds changes it."""

import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.support.models import model_path
from workers.model_digest import digest_model


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(model_path("1m"), tmp_path / "model")


def test_a_copy_and_a_link_have_the_same(model, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in model.iterdir():
        (linked / file.name).symlink_to(file)
    assert digest_model(model, "v") == digest_model(linked, "v") == digest_model(model_path("1m"), "v")
    (model / "README.md").write_text("no part of the model")
    assert digest_model(model, "v") == digest_model(linked, "v")


def test_another_version_has_another(model):
    assert digest_model(model, "v") != digest_model(model, "w")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer_config.json"])
def test_other_words_have_another(model, name):
    before = digest_model(model, "v")
    (model / name).write_text((model / name).read_text() + " ")
    assert digest_model(model, "v") != before


def test_a_fine_tune_of_the_same_shape_and_time_has_another(model):
    file, before = model / "model.safetensors", digest_model(model, "v")
    times = file.stat()
    weights = {name: array + np.float32(0.001) for name, array in load_file(file).items()}
    save_file(weights, file, metadata={"format": "mlx"})
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == times.st_size and digest_model(model, "v") != before


def test_a_short_file_is_none_of_its_worries(model):
    (model / "model.safetensors").write_bytes(b"\x07")
    assert len(digest_model(model, "v")) == 32
