"""What a model's files say about its size; files that lie are refused in one line, and guesses go upwards."""

import json
import os
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import model_size
from control.budget import PREFILL_CHUNK_TOKENS, ModelFacts, make_plan
from control.config import ModelConfig
from control.model_size import CONTEXT_FALLBACK_TOKENS, CONTEXT_NAMES, ECHO_CONTEXT_TOKENS, SizeUnknown, read_facts
from tests.support.engines import EngineInThread
from tests.support.models import model_path
from workers import prompt
from workers.echo_engine import CONTEXT_DEFAULT_TOKENS
from workers.engine import EngineJob
from workers.mlx_engine import MlxEngine
from workers.prefill_pace import PREFILL_CHUNK_MAX_TOKENS
from workers.prompt import choose_context
from workers.protocol import Sampling

LLAMA = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 14_336, "vocab_size": 128_256,
         "max_position_embeddings": 131_072}


def tensor(kind: str, shape: list[int], begin: int, size: int) -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, begin + size]}


def write_weights(file: Path, header: object, data_bytes: int = 0, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)
    os.truncate(file, file.stat().st_size + data_bytes)


def model(place: Path, **said) -> ModelConfig:
    return ModelConfig(name="m", slug="m", path=str(place), **said)


def facts(place: Path, config: dict, kind: str = "BF16", size: int = 64) -> ModelFacts:
    (place / "config.json").write_text(json.dumps(config))
    bits = model_size.BITS[kind]
    write_weights(place / "model.safetensors", {"w": tensor(kind, [size * 8 // bits], 0, size)}, size)
    return read_facts(model(place))


def refused(place: Path) -> str:
    with pytest.raises(SizeUnknown) as caught:
        read_facts(model(place))
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{place}/", "")


# -- weights


def test_a_real_model_is_counted_to_the_byte():
    place = model_path("1m")
    found = read_facts(model(place))
    file_bytes = (place / "model.safetensors").stat().st_size
    assert 0.99 * file_bytes < found.tensor_bytes < file_bytes
    assert found == ModelFacts(found.tensor_bytes, 4 * 2 * 2 * 32 * 4, 4096, (8 * 128 + 4 * 384) * 4, "mlx", 4 * 4,
                               found.vocabulary, 4)
    assert 256 < found.vocabulary <= 1024


def test_all_files_count_and_a_tensor_in_two_of_them_counts_once(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    write_weights(tmp_path / "model-1.safetensors", {"a": tensor("F16", [4], 0, 8), "__metadata__": {"a": "b"}}, 8)
    write_weights(tmp_path / "model-2.safetensors", {"a": tensor("F16", [4], 0, 8), "b": tensor("U32", [2], 8, 8)}, 16)
    write_weights(tmp_path / "other.safetensors", {"c": tensor("F16", [4], 0, 8)}, 8)
    assert read_facts(model(tmp_path)).tensor_bytes == 16


def test_eight_bit_floats_count_twice_since_loading_may_widen_them(tmp_path):
    assert facts(tmp_path, LLAMA, "F8_E4M3").tensor_bytes == 128
    assert facts(tmp_path, LLAMA, "I8").tensor_bytes == 64


@pytest.mark.parametrize(("header", "data_bytes", "says"), [
    (b"{", 0, "its header is not JSON"),
    (b"[" * 100_000, 0, "its header is not JSON"),
    (b"\xff\xfe", 0, "its header is not JSON"),
    ([], 0, "its header is not a JSON object"),
    ({"w": 1}, 0, "its header is damaged (tensor 'w')"),
    ({"w": {"dtype": "F16", "shape": [1]}}, 2, "its header is damaged (tensor 'w')"),
    ({"w": tensor("F16", [-1], 0, 2)}, 2, "its header is damaged (tensor 'w')"),
    ({"w": tensor("F16", [True], 0, 2)}, 2, "its header is damaged (tensor 'w')"),
    ({"w": tensor("F16", [1] * 33, 0, 2)}, 2, "its header is damaged (tensor 'w')"),
    ({"w": tensor("F16", [1], -2, 2)}, 2, "its header is damaged (tensor 'w')"),
    ({"w": tensor("F16", [1], 2, -2)}, 2, "a tensor lies outside of the file: bytes 2 to 0 of 2 (tensor 'w')"),
    ({"w": tensor("F16", [2], 0, 4)}, 2, "a tensor lies outside of the file: bytes 0 to 4 of 2 (tensor 'w')"),
    ({"w": tensor("F16", [2], 0, 2)}, 2, "2 bytes are not what F16 x [2] takes (tensor 'w')"),
    ({"w": tensor("F16", [2**62, 2**62], 0, 2)}, 2, "2 bytes are not what F16 x"),
    ({"a": tensor("F16", [2], 0, 4), "b": tensor("F16", [1], 2, 2)}, 4, "its tensors overlap"),
])
def test_a_header_that_contradicts_itself_is_refused(tmp_path, header, data_bytes, says):
    write_weights(tmp_path / "model.safetensors", header, data_bytes)
    assert refused(tmp_path).startswith(f"model.safetensors: {says}")
    assert refused(tmp_path).endswith("; fetch the model again")


def test_a_type_that_is_not_known_counts_as_what_it_takes(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    write_weights(tmp_path / "model.safetensors", {"w": tensor("F4", [3], 0, 2)}, 2)
    assert read_facts(model(tmp_path)).tensor_bytes == 2


@pytest.mark.parametrize("length", [0, 200, 100_000_001, 2**63, 2**64 - 1])
def test_a_length_that_cannot_be_is_refused_before_anything_is_read(tmp_path, length):
    write_weights(tmp_path / "model.safetensors", {}, 100, length=length)
    assert refused(tmp_path).startswith("model.safetensors: its header ")


def test_headers_have_a_limit_together(tmp_path, monkeypatch):
    monkeypatch.setattr(model_size, "HEADERS_MAX_BYTES", 100)
    for number in (1, 2):
        write_weights(tmp_path / f"model-{number}.safetensors", {"w": tensor("F16", [4], 0, 8)}, 8)
    assert refused(tmp_path).startswith("model-2.safetensors: its header should have ")


def test_a_file_too_short_for_its_length_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x01")
    assert "limit here; fetch the model again" in refused(tmp_path) or "not JSON" in refused(tmp_path)


def test_a_place_without_weights_and_one_that_is_no_file_are_refused(tmp_path):
    assert refused(tmp_path).endswith("holds no model*.safetensors; correct the model's path, or fetch the model again")
    os.mkfifo(tmp_path / "model.safetensors")
    assert refused(tmp_path) == "model.safetensors: is no file; correct the model's path"
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "gone")
    assert "cannot be read (No such file or directory)" in refused(tmp_path)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_more_than_be_refused(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("bytes")
    (place / "config.json").write_bytes(data)
    (place / "model.safetensors").write_bytes(struct.pack("<Q", max(0, len(data) - 3)) + data)
    with pytest.raises(SizeUnknown):
        read_facts(model(place))


# -- config.json


def test_a_grouped_llama(tmp_path):
    found = facts(tmp_path, LLAMA)
    assert found.kv_token_bytes == 32 * 2 * 8 * 128 * 2
    assert (found.context_length, found.vocabulary, found.layers) == (131_072, 128_256, 32)
    assert found.score_token_bytes == 32 * 2
    assert found.prefill_token_bytes == (8 * 4096 + 4 * 14_336) * 2


@pytest.mark.parametrize(("kind", "number_bytes"), [("F16", 2), ("BF16", 2), ("F32", 4), ("U32", 4)])
def test_keys_and_values_are_as_wide_as_most_of_the_weights(tmp_path, kind, number_bytes):
    assert facts(tmp_path, LLAMA, kind).kv_token_bytes == 32 * 2 * 8 * 128 * number_bytes


def test_packed_weights_do_not_count_as_floats_but_their_scales_do(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    header = {"w": tensor("U32", [100], 0, 400), "s": tensor("BF16", [8], 400, 16), "n": tensor("F32", [2], 416, 8)}
    write_weights(tmp_path / "model.safetensors", header, 424)
    assert read_facts(model(tmp_path)).kv_token_bytes == 32 * 2 * 8 * 128 * 2


@pytest.mark.parametrize(("change", "numbers"), [
    ({"num_key_value_heads": None}, 2 * 32 * 128),
    ({"head_dim": 256}, 2 * 8 * 256),
    ({"head_dim": 256, "global_head_dim": 512}, 2 * 8 * 512),
    ({"num_key_value_heads": [2, 16, 4]}, 2 * 16 * 128),
    ({"num_key_value_heads": 2, "num_global_key_value_heads": 4}, 2 * 4 * 128),
    ({"num_attention_heads": None, "num_key_value_heads": None, "model_type": "mamba"}, 2 * 4096),
    ({"sliding_window": 512}, 2 * 8 * 128),
    ({"model_type": "deepseek_v3", "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}, 512 + 64),
    ({"model_type": "minicpm3", "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}, 2 * 32 * 192),
])
def test_what_a_layer_keeps_of_a_token(tmp_path, change, numbers):
    config = {key: value for key, value in (LLAMA | change).items() if value is not None}
    assert facts(tmp_path, config).kv_token_bytes == 32 * numbers * 2


def test_a_model_inside_of_another_is_found(tmp_path):
    assert facts(tmp_path, {"model_type": "gemma3", "text_config": LLAMA}) == facts(tmp_path, LLAMA)
    assert facts(tmp_path, LLAMA | {"text_config": "nonsense"}) == facts(tmp_path, LLAMA)


def test_the_names_of_gpt2(tmp_path):
    found = facts(tmp_path, {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50_257})
    assert (found.kv_token_bytes, found.context_length) == (12 * 2 * 768 * 2, 1024)


def test_several_experts_at_once_are_as_wide_as_all_of_them(tmp_path):
    experts = {"num_experts_per_tok": 8, "moe_intermediate_size": 4096}
    assert facts(tmp_path, LLAMA | experts).prefill_token_bytes == (8 * 4096 + 4 * 8 * 4096) * 2


@pytest.mark.parametrize(("config", "says"), [
    ({}, "does not say how wide a token is (hidden_size); add it, or use a model that mlx_lm can load"),
    ({"hidden_size": 64}, "does not say how many layers there are (num_hidden_layers)"),
    (LLAMA | {"hidden_size": True}, "does not say how wide a token is"),
    (LLAMA | {"hidden_size": 2**60}, "does not say how wide a token is"),
    (LLAMA | {"num_key_value_heads": 2**23, "head_dim": 2**23}, "by its numbers one token takes more than"),
])
def test_a_config_that_says_too_little_or_too_much_is_refused(tmp_path, config, says):
    with pytest.raises(SizeUnknown) as caught:
        facts(tmp_path, config)
    assert f"{tmp_path}/config.json: {says}" in str(caught.value)


def test_a_config_that_is_not_there_is_refused(tmp_path):
    facts(tmp_path, LLAMA)
    (tmp_path / "config.json").unlink()
    assert refused(tmp_path).startswith("config.json: cannot be read (No such file or directory)")


def test_the_largest_numbers_still_make_a_plan_that_a_word_of_the_table_holds(tmp_path):
    found = facts(tmp_path, LLAMA | {"num_key_value_heads": 2**12, "max_position_embeddings": 2**62})
    plan = make_plan(found, batch=256, context=10**7, memory_bytes=0, profile=None, shrink=0, room_bytes=2**62)
    assert found.context_length == model_size.NUMBER_MAX and plan.share_bytes < 2**63


def test_an_echo_model_has_no_files(tmp_path):
    assert read_facts(ModelConfig(name="e", slug="e", engine="echo")) == ModelFacts(0, 0, 1_000_000, 0, "echo")
    assert read_facts(ModelConfig(name="e", slug="e", engine="echo", context_length=99)).context_length == 99


# -- what the worker does


@pytest.mark.parametrize("config", [
    {}, {"max_position_embeddings": 8192}, {"n_positions": 1024}, {"seq_length": 2048, "max_seq_len": 512},
    {"max_position_embeddings": 0, "n_positions": 7}, {"text_config": {"max_position_embeddings": 99}},
    {"max_seq_len": 5, "text_config": {"max_position_embeddings": 99}}, {"max_position_embeddings": "8192"},
])
def test_the_context_is_the_one_that_the_worker_finds(tmp_path, config):
    sizes = {key: LLAMA[key] for key in ("hidden_size", "num_hidden_layers")}
    assert facts(tmp_path, config | sizes).context_length == choose_context(config, 0)


def test_constants_are_those_of_the_worker():
    assert PREFILL_CHUNK_TOKENS == PREFILL_CHUNK_MAX_TOKENS
    assert CONTEXT_FALLBACK_TOKENS == prompt.CONTEXT_FALLBACK_TOKENS
    assert CONTEXT_NAMES == prompt.CONTEXT_NAMES
    assert ECHO_CONTEXT_TOKENS == CONTEXT_DEFAULT_TOKENS


def test_a_real_model_takes_no_more_than_its_plan_while_rows_join_and_leave():
    """Three of four rows are done with their prompt together, which is when the cache exists nearly twice."""
    place, tokens = model_path("1m"), 480
    plan = make_plan(read_facts(model(place)), batch=4, context=tokens, memory_bytes=0, profile=None, shrink=0,
                     room_bytes=2**40)
    assert plan.rows == 4
    engine = EngineInThread(MlxEngine(str(place), batch_max=4, context_length=tokens))
    try:
        engine.start()
        loaded_bytes = engine.memory().active_bytes
        for row, length in enumerate((400, 400, 400, 470)):
            engine.add(EngineJob(key=(1, row, 1), tokens=[5 + row] * length, sampling=Sampling(temperature=0.0),
                                 max_tokens=8))
        deadline = time.monotonic() + 60
        while engine.active and time.monotonic() < deadline:
            engine.step()
        assert not engine.active
        used_bytes = engine.memory().peak_bytes
    finally:
        engine.close()
    assert plan.weights_bytes * 0.9 < loaded_bytes <= plan.weights_bytes
    allowed_bytes = plan.share_bytes - plan.runtime_bytes
    assert 0.25 * allowed_bytes < used_bytes <= allowed_bytes
