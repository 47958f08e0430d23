"""Facts from a model's directory, and from directories that are not as they should be."""

import pytest

from gateway.http.model_files import ModelFiles, read_model_files

NOTHING = ModelFiles(0, 0.0, "", "", 0)


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
    assert (files.size_bytes, files.family, files.quantization, files.context_length) == (520, "phi3", "bfloat16", 4096)
    assert files.modified_s > 1_500_000_000


@pytest.mark.parametrize("path", ["", "/nowhere/at/all", "/dev/null"])
def test_no_directory_is_nothing(path):
    assert read_model_files(path) == NOTHING


@pytest.mark.parametrize("given", ["null", "-1", "0"])
def test_a_context_that_is_none_is_not_known(tmp_path, given):
    (tmp_path / "config.json").write_text(f'{{"model_type": "phi3", "max_position_embeddings": {given}}}')
    files = read_model_files(str(tmp_path))
    assert (files.family, files.context_length) == ("phi3", 0)


@pytest.mark.parametrize("text", ["", "{", '{"model_type": 5}', '"\ud800"'])
def test_a_broken_config_hides_only_what_it_would_say(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "m.safetensors").write_bytes(b"xx")
    assert read_model_files(str(tmp_path))[0::2] == (2, "", 0)


def test_a_dangling_link_is_not_fatal(tmp_path):
    (tmp_path / "m.safetensors").symlink_to(tmp_path / "gone")
    assert read_model_files(str(tmp_path)) == NOTHING
