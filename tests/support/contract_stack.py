"""The stack of the contract tests: its settings, and a model of random weights that says that it gives embeddings."""

import json
import shutil
from pathlib import Path

from tests.support.models import model_path

POOLING = {"word_embedding_dimension": 128, "pooling_mode_mean_tokens": True}
EMBEDDER_CONTEXT = 2048  # to embed a text that fills it takes time by its square


def embedder_path(folder: Path) -> Path:
    """A copy of the small model in `folder`, of less context, with the file by which sentence-transformers mark models
    for embedding.
    """
    made = shutil.copytree(model_path("1m"), folder / "embedder")
    config = json.loads((made / "config.json").read_text()) | {"max_position_embeddings": EMBEDDER_CONTEXT}
    (made / "config.json").write_text(json.dumps(config))
    (made / "1_Pooling").mkdir()
    (made / "1_Pooling" / "config.json").write_text(json.dumps(POOLING))
    return made


def contract_settings(folder: Path) -> str:
    """TOML. `guide` comes with the product, `random` knows tools, reasoning and fill in the middle, `echo` says what it
    is asked to. Nothing is loaded before it is asked, and callers ask as often as they like.
    """
    return f"""
[server]
pull_from = ["*"]
[control]
prewarm = 0
[limits]
max_running = 8
rate_limit_max = 0
[memory]
keep_alive = "10m"
[models.guide]
path = "guide"
[models.random]
path = "{model_path("1m", "agent")}"
aliases = ["random-alias:1b"]
[models.embedder]
path = "{embedder_path(folder)}"
[models.echo]
engine = "echo"
"""
