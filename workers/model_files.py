"""The files of a small Llama that we make ourselves, and its tokenizer; mlx_lm loads the directory like any other.

Both `random_model` (weights drawn by lot) and `guide` (trained) are written here, so that what a loader asks for is
known in one place. MLX is not needed for it.

Guarantees: any Unicode text survives encode and decode (byte-level BPE); special tokens have the first ids; the same
arguments give the same bytes.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

BEGIN, END, START = SPECIAL = ("<|begin|>", "<|end|>", "<|start|>")
NORM_EPSILON = 1e-5
ROPE_BASE = 10_000.0


class Shape(NamedTuple):
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int


def train_tokenizer(lines: Iterable[str], vocabulary_max: int) -> Tokenizer:
    """A tokenizer of at most `vocabulary_max` tokens whose merges come from `lines`."""
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r"\s?[^\s\p{L}\p{N}]+|\s?\p{L}+|\s?\p{N}{1,3}|\s+")
    split = pre_tokenizers.Split(words, behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_max,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return tokenizer


def llama_config(shape: Shape, vocabulary: int, context_tokens: int, *, tied: bool, made_by: Mapping) -> dict:
    """What stands in config.json. `tied`: the output layer is the embedding. `made_by` names the recipe."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": vocabulary,
        "max_position_embeddings": context_tokens,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_BASE,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        "bos_token_id": SPECIAL.index(BEGIN),
        "eos_token_id": SPECIAL.index(END),
        **made_by,
    }


def write_model(directory: Path, config: dict, weights: dict[str, np.ndarray], tokenizer: Tokenizer,
                chat_template: str) -> None:
    """All files of the model into `directory`, which is there."""
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    save_file(weights, directory / "model.safetensors", metadata={"format": "mlx"})
    _write_json(directory / "config.json", config)
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BEGIN,
            "eos_token": END,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config["max_position_embeddings"],
            "chat_template": chat_template,
        },
    )
    ends = {name: config[name] for name in ("bos_token_id", "eos_token_id")}
    _write_json(directory / "generation_config.json", ends)


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
