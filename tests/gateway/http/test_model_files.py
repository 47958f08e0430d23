"""Facts from a model's directory, and from directories that are not as they should be."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from gateway.http.model_files import NO_FILES, read_license, read_model_files, read_tensors, text_config

PACKED = np.zeros((8, 16), np.uint32)  # 8 rows of 128 weights in 4 bits, or of 64 in 8
SCALES = np.zeros((8, 2), np.float16)


def test_only_weights_count_and_links_are_followed(tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * 500)
    model = tmp_path / "model"
    model.mkdir()
    (model / "a.safetensors").symlink_to(blob)
    (model / "b.safetensors").write_bytes(b"x" * 20)
    (model / "README.md").write_bytes(b"x" * 7000)
    (model / "config.json").write_text(
        '{"model_type": "phi3", "torch_dtype": "bfloat16", "max_position_embeddings": 4096}')
    files = read_model_files(str(model))
    assert (files.size_bytes, files.family, files.quantization, files.context_length) == (520, "phi3", "BF16", 4096)
    assert files.modified_s > 1_500_000_000


@pytest.mark.parametrize("path", ["", "/nowhere/at/all", "/dev/null"])
def test_no_directory_is_nothing(path):
    assert read_model_files(path) == NO_FILES


@pytest.mark.parametrize("given", ["null", "-1", "0"])
def test_a_context_that_is_none_is_not_known(tmp_path, given):
    (tmp_path / "config.json").write_text(f'{{"model_type": "phi3", "max_position_embeddings": {given}}}')
    files = read_model_files(str(tmp_path))
    assert (files.family, files.context_length) == ("phi3", 0)


@pytest.mark.parametrize("text", ["", "{", '{"model_type": 5}', '"\ud800"'])
def test_a_broken_config_hides_only_what_it_would_say(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "m.safetensors").write_bytes(b"xx")
    assert read_model_files(str(tmp_path))[0:5:2] == (2, "", 0)


def test_a_dangling_link_is_not_fatal(tmp_path):
    (tmp_path / "m.safetensors").symlink_to(tmp_path / "gone")
    assert read_model_files(str(tmp_path)) == NO_FILES


def test_parameters_are_counted_over_all_files(tmp_path):
    save_file({"a.weight": np.zeros((3, 5), np.float32), "b.bias": np.zeros(7, np.float16)}, tmp_path / "1.safetensors")
    save_file({"c.weight": np.zeros((2, 2, 2), np.float32)}, tmp_path / "2.safetensors", {"format": "mlx"})
    assert read_model_files(str(tmp_path)).parameters == 3 * 5 + 7 + 2 * 2 * 2
    assert [(t.name, t.dtype, t.shape) for t in read_tensors(str(tmp_path))] == [
        ("a.weight", "F32", (3, 5)), ("b.bias", "F16", (7,)), ("c.weight", "F32", (2, 2, 2))]


def test_packed_weights_count_for_what_they_hold_and_their_scales_for_nothing(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"quantization": {"bits": 4, "b": {"bits": 8}, "c": False}}))
    tensors = {f"{name}.{kind}": PACKED if kind == "weight" else SCALES
               for name in ("a", "b") for kind in ("weight", "scales", "biases")}
    save_file(tensors | {"c.biases": np.zeros(5, np.float32)}, tmp_path / "m.safetensors")
    files = read_model_files(str(tmp_path))
    assert (files.parameters, files.quantization) == (8 * 128 + 8 * 64 + 5, "4bit")


def test_what_changed_is_counted_anew(tmp_path):
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "m.safetensors")
    assert read_model_files(str(tmp_path)).parameters == 3
    save_file({"a": np.zeros(300, np.float32)}, tmp_path / "m.safetensors")
    assert read_model_files(str(tmp_path)).parameters == 300


@pytest.mark.parametrize("content", [b"", b"xx", b"\xff" * 40, (2).to_bytes(8, "little") + b"[]",
                                     (13).to_bytes(8, "little") + b'{"a": {"b": 1}}'])
def test_weights_that_are_none_have_no_parameters(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    files = read_model_files(str(tmp_path))
    assert (files.parameters, files.size_bytes) == (0, len(content)) and read_tensors(str(tmp_path)) == []


def test_the_part_about_language_counts_where_a_model_has_others_too(tmp_path):
    config = {"model_type": "gemma3", "text_config": {"max_position_embeddings": 4096, "dtype": "float32"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    files = read_model_files(str(tmp_path))
    assert (files.family, files.context_length, files.quantization) == ("gemma3", 4096, "F32")
    assert text_config(config)["max_position_embeddings"] == 4096 and text_config({"a": 1}) == {"a": 1}


def test_a_licence_lies_beside_the_weights(tmp_path):
    assert read_license(str(tmp_path)) == read_license("") == ""
    (tmp_path / "LICENSE").write_bytes(b"Take it.\xff")
    assert read_license(str(tmp_path)) == "Take it.\ufffd"
