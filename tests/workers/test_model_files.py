"""workers/model_files.py: special tokens come first, any text survives, and the files are the same each time."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from workers.model_files import SPECIAL, Shape, llama_config, train_tokenizer, write_model

VOCABULARY_MAX = 300
TOKENIZER = train_tokenizer(["one machine, several models", "one question, one answer"] * 3, VOCABULARY_MAX)
SHAPE = Shape(hidden=16, layers=1, heads=2, kv_heads=1, intermediate=8)


def test_special_tokens_have_the_first_ids_and_merges_come_from_the_lines():
    assert [TOKENIZER.token_to_id(token) for token in SPECIAL] == [0, 1, 2]
    assert TOKENIZER.get_vocab_size() <= VOCABULARY_MAX
    assert len(TOKENIZER.encode("one models", add_special_tokens=False).ids) == 2


@given(text=st.text(max_size=60))
def test_any_text_survives(text):
    for special in SPECIAL:
        text = text.replace(special, "")
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=True) == text


def test_the_files_say_the_same_as_the_config_and_are_the_same_each_time(tmp_path):
    config = llama_config(SHAPE, 300, 64, tied=True, made_by={"recipe": 1})
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_model(tmp_path / name, config, {"w": np.ones((2, 2), np.float32)}, TOKENIZER, "{{ bos_token }}")
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert json.loads(files["config.json"]) == config
    said = json.loads(files["tokenizer_config.json"])
    assert (said["bos_token"], said["eos_token"], said["model_max_length"]) == (*SPECIAL[:2], 64)
    assert said["chat_template"] == "{{ bos_token }}"
    assert SPECIAL[json.loads(files["generation_config.json"])["eos_token_id"]] == said["eos_token"]
    assert Tokenizer.from_file(str(tmp_path / "a" / "tokenizer.json")).get_vocab() == TOKENIZER.get_vocab()
