"""Tiny random models of architectures whose KV caches do not trim, to be loaded by mlx_lm like any other."""

import json
import random
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes

from tests.support.models import model_path

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
WINDOW_TOKENS = 32
LIVELY = 0.3  # added to what a layer begins with, so that words depend on all that stands before them
SHAPES = {
    # recurrent: a state that forgets, and cannot be told to forget less
    "mamba": {"hidden_size": 32, "intermediate_size": 64, "state_size": 8, "num_hidden_layers": 2, "conv_kernel": 4,
              "use_bias": False, "use_conv_bias": True, "time_step_rank": 4},
    # two recurrent layers, and one that sees the newest WINDOW_TOKENS alone
    "recurrent_gemma": {"hidden_size": 32, "intermediate_size": 64, "attention_bias": False, "conv1d_width": 4,
                        "logits_soft_cap": 30.0, "num_attention_heads": 2, "num_hidden_layers": 3,
                        "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "lru_width": 32,
                        "attention_window_size": WINDOW_TOKENS, "embeddings_scale_by_sqrt_dim": True,
                        "block_types": ["recurrent", "recurrent", "attention"]},
    # every second layer sees the newest WINDOW_TOKENS alone
    "gemma3_text": {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 2,
                    "head_dim": 16, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
                    "rope_local_base_freq": 10_000.0, "query_pre_attn_scalar": 16, "sliding_window": WINDOW_TOKENS,
                    "sliding_window_pattern": 2},
}


def make_architecture(directory: Path, model_type: str) -> Path:
    """With the tokenizer of the small model. The same weights each time."""
    source = model_path("1m")
    known = json.loads((source / "config.json").read_text())
    config = SHAPES[model_type] | {name: known[name] for name in ("vocab_size", "bos_token_id", "eos_token_id")}
    config |= {"model_type": model_type, "max_position_embeddings": known["max_position_embeddings"]}
    directory.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        (directory / name).symlink_to(source / name)
    (directory / "config.json").write_text(json.dumps(config))
    model_class, args_class = _get_classes(config)
    mx.random.seed(random.Random(model_type).randrange(2**32))
    model = model_class(args_class.from_dict(config))
    weights = {name: weight + LIVELY * mx.random.normal(weight.shape)
               for name, weight in tree_flatten(model.parameters())}
    mx.save_safetensors(str(directory / "model.safetensors"), weights, {"format": "mlx"})
    return directory
